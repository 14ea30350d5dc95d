"""Routes into the tunnel do not capture the tunnel's own packets, however an operator makes them (spec agent 4.4)."""
import signal

import pytest
from lnlab import LinnetAgent, LinnetServer, wait_until

SERVER6 = "2001:db8:51::a"


class Net:
    """What differs between the two families of the underlay."""

    def __init__(self, family):
        self.family, self.ip = family, ["ip", f"-{family}"]
        self.halves = ("0.0.0.0/1", "128.0.0.0/1") if family == 4 else ("::/1", "8000::/1")
        self.servers = "198.51.100.0/24" if family == 4 else "2001:db8:51::/64"
        self.server = "198.51.100.10" if family == 4 else SERVER6

    def route(self, host, *words):
        host.run(*self.ip, "route", *words)

    def way(self, host, address, mark=None):
        """The interface, None where there is no way."""
        done = host.run(*self.ip, "route", "get", address, *(["mark", mark] if mark else []), check=False)
        return done.stdout.split(" dev ")[1].split()[0] if done.returncode == 0 else None


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def pair(lab, request):
    """Two machines behind NATs or stateful routers that know one family only."""
    net = Net(request.param)
    hosts = [lab.site(name, ipv6=net.family == 6) for name in "ab"]
    url = f"http://{net.server}:80" if net.family == 4 else f"http://[{net.server}]:80"
    server = LinnetServer(lab.server, {"server": {
        "listenAddress": ":80", "exposedAddress": url, "stunPorts": [3478, 3479], "logLevel": "debug",
        "logFile": "console", "dataDir": str(lab.server.folder / "data"), "authSecret": "known-to-the-relay"}})
    server.url = url
    key = server.setup_key()
    for host in hosts if net.family == 6 else ():
        host.run("ip", "-4", "addr", "flush", "dev", "eth0")
    for host in hosts:  # strict, as some distributions have it
        host.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.eth0.rp_filter=1")
    agents = [LinnetAgent(host, env={"NB_LAZY_CONN": "off"}) for host in hosts]
    for agent in agents:
        agent.up(server, key)
    a, b = agents
    assert a.ping(b.wait_address(), count=5).returncode == 0
    a.wait_direct(b.host.name)
    return net, server, a, b


def outside(net, agent):
    """Where its packets come from, as the other side sees it."""
    return agent.host.outside if net.family == 4 else agent.host.address6


def captured(net, server, a, b):
    """Everything of the tunnel's own goes on, and everything that has to be dialled anew can be."""
    for address in (outside(net, b), net.server):
        assert net.way(a.host, address) == "wt0"
        wait_until(lambda: net.way(a.host, address, "0x1bd00") == "eth0", 5, f"the way round to {address}")
    assert a.ping(b.address(), count=10).returncode == 0
    a.cli("peer", "reconnect", b.host.name)
    wait_until(lambda: a.ping(b.address(), count=1).returncode == 0, 10, "a ping after the negotiation")
    a.wait_direct(b.host.name)
    server.process.stop(number=signal.SIGKILL)
    wait_until(lambda: not a.status()["management"]["connected"], 40, "management to be missed")
    server.start()
    wait_until(lambda: a.status()["management"]["connected"] and a.status()["signal"]["connected"] and
               all(relay["available"] for relay in a.status()["relays"]["details"]), 40, "servers, relay and STUN")
    # No UDP to the other machine: the relay has to carry.
    a.host.run("nft", "add table inet gone; add chain inet gone out { type filter hook output priority 0; }; "
                      "add rule inet gone out oifname eth0 udp sport 51820 udp dport != 3478-3479 drop")
    wait_until(lambda: (a.peer(b.host.name) or {}).get("connectionType") == "Relayed", 20, "the relay")
    assert a.ping(b.address(), count=5).returncode == 0
    a.host.run("nft", "delete", "table", "inet", "gone")
    a.cli("peer", "reconnect", b.host.name)
    a.wait_direct(b.host.name)


def left(a):
    """What of the rules, the detour and the loose filters is there."""
    rules = a.host.run("ip", "-N", "rule").stdout + a.host.run("ip", "-N", "-6", "rule").stdout
    values = a.host.run("sysctl", "-n", "net.ipv4.conf.all.rp_filter", "net.ipv4.conf.eth0.rp_filter").stdout.split()
    return "0x1bd00" in rules, values


def test_default_route_of_the_network(pair):
    net, server, a, b = pair
    net.route(a.host, "add", "default", "dev", "wt0", "table", "7120")
    captured(net, server, a, b)
    # A crash leaves the rules; the next start takes them away before it makes its own.
    assert left(a) == (True, ["2", "2"])
    a.process.stop(number=signal.SIGKILL)
    assert left(a) == (True, ["2", "2"])
    a.start()
    wait_until(lambda: a.ping(b.address(), count=1).returncode == 0, 20, "a ping after the crash", every=0.2)
    assert a.host.run("ip", "-N", "rule").stdout.count("lookup 7120") == 1
    a.down()
    assert left(a) == (False, ["1", "1"])


def test_routes_in_the_main_table(pair):
    """Two halves of everything, and the networks of the other machine and of the servers, all into the tunnel."""
    net, server, a, b = pair
    for half in net.halves:
        net.route(a.host, "add", half, "dev", "wt0")
    underlay = f"{outside(net, b)}/24" if net.family == 4 else f"{b.host.address6}/64"
    for prefix in {net.servers, underlay.replace(".22/", ".0/").replace("::2/", "::/")}:
        net.route(a.host, "add", prefix, "dev", "wt0")
    captured(net, server, a, b)
    a.process.stop()
    assert left(a) == (False, ["1", "1"])


def test_without_the_right_to_mark(lab, server):
    """One word, and everything else works: the routes are the operator's business then."""
    key = server.setup_key()
    a = LinnetAgent(lab.site("a"), env={"NB_SKIP_SOCKET_MARK": "true"})
    b = LinnetAgent(lab.site("b"))
    for agent in (a, b):
        agent.up(server, key)
    assert a.ping(b.wait_address(), count=3).returncode == 0
    assert left(a)[0] is False and left(b)[0] is True
