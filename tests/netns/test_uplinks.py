"""A host with two uplinks: what happens to its connections when the default route moves from one to the other."""
import time

import pytest
from lnlab import LinnetAgent, wait_until


def second_uplink(lab, host):
    """Another router with an address of its own, reachable by eth1; not yet the way out."""
    router = lab.public_host("nat2", 60, ipv6=False)
    router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    router.run("ip", "link", "add", "lan", "type", "veth", "peer", "name", "eth1", "netns", host.netns)
    router.run("ip", "link", "set", "lan", "up")
    router.run("ip", "addr", "add", "10.99.0.1/24", "dev", "lan")
    router.nft('table ip nat { chain post { type nat hook postrouting priority srcnat; oifname "wan" masquerade; }; }')
    host.run("ip", "link", "set", "eth1", "up")
    host.run("ip", "addr", "add", "10.99.0.2/24", "dev", "eth1")


@pytest.fixture
def three(lab, server):
    """a has two uplinks, b one; c is the neighbour nobody touches."""
    host = lab.site("a")
    second_uplink(lab, host)
    key = server.setup_key()
    b = LinnetAgent(lab.site("b"))
    b.up(server, key)
    a = LinnetAgent(host)
    return a, b, server, key


def moved(a, b, server, key, *words):
    """Seconds from the change of the default route to the first ping that is answered."""
    a.host.run(*a.up_argv(server, key), *words, timeout=60)
    assert a.ping(b.wait_address(), count=5).returncode == 0
    a.wait_direct(b.host.name)
    b.wait_direct(a.host.name)
    time.sleep(1)
    began = time.monotonic()
    a.host.run("ip", "route", "replace", "default", "via", "10.99.0.1")
    # The old router forgets us: nothing goes on by accident.
    a.host.router.nft("table ip cut { chain c { type filter hook forward priority -10; policy drop; }; }")
    took = a.first_ping(b.address(), 25).result() - began
    wait_until(lambda: (a.peer(b.host.name) or {}).get("status") == "Connected", 10, "the path in the status")
    wait_until(lambda: a.status()["management"]["connected"] and a.status()["signal"]["connected"], 40, "both services")
    return took


def test_default_route_moves(three):
    """Without the monitor ICE finds out by silence: six seconds, and a negotiation."""
    assert moved(*three) < 15


def test_network_monitor(three):
    """With it everything is negotiated anew at once, in place: the interface stays."""
    a = three[0]
    log = a.process
    took = moved(*three, "--network-monitor")
    assert took < 4, took
    assert log.output().count("network interface is up") == 1
    assert "paths=\"all anew\"" in log.output()
