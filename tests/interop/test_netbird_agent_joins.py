"""NetBird's agent (NETBIRD_BIN) joins our server: two of them reach each other, and life goes on."""
import time

from lnlab import LabError, NetbirdAgent, wait_until

import pytest


@pytest.fixture
def pair(lab, server, netbird):
    key = server.setup_key()
    agents = [NetbirdAgent(lab.site(name), netbird) for name in "ab"]
    for agent in agents:
        agent.up(server, key)
    return agents


def connect(a, b):
    """The first packets wake the pair. Without a relay NetBird's agents answer once ICE is through."""
    address = b.wait_address(30)
    wait_until(lambda: a.ping(address, count=1).returncode == 0, 60, "the first answered ping")
    a.wait_direct(b.host.name, 30)
    b.wait_direct(a.host.name, 30)


def test_two_agents_reach_each_other_directly(pair):
    a, b = pair
    status = a.status()
    assert status["management"]["connected"] and status["signal"]["connected"]
    connect(a, b)
    assert b.ping(a.wait_address()).returncode == 0


def test_peers_are_listed_and_deleted(server, pair):
    a, b = pair
    peers = {p["name"]: p for p in wait_until(lambda: connected(server, 2), 10, "both peers to be connected")}
    assert set(peers) == {a.host.name, b.host.name}
    assert peers[a.host.name]["ip"] == a.wait_address()
    server.admin("peer", "delete", b.host.name)
    wait_until(lambda: a.peer(b.host.name) is None, 15, "the deleted peer to go")
    assert connected(server, 1)


def connected(server, n):
    import json
    peers = json.loads(server.admin("peer", "list", "--json").stdout)["peers"]
    return peers if sum(p["connected"] for p in peers) == n else None


def test_down_disconnects(server, pair):
    pair[0].down()
    wait_until(lambda: connected(server, 1), 15, "the peer to be marked disconnected")


def test_server_restart(server, pair):
    """Agents come back by themselves to the same addresses; the tunnel between them lives on."""
    a, b = pair
    addresses = [a.wait_address(), b.wait_address()]
    connect(a, b)
    assert server.process.stop() == 0
    # The side that does not control sends by the relay up to 5 s after the direct path is there
    # (spec signal-and-connection 5.6), and that relay has just gone with the server.
    wait_until(lambda: a.ping(addresses[1], count=1).returncode == 0, 8, "a ping without a server")
    server.start()
    wait_until(lambda: connected(server, 2), 40, "both agents to come back")
    wait_until(lambda: a.status()["signal"]["connected"] and b.status()["signal"]["connected"], 40, "signal")
    assert [a.wait_address(), b.wait_address()] == addresses
    assert b.ping(addresses[0]).returncode == 0


def test_wrong_key_is_refused(lab, server, netbird):
    agent = NetbirdAgent(lab.site("a"), netbird)
    started = time.monotonic()
    with pytest.raises(LabError) as refused:
        agent.up(server, "00000000-0000-0000-0000-000000000000")
    assert "setup" in str(refused.value) or "key" in str(refused.value)
    assert time.monotonic() - started < 50
