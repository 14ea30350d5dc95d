"""What the IP header of the way means to what travels in the tunnel: its MTU, its congestion marks, and the MSS."""
import re
import socket
import subprocess
import sys

import pytest
from lnlab import LinnetAgent, wait_until

NARROW = 1100  # of the bridge between the routers; inside it 1100 - 60, rounded down to 16
INSIDE = 1040

# Sends, or receives and prints, with Python's own sockets: python3 -c SCRIPT FAMILY ADDRESS ...
TCP_SERVER = """
import socket, sys
s = socket.create_server((sys.argv[2], 9000), family=int(sys.argv[1]), reuse_port=True)
print("listening", flush=True)
for _ in range(int(sys.argv[3])):
    c, n = s.accept()[0], 0
    while data := c.recv(65536):
        n += len(data)
    print("received", n, "mss", c.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG), flush=True)
"""
TCP_CLIENT = """
import socket, sys
c = socket.create_connection((sys.argv[2], 9000), timeout=20)
c.sendall(bytes(int(sys.argv[3])))
print(c.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG))
"""
ECN_SERVER = """
import socket, sys
s = socket.socket(int(sys.argv[1]), socket.SOCK_DGRAM)
s.bind((sys.argv[2], 9001))
s.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
if s.family == socket.AF_INET6:
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
print("listening", flush=True)
while True:
    data, control, _, _ = s.recvmsg(2048, 256)
    print(data.decode(), "marked", control[0][2][0] & 3, flush=True)
"""
ECN_CLIENT = """
import socket, sys
s = socket.socket(int(sys.argv[1]), socket.SOCK_DGRAM)
if s.family == socket.AF_INET6:
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, int(sys.argv[3]))
else:
    s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, int(sys.argv[3]))
s.sendto(sys.argv[4].encode(), (sys.argv[2], 9001))
"""


@pytest.fixture
def pair(lab, server):
    key = server.setup_key()
    made = [LinnetAgent(lab.site(n)) for n in "ab"]
    for agent in made:
        agent.up(server, key)
    assert made[0].ping(made[1].wait_address(), count=10).returncode == 0
    made[0].wait_direct("hb")
    made[1].wait_direct("ha")
    return made


def address_of(agent, family):
    return wait_until(lambda: (re.search(rf"inet{'' if family == 4 else '6'} ([^/ ]+)/\d+ scope global",
                                         agent.host.run("ip", "addr", "show", "wt0").stdout) or [None, None])[1],
                      10, f"the IPv{family} address")


def python(host, script, family, *words):
    number = socket.AF_INET if family == 4 else socket.AF_INET6
    return [*host.argv(sys.executable, "-c", script, int(number), *words)]


def serve(agent, script, family, *words, log):
    host = agent.host
    process = host.start(*python(host, script, family, address_of(agent, family), *words)[4:], log=log)
    wait_until(lambda: "listening" in process.output(), 10, "the server")
    return process


def call(agent, script, family, *words):
    return subprocess.run(python(agent.host, script, family, *words), capture_output=True, text=True, timeout=60, check=True).stdout


def fragments(hosts):
    """Datagrams cut into fragments so far, of both families."""
    total = 0
    for host in hosts:
        for line in host.run("nstat", "-asz", "IpFragCreates", "Ip6FragCreates", "IpFragOKs", "Ip6FragOKs").stdout.splitlines():
            words = line.split()
            total += int(words[1]) if words[0].endswith("FragCreates") else 0
    return total


def carry(client, server, family, size):
    """The MSS that both ends of a TCP connection of `size` bytes ended up with."""
    process = serve(server, TCP_SERVER, family, "1", log=f"tcp{family}-{size}.log")
    ours = int(call(client, TCP_CLIENT, family, address_of(server, family), size))
    done = wait_until(lambda: re.search(r"received (\d+) mss (\d+)", process.output()), 30, "the bytes")
    process.stop()
    assert int(done[1]) == size
    return ours, int(done[2])


def test_segment_size(pair):
    """TCP fills the tunnel's MTU in both families, and nothing is ever cut on the way."""
    a, b = pair
    hosts = [a.host, b.host, a.host.router, b.host.router]
    before = fragments(hosts)
    for family in (4, 6):
        most = 1280 - 20 - (20 if family == 4 else 40) - 12  # timestamps
        assert carry(a, b, family, 3_000_000) == (most, most)
    assert fragments(hosts) == before


def test_narrow_path(pair):
    """A path of 1,100 bytes: who sends more is told, TCP in both families adapts, fragments are the exception."""
    a, b = pair
    for agent in pair:
        agent.host.router.run("ip", "link", "set", "wan", "mtu", NARROW)
    to_b, hosts = address_of(b, 4), [a.host, b.host, a.host.router, b.host.router]

    # Not even those that come before anybody knows are lost for long, and ping hears the size.
    told = wait_until(lambda: re.search(r"mtu ?= ?(\d+)", (
        lambda r: r.stdout + r.stderr)(a.host.run("ping", "-M", "do", "-s", "1200", "-c", "2", "-i", "0.2", "-W", "1", to_b, check=False))),
        20, "the answer that it is too big")
    assert int(told[1]) == INSIDE
    assert a.host.run("ping", "-M", "do", "-s", INSIDE - 28, "-c", "3", "-i", "0.2", to_b, check=False).returncode == 0
    # Who may be fragmented is, and arrives.
    wait_until(lambda: a.host.run("ping", "-M", "dont", "-s", "1200", "-c", "1", "-W", "1", to_b, check=False).returncode == 0,
               20, "a large ping")
    # The other direction learns it too.
    wait_until(lambda: re.search(r"mtu ?= ?1040", (lambda r: r.stdout + r.stderr)(b.host.run(
        "ping", "-M", "do", "-s", "1200", "-c", "2", "-i", "0.2", "-W", "1", address_of(a, 4), check=False))), 20, "the answer for b")

    before = fragments(hosts)
    assert carry(a, b, 4, 2_000_000)[0] <= INSIDE - 40
    # IPv6 hosts do not believe in less than 1,280: their SYN is told.
    assert carry(a, b, 6, 2_000_000)[0] <= INSIDE - 60
    assert carry(b, a, 6, 2_000_000)[0] <= INSIDE - 60
    assert fragments(hosts) == before


def test_congestion_marks(pair):
    """What a router marks instead of dropping it reaches the receiver, if the sender said it would understand."""
    a, b = pair
    a.host.router.nft("table ip marking { chain c { type filter hook forward priority 10; policy accept; "
                      'oifname "wan" meta l4proto udp ip ecn ect0 counter ip ecn set ce; }; }')
    for family in (4, 6):
        process = serve(b, ECN_SERVER, family, log=f"ecn{family}.log")
        for tos, name in ((0, "plain"), (2, "capable"), (1, "other")):
            call(a, ECN_CLIENT, family, address_of(b, family), tos, f"{name}{family}")
        wait_until(lambda: len(re.findall("marked", process.output())) == 3, 10, "three datagrams")
        assert set(re.findall(r"(\w+) marked (\d)", process.output())) == {
            (f"plain{family}", "0"), (f"capable{family}", "3"), (f"other{family}", "1")}
        process.stop()
