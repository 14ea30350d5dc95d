"""Two machines behind NATs reach each other through linnet, and nothing of it stays behind."""
import itertools
import json
import signal
import time

import pytest
from lnlab import LabError, LinnetAgent, LinnetServer, wait_until

P2P_PAIRS = [  # kinds of NAT on both sides that hole punching gets through (spec signal-and-connection 7.2)
    ("port-restricted", "port-restricted"),
    ("none", "port-restricted"),
    ("none", "symmetric"),
    ("full-cone", "symmetric"),
    ("address-restricted", "port-restricted"),
    ("none", "none"),
]


def join(lab, server, *hosts, **kw):
    key = server.setup_key()
    agents = [LinnetAgent(host, **kw) for host in hosts]
    for agent in agents:
        agent.up(server, key)
    return agents


def traces(host):
    """What an agent could leave behind in its host."""
    out = [host.run("ip", "-o", "link").stdout, host.run("ip", "-o", "addr").stdout,
           host.run("ip", "-4", "rule").stdout, host.run("ip", "-6", "rule").stdout,
           host.run("ip", "-4", "route", "show", "table", "all").stdout, host.run("nft", "list", "ruleset").stdout]
    return "\n".join(line for text in out for line in text.splitlines() if "fe80" not in line)


def connect(a, b):
    """Wakes the lazy pair by a ping in each direction and waits until both say P2P."""
    assert a.ping(b.wait_address(), count=5).returncode == 0
    a.wait_direct(b.host.name)
    b.wait_direct(a.host.name)
    assert b.ping(a.wait_address()).returncode == 0


@pytest.mark.parametrize("kinds", P2P_PAIRS, ids=lambda k: "-".join(k))
def test_direct_through_nats(lab, server, kinds):
    a, b = join(lab, server, lab.site("a", kinds[0]), lab.site("b", kinds[1]))
    connect(a, b)


def test_direct_is_direct(lab, server):
    """The tunnel's packets go from router to router: the server's segment port sees WireGuard only between them."""
    a, b = join(lab, server, lab.site("a"), lab.site("b"))
    connect(a, b)
    before = int(server.host.run("cat", "/sys/class/net/wan/statistics/rx_packets").stdout)
    assert a.host.run("ping", "-q", "-i", "0.01", "-c", "300", b.address(), timeout=20).returncode == 0
    after = int(server.host.run("cat", "/sys/class/net/wan/statistics/rx_packets").stdout)
    assert after - before < 100


def test_impossible_pair_says_why(lab, server):
    """Port-restricted against symmetric goes by the relay only: status gives one sentence why."""
    a, b = join(lab, server, lab.site("a", "port-restricted"), lab.site("b", "symmetric"))
    assert a.ping(b.wait_address(), count=5).returncode == 0
    time.sleep(14)
    peer = a.peer(b.host.name)
    assert (peer["status"], peer["connectionType"]) == ("Connected", "Relayed")
    detail = a.cli("status", "--detail").stdout
    assert "relayed by" in detail and ("answered" in detail or "NAT" in detail), detail


def test_down_leaves_nothing(lab, server):
    hosts = [lab.site("a"), lab.site("b")]
    before = [traces(h) for h in hosts]
    a, b = join(lab, server, *hosts)
    connect(a, b)
    assert [traces(h) for h in hosts] != before
    a.down()
    assert traces(hosts[0]) == before[0]
    b.process.stop()
    assert traces(hosts[1]) == before[1]


def test_kill_minus_nine_is_cleaned_up_by_the_next_start(lab, server):
    host = lab.site("a")
    before = traces(host)
    (a,) = join(lab, server, host)
    a.process.stop(number=signal.SIGKILL)
    a.start()
    wait_until(a.address, 15, "the agent to connect again by itself")
    assert a.status()["daemonStatus"] == "Connected"
    a.down()
    assert traces(host) == before


def test_agent_starts_before_the_server(lab):
    a = LinnetAgent(lab.site("a"))
    server = LinnetServer(lab.server)
    key = server.setup_key()
    server.process.stop()
    up = a.up_async(server, key)
    time.sleep(2)
    assert up.alive(), up.output()
    server.start()
    wait_until(a.address, 30, "an address after the server came")


def test_server_comes_back(lab, server):
    """A killed server takes no connection with it, and its agents find it again."""
    a, b = join(lab, server, lab.site("a"), lab.site("b"))
    connect(a, b)
    flood = a.host.start("ping", "-i", "0.05", "-c", "100", "-q", b.address(), log="flood.log")
    time.sleep(0.5)
    server.process.stop(number=signal.SIGKILL)
    time.sleep(1)
    server.start()
    flood.popen.wait(20)
    assert " 0% packet loss" in flood.output(), flood.output()
    wait_until(lambda: a.status()["management"]["connected"] and a.status()["signal"]["connected"], 30, "both services")
    c = LinnetAgent(lab.site("c"))
    c.up(server, server.setup_key())
    connect(a, c)


def test_others_are_not_disturbed(lab, server):
    """Peers come, change and go; the ping between two others loses nothing."""
    a, b = join(lab, server, lab.site("a"), lab.site("b"))
    connect(a, b)
    flood = a.host.start("ping", "-i", "0.02", "-c", "400", "-q", b.address(), log="flood.log")
    c = LinnetAgent(lab.site("c"))
    c.up(server, server.setup_key())
    connect(a, c)
    server.admin("peer", "delete", "hc")
    wait_until(lambda: a.peer("hc") is None, 5, "the deleted peer to go")
    flood.popen.wait(20)
    assert " 0% packet loss" in flood.output(), flood.output()


def test_policy_decides(lab, server):
    """Without a policy no peer is there; with one for ICMP, only ICMP passes."""
    a, b = join(lab, server, lab.site("a"), lab.site("b"))
    connect(a, b)
    server.admin("policy", "disable", "Default")
    wait_until(lambda: a.peer("hb") is None, 5, "the peer to go with the policy")
    server.admin("policy", "create", "--name", "icmp", "--protocol", "icmp", "--source", "All", "--destination", "All")
    wait_until(lambda: a.peer("hb") is not None, 5, "the peer to come back")
    connect(a, b)
    serving = b.host.start("iperf3", "-s", "-1", log="iperf3.log")
    time.sleep(0.3)
    refused = a.host.run("iperf3", "-c", b.address(), "-t", "1", "--connect-timeout", "1500", check=False)
    assert refused.returncode != 0
    server.admin("policy", "enable", "Default")
    wait_until(lambda: a.host.run("iperf3", "-c", b.address(), "-t", "1", "--connect-timeout", "1500",
                                  check=False).returncode == 0, 10, "TCP to pass again")
    serving.stop()


def test_lazy_peers_sleep_and_wake(lab, server):
    a, b = join(lab, server, lab.site("a"), lab.site("b"))
    peer = wait_until(lambda: a.peer("hb"), 5, "the peer in the list")
    assert peer["status"] == "Idle"
    done = a.ping(b.address(), count=1)
    assert done.returncode == 0, "the packet that wakes a peer must not be lost: " + done.stdout


def test_roaming(lab, server):
    """The address of one side moves: the tunnel follows within seconds."""
    a, b = join(lab, server, lab.site("a"), lab.site("b"))
    connect(a, b)
    host = a.host
    host.run("ip", "addr", "del", f"{host.address}/24", "dev", "eth0")
    host.run("ip", "addr", "add", "10.1.0.77/24", "dev", "eth0")
    host.run("ip", "route", "replace", "default", "via", "10.1.0.1")
    wait_until(lambda: a.ping(b.address(), count=1).returncode == 0, 15, "a ping from the new address")


def test_nat_forgets(lab, server):
    """Conntrack is flushed on both routers: the pair negotiates again."""
    a, b = join(lab, server, lab.site("a"), lab.site("b"))
    connect(a, b)
    for host in (a.host, b.host):
        host.router.run("sysctl", "-qw", "net.netfilter.nf_conntrack_udp_timeout=1",
                        "net.netfilter.nf_conntrack_udp_timeout_stream=1")
        host.router.nft("table ip cut { chain c { type filter hook forward priority -10; policy drop; }; }")
    time.sleep(4)
    for host in (a.host, b.host):
        host.router.run("nft", "delete", "table", "ip", "cut")
        host.router.run("sysctl", "-qw", "net.netfilter.nf_conntrack_udp_timeout=30",
                        "net.netfilter.nf_conntrack_udp_timeout_stream=120")
    wait_until(lambda: a.ping(b.address(), count=1).returncode == 0, 30, "a ping after the NATs forgot")


def test_registration_survives_restart_of_everything(lab, server):
    a, b = join(lab, server, lab.site("a"), lab.site("b"))
    connect(a, b)
    addresses = [a.address(), b.address()]
    for agent in (a, b):
        agent.process.stop()
    server.process.stop()
    server.start()
    for agent in (a, b):
        agent.start()
    assert [agent.wait_address() for agent in (a, b)] == addresses
    connect(a, b)


def test_ipv6_overlay(lab, server):
    a, b = join(lab, server, lab.site("a"), lab.site("b"))
    connect(a, b)
    six = b.status()["netbirdIpv6"].split("/")[0]
    assert a.ping(six).returncode == 0


def test_iperf_both_ways(lab, server):
    a, b = join(lab, server, lab.site("a"), lab.site("b"))
    connect(a, b)
    for client, serving in itertools.permutations((a, b)):
        back = serving.host.start("iperf3", "-s", "-1", log="iperf3.log")
        time.sleep(0.3)
        done = client.host.run("iperf3", "-c", serving.address(), "-t", "2", "--json", check=False)
        back.stop()
        assert done.returncode == 0, done.stdout
        assert json.loads(done.stdout)["end"]["sum_received"]["bytes"] > 1_000_000
