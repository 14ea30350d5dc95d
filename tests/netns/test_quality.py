"""Round trip and loss of the ways between two machines, and the change to a better one."""
import pathlib
import re
import signal
import sys
import time

import pytest
from lnlab import LinnetAgent, wait_until

LINKS = {"left": "10.50.0", "right": "10.51.0"}
WIRE = pathlib.Path(__file__).parent / "lnlab" / "wire.py"


class Wire:
    """A link between two machines, with a delay and losses that can be set."""

    def __init__(self, name, net, a, b):
        self.name, self.control = name, a.folder / f"{name}.wire"
        self.control.write_text("0 0")
        self.process = a.lab.server.start(sys.executable, WIRE, name, a.netns, b.netns, self.control, log=f"{name}.log")
        wait_until(lambda: "ready" in self.process.output(), 5, f"the wire {name}")
        for last, host in ((1, a), (2, b)):
            host.run("ip", "addr", "add", f"{net}.{last}/24", "dev", name)
            host.run("ip", "link", "set", name, "up")

    def set(self, delay_ms=0, loss_percent=0):
        """One way, both ways; the loss is that of UDP packets."""
        self.control.write_text(f"{delay_ms} {loss_percent}")
        self.process.send(signal.SIGHUP)


def near(nanoseconds, ms):
    """The wires are processes, and late on a machine that is not its own; never early. Twice the way would not pass."""
    return 0.95e6 * ms <= nanoseconds <= 1.7e6 * ms


def ways(agent, other):
    """What status says of the links between the two, and which of them is in use."""
    found = {}
    for path in (agent.peer(other.host.name) or {}).get("paths") or []:
        for name, net in LINKS.items():
            if path.get("remote", "").startswith(net + "."):
                found[name] = path
    return found, next((name for name, path in found.items() if path["used"]), None)


def measured(agent, other):
    found, used = ways(agent, other)
    return used and len(found) == 2 and all(path["checks"] for path in found.values()) and (found, used)


def start_ping(agent, address):
    return agent.host.start("ping", "-i", "0.1", "-W", "2", address, log=f"ping-{time.monotonic_ns()}.log")


def answered(process):
    """Ends it; sent and received."""
    process.stop(number=signal.SIGINT)
    found = re.search(r"(\d+) packets transmitted, (\d+) received", process.output())
    return int(found[1]), int(found[2])


def changed(agents, old, limit):
    """Seconds until both have left the link, maybe for the relay at first; then until they use the other one."""
    began = time.monotonic()
    for agent, other in (agents, agents[::-1]):
        wait_until(lambda: ways(agent, other)[1] != old, limit, f"{agent.host.name} to leave the {old} link", every=0.5)
    left = time.monotonic() - began
    for agent, other in (agents, agents[::-1]):
        wait_until(lambda: ways(agent, other)[1] not in (None, old), 90, f"{agent.host.name} to use the other link", every=0.5)
    return left, time.monotonic() - began


@pytest.fixture
def two(lab, server):
    """Two machines with two links; no UDP passes by the Internet."""
    hosts = [lab.site(name, "udp-blocked") for name in "ab"]
    wires = {name: Wire(name, net, *hosts) for name, net in LINKS.items()}
    key = server.setup_key()
    return wires, [LinnetAgent(host) for host in hosts], server, key


def connect(agents, server, key):
    for agent in agents:
        agent.up(server, key)
    a, b = agents
    assert a.ping(b.wait_address(), count=5).returncode == 0
    a.wait_direct(b.host.name)
    # Without traffic a way is at rest, and nobody asks how good it is.
    a.host.start("ping", "-i", "0.4", b.address(), log="traffic.log")
    wait_until(lambda: measured(a, b), 40, "both links to be measured", every=0.5)
    wait_until(lambda: measured(b, a), 40, "both links to be measured by the other side", every=0.5)
    return ways(a, b)[1]


def test_slower_link_is_left(two):
    wires, agents, server, key = two
    a, b = agents
    wires["right"].set(delay_ms=40)
    used = connect(agents, server, key)
    assert used == "left"
    for agent, other in (agents, agents[::-1]):
        wait_until(lambda: near(ways(agent, other)[0]["right"]["latency"], 80), 40,
                   "the right link's 80 ms", every=0.5)
        assert ways(agent, other)[0]["left"]["latency"] < 40e6
    ping = start_ping(a, b.address())
    wires["left"].set(delay_ms=150)
    print("left, changed after %.1f, %.1f s" % changed(agents, "left", 40))
    time.sleep(3)
    sent, received = answered(ping)
    assert sent - received <= 4, (sent, received)  # those on their way
    peer = a.peer(b.host.name)
    assert near(peer["latency"], 80), peer
    said = re.search(r"P2P 10\.51\.0\.1:\d+ - 10\.51\.0\.2:\d+ \(in use\): (\d+(\.\d+)?)ms", a.cli("status", "--detail").stdout)
    assert said and near(float(said[1]) * 1e6, 80), said
    # It stays: nothing is better now.
    time.sleep(5)
    assert [ways(*pair)[1] for pair in (agents, agents[::-1])] == ["right", "right"]


def test_lossy_link_is_left(two):
    wires, agents, server, key = two
    a, b = agents
    used = connect(agents, server, key)
    wires[used].set(loss_percent=30)
    print("left, changed after %.1f, %.1f s" % changed(agents, used, 60))
    ping = a.ping(b.address(), count=30)
    assert "30 packets transmitted, 30 received" in ping.stdout, ping.stdout
    found, now = ways(a, b)
    # Of two round trips one fails when each way loses 30 %; there were a dozen or so, and good ones before.
    assert 0.1 < found[used]["checksLost"] / found[used]["checks"] < 0.85, found[used]
    assert found[now]["checksLost"] == 0, found[now]


def test_relayed_pair(lab, server):
    """Round trip by the relay, as both sides see it: the delay of the link to it, there and back, twice."""
    agents, key = [], server.setup_key()
    wires = []
    for number, name in enumerate("ab"):
        host = lab.site(name, "udp-blocked")
        wires.append(Wire(f"to{name}", f"10.6{number}.0", host, lab.server))
        host.run("ip", "route", "add", lab.server.address, "via", f"10.6{number}.0.2")
        agents.append(LinnetAgent(host))
    for agent in agents:
        agent.up(server, key)
    a, b = agents
    assert a.ping(b.wait_address(), count=5).returncode == 0
    for wire in wires:
        wire.set(delay_ms=25)
    ping = start_ping(a, b.address())

    def seen(agent, other):
        peer = agent.peer(other.host.name) or {}
        return near(peer.get("latency", 0), 100) and peer["connectionType"] == "Relayed" and peer.get("checks", 0) >= 3 and peer
    for agent, other in (agents, agents[::-1]):
        peer = wait_until(lambda: seen(agent, other), 60, f"{agent.host.name} to see 100 ms", every=0.5)
        assert peer["checksLost"] == 0
        assert [(way["connectionType"], way["used"]) for way in peer["paths"]] == [("Relayed", True)]
    answered(ping)
    assert re.search(r"Relayed rel://\S+ \(in use\): \d+(\.\d+)?ms \+/- ", a.cli("status", "--detail").stdout)
