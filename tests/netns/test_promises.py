"""What the user is promised about connections (spec signal-and-connection 5.18), each by its number there.

The virtual ones (a night's sleep, ten minutes without a network, stale and repeated messages, candidates lost and
out of order) are `sim life`; registration, maps and policies have tests of their own.
"""
import json
import re
import signal
import time

import pytest
from lnlab import LinnetAgent, wait_until


def join(lab, server, kinds=("port-restricted", "port-restricted"), **kw):
    key = server.setup_key()
    agents = [LinnetAgent(lab.site(name, kind), **kw) for name, kind in zip("ab", kinds)]
    for agent in agents:
        agent.up(server, key)
    a, b = agents
    assert a.ping(b.wait_address(), count=5).returncode == 0
    return a, b


def direct(a, b):
    a.wait_direct(b.host.name)
    b.wait_direct(a.host.name)


def kind(agent, other):
    return (agent.peer(other.host.name) or {}).get("connectionType")


def start_ping(agent, address, every=0.05):
    return agent.host.start("ping", "-i", every, "-W", "1", address, log=f"ping-{time.monotonic_ns()}.log")


def lost(process):
    """Ends it; the last answer may still be on its way."""
    process.stop(number=signal.SIGINT)
    found = re.search(r"(\d+) packets transmitted, (\d+) received", process.output())
    return max(0, int(found[1]) - int(found[2]) - 1)


def answers(a, b, within, what):
    wait_until(lambda: a.ping(b.address(), count=1).returncode == 0, within, what, every=0.2)


def block(host, rule):
    host.run("nft", "add table inet gone; add chain inet gone out { type filter hook output priority 0; }; "
                    f"add rule inet gone out oifname != \"lo\" oifname != \"wt*\" {rule} drop")


def unblock(host):
    host.run("nft", "delete", "table", "inet", "gone")


def test_29_and_31_wireguard_is_watched(lab, server):
    """WireGuard is blocked, STUN passes: both go by the relay, say why, and go back when somebody asks."""
    a, b = join(lab, server)
    direct(a, b)
    # The third and fourth byte of every WireGuard message are zero, of STUN a length.
    for host in (a.host, b.host):
        block(host, "udp sport 51820 udp length > 8 @th,64,8 1-4 @th,72,24 0")
    ping = start_ping(a, b.address(), every=0.2)
    wait_until(lambda: kind(a, b) == "Relayed" and kind(b, a) == "Relayed", 45, "the relay to carry instead", every=0.5)
    ping.stop(number=signal.SIGINT)
    answers(a, b, 5, "a ping by the relay")
    assert "packets did not pass directly" in a.peer(b.host.name)["reason"] + b.peer(a.host.name)["reason"]
    for host in (a.host, b.host):
        unblock(host)
    done = json.loads(a.cli("peer", "reconnect", b.host.name, "--json").stdout)
    assert done["fqdn"].startswith(b.host.name + ".") and done["netbirdIp"] == b.address()
    if kind(b, a) == "Relayed":
        b.cli("peer", "reconnect", a.address())
    direct(a, b)


def test_32_recovers_by_itself(lab, server):
    """No UDP for 20 s: the relay takes over within 3 s, and the direct path is back 15 s after the end."""
    a, b = join(lab, server)
    direct(a, b)
    ping = start_ping(a, b.address())
    time.sleep(1)
    for host in (a.host, b.host):
        block(host, "udp dport != 53")
    time.sleep(20)
    assert kind(a, b) == "Relayed"
    for host in (a.host, b.host):
        unblock(host)
    wait_until(lambda: kind(a, b) == "P2P" and kind(b, a) == "P2P", 60, "the direct path", every=0.2)
    assert lost(ping) <= 3.5 / 0.05


def test_34_and_43_interface_down_and_up(lab, server):
    a, b = join(lab, server)
    direct(a, b)
    a.host.run("ip", "link", "set", "eth0", "down")
    time.sleep(10)
    a.host.run("ip", "link", "set", "eth0", "up")
    a.host.run("ip", "route", "replace", "default", "via", "10.1.0.1")
    answers(a, b, 15, "a ping after the interface came back")
    direct(a, b)


def test_40_and_42_another_address(lab, server):
    a, b = join(lab, server)
    direct(a, b)
    began = time.monotonic()
    a.host.run("ip", "addr", "del", f"{a.host.address}/24", "dev", "eth0")
    a.host.run("ip", "addr", "add", "10.1.0.77/24", "dev", "eth0")
    a.host.run("ip", "route", "replace", "default", "via", "10.1.0.1")
    answers(a, b, 15, "a ping from the new address")
    assert time.monotonic() - began < 5
    direct(a, b)


def test_34_a_machine_that_slept(lab, server):
    """Stopped for 15 s, as a sleep looks to the process: traffic is back within 5 s."""
    a, b = join(lab, server)
    direct(a, b)
    pid = int(a.host.run("pgrep", "-P", str(a.process.pid), "linnetd", check=False).stdout.split()[0]) \
        if a.host.run("pgrep", "-P", str(a.process.pid), "linnetd", check=False).stdout.split() else a.process.pid
    a.host.run("kill", "-STOP", str(pid))
    time.sleep(15)
    a.host.run("kill", "-CONT", str(pid))
    began = time.monotonic()
    answers(a, b, 10, "a ping after the sleep")
    assert time.monotonic() - began < 5
    direct(a, b)
    assert "this machine has slept" in a.process.output()


def test_44_to_49_servers_away_for_a_minute(lab, server):
    """Management, signal, relay and STUN are gone for 60 s: a direct pair loses nothing."""
    a, b = join(lab, server)
    direct(a, b)
    ping = start_ping(a, b.address(), every=0.1)
    server.process.stop(number=signal.SIGKILL)
    time.sleep(60)
    server.start()
    wait_until(lambda: a.status()["management"]["connected"] and a.status()["signal"]["connected"], 40, "both services")
    assert kind(a, b) == "P2P"
    assert lost(ping) <= 1


def test_57_stun_away_is_said(lab, server):
    """STUN answers nobody: the pair is connected all the same, and the status says which server is silent."""
    block(server.host, "udp sport 3478")
    a, b = join(lab, server)
    text = wait_until(lambda: re.search(r"\[stun:.*no answer", a.cli("status", "--detail").stdout), 40, "the word on STUN")
    assert text and a.ping(b.address()).returncode == 0


@pytest.mark.parametrize("kernel", [False, True], ids=["user-space", "kernel"])
def test_first_packets_are_late_and_not_lost(lab, server, kernel):
    """A sleeping peer: the first ICMP, TCP and UDP packet wakes it and arrives."""
    key = server.setup_key()
    env = {} if kernel else {"NB_WG_KERNEL_DISABLED": "true"}
    agents = [LinnetAgent(lab.site(name), env=env) for name in "abcd"]
    for agent in agents:
        agent.up(server, key)
    a, *others = agents
    if kernel and "Kernel" not in a.cli("status").stdout:
        pytest.skip("this kernel has no WireGuard")
    for other in others:
        peer = wait_until(lambda: a.peer(other.host.name), 10, "the peer in the list")
        assert peer["status"] == "Idle"
    b, c, d = others
    assert a.ping(b.address(), count=1).returncode == 0
    serving = c.host.start("python3", "-c", "import socket; s = socket.create_server(('', 7000)); print(s.accept()[1])",
                           log="tcp.log")
    listening = d.host.start("python3", "-uc", "import socket; s = socket.socket(type=socket.SOCK_DGRAM); "
                             "s.bind(('', 7000)); print(s.recvfrom(99))", log="udp.log")
    wait_until(lambda: ":7000" in c.host.run("ss", "-tln").stdout and ":7000" in d.host.run("ss", "-uln").stdout, 10, "both")
    began = time.monotonic()
    a.host.run("python3", "-c", "import socket, sys; socket.create_connection((sys.argv[1], 7000), 10)", c.address())
    # The kernel repeats a SYN after one second: the first one has arrived.
    assert time.monotonic() - began < 1
    a.host.run("python3", "-c", "import socket, sys; socket.socket(type=socket.SOCK_DGRAM).sendto(b'once', (sys.argv[1], 7000))",
               d.address())
    wait_until(lambda: "once" in listening.output(), 5, "the only UDP packet")
    serving.stop()


def test_checks_are_few(lab, server):
    """At most five checks a second while a path is sought, one in two seconds when it stands."""
    key = server.setup_key()
    a, b = (LinnetAgent(lab.site(name)) for name in "ab")
    # Binding requests from the WireGuard port to anybody but the STUN server.
    for agent in (a, b):
        agent.host.nft("table ip count { counter checks { }; chain c { type filter hook output priority 300; "
                       "ip daddr != 198.51.100.10 ip daddr != 198.51.100.11 udp sport 51820 "
                       "@th,96,32 0x2112a442 @th,64,16 0x0001 counter name checks; }; }")

    def count(agent):
        text = agent.host.run("nft", "-j", "list", "counter", "ip", "count", "checks").stdout
        return next(x["counter"]["packets"] for x in json.loads(text)["nftables"] if "counter" in x)

    for agent in (a, b):
        agent.up(server, key)
    assert a.ping(b.wait_address(), count=5).returncode == 0
    direct(a, b)
    for agent in (a, b):
        assert 1 <= count(agent) <= 15
    before = [count(agent) for agent in (a, b)]
    time.sleep(12)
    for agent, was in zip((a, b), before):
        assert 3 <= count(agent) - was <= 9


def test_peer_reconnect_says_no(lab, server):
    a, _ = join(lab, server)
    done = a.cli("peer", "reconnect", "nobody", check=False)
    assert done.returncode == 1 and "there is no peer \"nobody\"" in done.stderr
    a.down()
    done = a.cli("peer", "reconnect", "hb", check=False)
    assert done.returncode == 1 and "not up" in done.stderr
