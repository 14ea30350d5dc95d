"""Lazy connections in user space: when they sleep, what is on the wire then, and what wakes them.

The first packets of peers that never were awake are in test_promises; the kernel's WireGuard is in the guest suite.
"""
import json
import time

import pytest
from lnlab import LinnetAgent, wait_until

SLEEPY = {"NB_WG_KERNEL_DISABLED": "true", "NB_LAZY_CONN_INACTIVITY_THRESHOLD": "3s"}


def join(lab, server, *envs):
    key = server.setup_key()
    agents = [LinnetAgent(lab.site(name), env=env) for name, env in zip("ab", envs)]
    for agent in agents:
        agent.up(server, key)
    a, b = agents
    wait_until(lambda: a.peer(b.host.name) and b.peer(a.host.name), 10, "each other in the list")
    return a, b


def state(agent, other):
    return agent.peer(other.host.name)["status"]


def asleep(a, b):
    wait_until(lambda: state(a, b) == "Idle" and state(b, a) == "Idle", 15, "both to sleep")


def count_tunnel(agent):
    """Counts datagrams of the tunnel's port from and to anybody but the STUN servers, and of the other machine."""
    agent.host.nft("table inet count { counter seen { }; "
                   "chain o { type filter hook output priority 300; udp sport 51820 udp dport != { 3478, 3479 } counter name seen; }; "
                   "chain i { type filter hook input priority 300; udp dport 51820 udp sport != { 3478, 3479 } counter name seen; }; }")


def counted(agent):
    text = agent.host.run("nft", "-j", "list", "counter", "inet", "count", "seen").stdout
    return next(x["counter"]["packets"] for x in json.loads(text)["nftables"] if "counter" in x)


def first_icmp(a, b):
    assert a.ping(b.address(), count=1).returncode == 0


def first_tcp(a, b):
    serving = b.host.start("python3", "-uc", "import socket; s = socket.create_server(('', 7000)); print('there'); "
                           "c, _ = s.accept(); c.sendall(b'welcome')", log="tcp.log")
    wait_until(lambda: "there" in serving.output(), 5, "the server")
    began = time.monotonic()
    got = a.host.run("python3", "-c", "import socket, sys; print(socket.create_connection((sys.argv[1], 7000), 10).recv(9))",
                     b.address())
    # The kernel repeats a SYN after one second.
    assert "welcome" in got.stdout and time.monotonic() - began < 1


def first_udp(a, b):
    listening = b.host.start("python3", "-uc", "import socket; s = socket.socket(type=socket.SOCK_DGRAM); "
                             "s.bind(('', 7000)); print('there'); print(s.recvfrom(99))", log="udp.log")
    wait_until(lambda: "there" in listening.output(), 5, "the listener")
    a.host.run("python3", "-c", "import socket, sys; socket.socket(type=socket.SOCK_DGRAM).sendto(b'once', (sys.argv[1], 7000))",
               b.address())
    wait_until(lambda: "once" in listening.output(), 5, "the only datagram")


def test_asleep_nothing_is_sent(lab, server):
    """Both fall asleep, say so by GO_IDLE, and are silent for half a minute; what comes next is not lost."""
    a, b = join(lab, server, SLEEPY, SLEEPY)
    first_icmp(a, b)
    a.wait_direct(b.host.name)
    asleep(a, b)
    for agent in (a, b):
        count_tunnel(agent)
    time.sleep(30)
    assert (counted(a), counted(b)) == (0, 0)
    assert state(a, b) == state(b, a) == "Idle"
    for wake in (first_udp, first_tcp, first_icmp):
        wake(a, b)
        assert counted(a) > 0
        asleep(a, b)
        a, b = b, a


def test_the_other_side_is_told(lab, server):
    """Only one has a short patience; the other one sleeps because it hears GO_IDLE."""
    a, b = join(lab, server, SLEEPY, {"NB_WG_KERNEL_DISABLED": "true"})
    first_icmp(a, b)
    a.wait_direct(b.host.name)
    asleep(a, b)
    first_icmp(b, a)


def test_data_keeps_awake(lab, server):
    a, b = join(lab, server, SLEEPY, SLEEPY)
    pinging = a.host.start("ping", "-i", "1", b.address(), log="ping.log")
    wait_until(lambda: state(a, b) == state(b, a) == "Connected", 10, "the connection")
    for _ in range(6):
        time.sleep(1)
        assert state(a, b) == state(b, a) == "Connected"
    pinging.stop()
    asleep(a, b)


@pytest.mark.parametrize("word,state_then", [("off", "Connected"), ("on", "Idle")])
def test_the_users_setting(lab, server, word, state_then):
    """Off: connected without a packet and for good. On: as the server says already."""
    env = {**SLEEPY, "NB_LAZY_CONN": word}
    a, b = join(lab, server, env, env)
    if word == "off":
        a.wait_direct(b.host.name)
    time.sleep(6)
    assert state(a, b) == state(b, a) == state_then
    assert a.status()["lazyConnectionEnabled"] == (word == "on")


def test_the_servers_setting(lab, server):
    """Switched off at the server, sleeping peers connect and stay so; switched on again, they sleep when it is quiet."""
    a, b = join(lab, server, SLEEPY, SLEEPY)
    assert state(a, b) == state(b, a) == "Idle"
    done = server.admin("account", "edit", "--lazy-connections", "off", "--json")
    assert json.loads(done.stdout)["lazy_connections"] is False
    a.wait_direct(b.host.name)
    b.wait_direct(a.host.name)
    time.sleep(5)
    assert state(a, b) == state(b, a) == "Connected"
    server.admin("account", "edit", "--lazy-connections", "on")
    asleep(a, b)
    first_icmp(b, a)
    assert server.admin("account", "edit", "--lazy-connections", "perhaps", check=False).returncode != 0
