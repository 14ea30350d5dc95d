"""NetBird's agents with UDP blocked on both sides, through our relay (issue: relay; spec relay 20)."""
import json
import time
import urllib.request

import pytest

from lnlab import LinnetServer, NetbirdAgent, wait_until


def pair(lab, server, netbird):
    key = server.setup_key()
    agents = [NetbirdAgent(lab.site(name, "udp-blocked"), netbird) for name in "ab"]
    for agent in agents:
        agent.up(server, key)
    return *agents, [agent.wait_address() for agent in agents]


def relayed(agent, name):
    peer = agent.peer(name)
    return peer if peer and peer["status"] == "Connected" and peer["connectionType"] == "Relayed" else None


def page(server, path, port):
    script = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}{path}', timeout=5).read().decode())"
    return server.host.run("python3", "-c", script).stdout


def metric(server, name):
    for line in page(server, "/metrics", 9090).splitlines():
        if line.startswith(name):
            return float(line.split()[-1])
    raise AssertionError(f"no metric {name}")


@pytest.fixture
def relay_server(lab):
    config = {"server": {"listenAddress": ":80", "exposedAddress": "http://198.51.100.10:80", "logLevel": "debug",
                         "dataDir": str(lab.server.folder / "data"), "metricsPort": 9090, "healthcheckAddress": ":9000"}}
    return LinnetServer(lab.server, config)


def test_netbird_pings_netbird_through_our_relay(lab, relay_server, netbird):
    a, b, (to_a, to_b) = pair(lab, relay_server, netbird)
    begun = time.monotonic()
    first = a.first_ping(to_b, limit=30).result() - begun
    print(f"first ping after {first:.2f} s")
    peer = wait_until(lambda: relayed(a, "hb"), 10, "a relayed path")
    assert peer["relayAddress"] == "rel://198.51.100.10:80"
    assert a.ping(to_b, 10).returncode == 0 and b.ping(to_a, 10).returncode == 0
    assert metric(relay_server, 'relay_peers{transport="ws"}') == 2
    assert metric(relay_server, "relay_transfer_sent_bytes_total") > 20 * 100
    assert json.loads(page(relay_server, "/health", 9000))["status"] == "healthy"


def test_relayed_pair_survives_a_restart_of_the_server(lab, relay_server, netbird):
    a, b, (_, to_b) = pair(lab, relay_server, netbird)
    a.first_ping(to_b, limit=30).result()
    assert relay_server.process.stop() == 0
    relay_server.start()
    # The secret is kept: the agents' old tokens still open the relay.
    wait_until(lambda: a.ping(to_b, 1).returncode == 0, 40, "the pair to come back")
    wait_until(lambda: relayed(a, "hb"), 20, "a relayed path again")


def test_tokens_are_refreshed_before_they_end(lab, netbird):
    """Tokens live 8 s: after 20 s only refreshed ones open the relay again."""
    server = LinnetServer(lab.server, {
        "server": {"listenAddress": ":80", "exposedAddress": "http://198.51.100.10:80", "logLevel": "debug",
                   "dataDir": str(lab.server.folder / "data"), "authSecret": "s3cret", "metricsPort": 9090,
                   "relays": {"addresses": ["rel://198.51.100.10:8084"], "credentialsTTL": "8s", "secret": "s3cret"}}})
    binary = server.bin
    argv = [binary, "relay", "--listen", ":8084", "--relay-exposed-address", "rel://198.51.100.10:8084", "--auth-secret",
            "s3cret", "--log-level", "debug", "--metrics-port", "9091"]
    relay = lab.server.start(*argv, log="relay.log")
    a, b, (_, to_b) = pair(lab, server, netbird)
    a.first_ping(to_b, limit=30).result()
    time.sleep(20)
    assert relay.stop() == 0
    relay = lab.server.start(*argv, log="relay2.log")
    wait_until(lambda: a.ping(to_b, 1).returncode == 0, 40, "the pair to come back with refreshed tokens")
    failures = page(server, "/metrics", 9091)
    assert 'relay_handshake_failures_total{reason="expired"} 0' in failures
