"""QUIC between our programs and NetBird's quic-go, as relay and as client (issue: relay; spec relay 11, 20)."""
import os
import time

import pytest
from lnlab import LinnetAgent, LinnetServer, NetbirdAgent, wait_until
from lnlab.authority import certificate
from lnlab.topology import SERVER

URL = f"https://{SERVER}:443"
SECRET = "a-secret-of-both"


def settings(lab, cert, key, **more):
    return {"server": {
        "listenAddress": ":443", "exposedAddress": URL, "stunPorts": [3478], "logLevel": "debug", "logFile": "console",
        "dataDir": str(lab.server.folder / "data"), "metricsPort": 9090, "authSecret": SECRET,
        "tls": {"certFile": str(cert), "keyFile": str(key)}, **more}}


def metric(server, name):
    text = server.host.run("curl", "-s", "http://127.0.0.1:9090/metrics").stdout
    return next(float(line[len(name):]) for line in text.splitlines() if line.startswith(name + " "))


def carries(a, b, address, limit=40):
    wait_until(lambda: a.ping(address, 1).returncode == 0, limit, "the pair to meet by the relay", every=0.3)
    assert a.ping(address, 5).returncode == 0


def relay_transport(agent):
    """As status tells it: both agents know the field."""
    for relay in agent.status()["relays"]["details"]:
        if relay["uri"].startswith("rel") and relay["available"]:
            return relay.get("transport")
    return None


@pytest.fixture
def ours(lab):
    ca, cert, key = certificate(lab.server.folder, SERVER)
    server = LinnetServer(lab.server, settings(lab, cert, key))
    server.url = URL
    server.env = {"SSL_CERT_FILE": str(ca), "NB_RELAY_TRANSPORT": "quic"}
    return server


@pytest.mark.parametrize("kinds", ["netbird-netbird", "linnet-netbird"])
def test_netbird_at_our_relay(lab, ours, netbird, kinds):
    key = ours.setup_key()
    agents = []
    for name, kind in zip("ab", kinds.split("-")):
        site = lab.site(name, "symmetric")
        agents.append(NetbirdAgent(site, netbird, env=ours.env) if kind == "netbird"
                      else LinnetAgent(site, env=ours.env))
    for agent in agents:
        agent.up(ours, key)
    a, b = agents
    to_a, to_b = a.wait_address(), b.wait_address()
    carries(a, b, to_b)
    carries(b, a, to_a)
    assert metric(ours, 'relay_peers{transport="quic"}') == 2
    assert metric(ours, 'relay_peers{transport="ws"}') == 0
    # The path is measured by now: a full overlay packet goes both ways.
    wait_until(lambda: a.host.run("ping", "-c", "1", "-W", "2", "-s", "1200", to_b, check=False).returncode == 0, 15,
               "full packets to fit")
    assert metric(ours, 'relay_handshake_failures_total{reason="signature"}') == 0


def test_our_agents_at_netbirds_relay(lab):
    binary = os.environ.get("NETBIRD_RELAY_BIN")
    if not binary:
        pytest.skip("NETBIRD_RELAY_BIN is not set")
    ca, cert, key = certificate(lab.server.folder, SERVER)
    relay = f"rels://{SERVER}:8443"
    server = LinnetServer(lab.server, settings(lab, cert, key, relays={"addresses": [relay], "secret": SECRET}))
    server.url = URL
    theirs = lab.server.start(binary, "--listen-address", ":8443", "--exposed-address", relay, "--auth-secret", SECRET,
                              "--tls-cert-file", cert, "--tls-key-file", key, "--metrics-port", "9099",
                              "--health-listen-address", ":9098", "--log-level", "debug", log="netbird-relay.log")
    time.sleep(0.5)
    assert theirs.alive(), theirs.output()
    setup_key = server.setup_key()
    env = {"SSL_CERT_FILE": str(ca), "NB_RELAY_TRANSPORT": "quic"}
    a, b = (LinnetAgent(lab.site(name, "symmetric"), env=env) for name in "ab")
    for agent in (a, b):
        agent.up(server, setup_key)
    carries(a, b, b.wait_address())
    assert relay_transport(a) == relay_transport(b) == "quic"
    wait_until(lambda: a.host.run("ping", "-c", "1", "-W", "2", "-s", "1252", b.address(), check=False).returncode == 0,
               15, "full packets to fit")
    assert theirs.stop() == 0
    # It said goodbye by closing: nobody waits for an idle timeout.
    wait_until(lambda: relay_transport(a) is None, 10, "the end to be noticed")
