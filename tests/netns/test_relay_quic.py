"""Relayed pairs whose relay speaks QUIC: both sides behind symmetric NATs, so that nothing else is left."""
import signal
import time

import pytest
from lnlab import LinnetAgent, LinnetServer, wait_until
from lnlab.authority import certificate
from lnlab.topology import SERVER

URL, RELAY = f"https://{SERVER}:443", f"rels://{SERVER}:443"


@pytest.fixture
def server(lab):
    ca, cert, key = certificate(lab.server.folder, SERVER)
    server = LinnetServer(lab.server, {"server": {
        "listenAddress": ":443", "exposedAddress": URL, "stunPorts": [3478], "logLevel": "debug", "logFile": "console",
        "dataDir": str(lab.server.folder / "data"), "metricsPort": 9090, "healthcheckAddress": ":9000",
        "tls": {"certFile": str(cert), "keyFile": str(key)}}})
    server.url, server.roots = URL, {"SSL_CERT_FILE": str(ca)}
    return server


def pair(lab, server, kinds=("symmetric", "symmetric"), env=({}, {})):
    key = server.setup_key()
    agents = [LinnetAgent(lab.site(name, kind), env={**server.roots, **more}) for name, kind, more in zip("ab", kinds, env)]
    for agent in agents:
        agent.up(server, key)
    assert agents[0].ping(agents[1].wait_address(), count=5).returncode == 0
    return agents


def transport(agent):
    """Of the home relay: "quic", "ws" or None."""
    for relay in agent.status()["relays"]["details"]:
        if relay["uri"].startswith("rel") and relay["available"]:
            return relay.get("transport")
    return None


def wait_transport(agent, kind, timeout=15):
    wait_until(lambda: transport(agent) == kind, timeout, f"{agent.host.name} to have its relay by {kind}")


def page(server, path):
    port = 9090 if path == "/metrics" else 9000
    return server.host.run("curl", "-s", f"http://127.0.0.1:{port}{path}").stdout


def peers(server, kind):
    line = f'relay_peers{{transport="{kind}"}} '
    return next(int(l[len(line):]) for l in page(server, "/metrics").splitlines() if l.startswith(line))


def drop(host, rule):
    host.run("nft", f"add table inet lossy; add chain inet lossy in {{ type filter hook input priority 0; }}; "
                    f"add rule inet lossy in {rule} drop")


def largest_ping(agent, address):
    """A ping of the overlay's full 1,280 bytes."""
    return agent.host.run("ping", "-c", "1", "-W", "2", "-s", "1252", address, check=False).returncode == 0


def test_a_pair_by_quic(lab, server):
    a, b = pair(lab, server)
    assert transport(a) == transport(b) == "quic"
    assert peers(server, "quic") == 2 and peers(server, "ws") == 0
    assert '"ws","quic"' in page(server, "/health")
    assert a.peer(b.host.name)["connectionType"] == "Relayed"
    wait_until(lambda: largest_ping(a, b.address()), 10, "full packets to fit")
    assert a.ping(b.address(), count=10).returncode == 0


def test_loss_is_survived(lab, server):
    """A fifth of all datagrams at the server goes missing, hellos and subscriptions among them."""
    drop(lab.server, "udp dport 443 numgen random mod 5 == 0")
    quic = {"NB_RELAY_TRANSPORT": "quic"}
    key = server.setup_key()
    a, b = (LinnetAgent(lab.site(n, "symmetric"), env={**server.roots, **quic}) for n in "ab")
    for agent in (a, b):
        agent.up(server, key)
    wait_until(lambda: a.ping(b.wait_address(), count=1).returncode == 0, 40, "the pair to meet in spite of it", every=0.2)
    assert transport(a) == transport(b) == "quic"


def test_the_server_is_killed(lab, server):
    """Its successor says by a reset that it knows nobody; the agents need no timeout to come back."""
    a, b = pair(lab, server, env=({"NB_RELAY_TRANSPORT": "quic"},) * 2)
    server.process.stop(number=signal.SIGKILL)
    server.start()
    begun = time.monotonic()
    wait_until(lambda: a.ping(b.address(), count=1).returncode == 0, 25, "the relay to carry again", every=0.2)
    took = time.monotonic() - begun
    print(f"carried again {took:.1f} s after the new server")
    assert took < 12, "the side that had nothing to say learns it from its PING"
    assert "does not know the connection" in a.process.output() + b.process.output()
    wait_transport(a, "quic")


def test_mixed_transports_meet(lab, server):
    """One side has no UDP at all: its WebSocket and the other's datagrams meet in the hub."""
    a, b = pair(lab, server, kinds=("udp-blocked", "symmetric"))
    assert transport(a) == "ws" and transport(b) == "quic"
    assert peers(server, "quic") == 1 and peers(server, "ws") == 1
    assert b.ping(a.address(), count=5).returncode == 0


def test_a_narrow_path_ends_up_by_websocket(lab, server):
    """Behind an MTU of 1,280 no full packet fits into a datagram: found out, and not tried again for a while."""
    a, b = pair(lab, server)
    for router in (a.host.router, b.host.router):
        for line in router.run("ip", "-o", "link").stdout.splitlines():
            name = line.split(": ")[1].split("@")[0]
            if name != "lo":
                router.run("ip", "link", "set", name, "mtu", "1280")
    # What was measured holds no longer; new connections find the new size.
    server.process.stop()
    server.start()
    wait_until(lambda: a.ping(b.address(), count=1).returncode == 0, 25, "the pair to come back", every=0.2)
    wait_until(lambda: largest_ping(a, b.address()) or transport(a) == transport(b) == "ws", 40, "the WebSocket", every=0.5)
    wait_until(lambda: largest_ping(a, b.address()), 20, "full packets to pass", every=0.5)
    assert "ws" in (transport(a), transport(b))


def test_the_user_chooses(lab, server):
    a, b = pair(lab, server, env=({"NB_RELAY_TRANSPORT": " Prefer-WS "}, {"NB_RELAY_TRANSPORT": "quic"}))
    assert transport(a) == "ws" and transport(b) == "quic"
    assert a.ping(b.address(), count=3).returncode == 0
