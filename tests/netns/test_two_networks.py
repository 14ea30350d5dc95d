"""Two profiles of one agent up at once: own interfaces, filters and addresses, and each goes down by itself."""
import signal

import pytest
from lnlab import LinnetAgent, wait_until

grpc = pytest.importorskip("grpc")


def text(number, value):
    raw = value.encode()
    return bytes([number << 3 & 0x7f | 2]) + bytes([len(raw)]) + raw if number < 16 else \
        bytes([(number << 3 | 2) & 0x7f | 0x80, number >> 4, len(raw)]) + raw


class Api:
    """The daemon's own protocol, by hand: what a command line with --multi in mind would send."""

    def __init__(self, agent):
        self.channel = grpc.insecure_channel(f"unix://{agent.socket}", [("grpc.use_local_subchannel_pool", 1)])

    def call(self, method, request=b""):
        return self.channel.unary_unary(f"/daemon.DaemonService/{method}")(request, timeout=60)

    def switch(self, name):
        return self.call("SwitchProfile", text(1, name) + text(2, "root"))


@pytest.fixture
def pair(lab, server):
    key = server.setup_key()
    other = LinnetAgent(lab.site("b"))
    other.up(server, key)
    agent = LinnetAgent(lab.site("a"), extra=("--multi",))
    agent.up(server, key)
    api = Api(agent)
    api.call("AddProfile", text(1, "root") + text(2, "second"))
    api.call("Login", text(1, key) + text(3, server.url) + text(9, "second") + text(30, "second") + text(31, "root"))
    api.call("Up", text(1, "second") + text(2, "root"))
    return agent, other, api


def interfaces(agent):
    out = agent.host.run("ip", "-o", "-4", "addr").stdout
    return {line.split()[1]: line.split()[3].split("/")[0] for line in out.splitlines() if line.split()[1].startswith("wt")}


def test_two_profiles(pair):
    agent, other, api = pair
    ifs = interfaces(agent)
    assert len(ifs) == 2 and len(set(ifs.values())) == 2, ifs
    assert "netbird_wt1" in agent.host.run("nft", "list", "tables").stdout
    for name in ifs:
        done = agent.host.run("ping", "-I", name, "-c", "5", "-i", "0.2", "-W", "2", other.address(), check=False)
        assert done.returncode == 0, (name, done.stdout)

    # Each has its mark and its routing table, and neither one's packets are for the other's.
    rules = agent.host.run("ip", "-N", "rule").stdout
    assert rules.count("not from all fwmark 0x1bd00/0xffffff lookup 712") == 2
    for mark, table in (("0x1bd00", "7184"), ("0x101bd00", "7185")):
        assert f"fwmark {mark} lookup {table}" in rules
    kinds = {agent.host.run("ip", "-4", "route", "get", "198.51.100.10", "mark", mark).stdout.split(" dev ")[1].split()[0]
             for mark in ("0x1bd00", "0x101bd00")}
    assert kinds == {"eth0"}

    first = agent.address()
    api.switch("second")
    wait_until(lambda: agent.address() not in (None, first), 5, "status to speak of the second profile")
    api.call("Down")
    assert list(interfaces(agent).values()) == [first]
    rules = agent.host.run("ip", "-N", "rule").stdout
    assert "0x101bd00" not in rules and "fwmark 0x1bd00 lookup 7184" in rules
    api.switch("default")
    assert agent.status()["daemonStatus"] == "Connected"
    assert agent.ping(other.address()).returncode == 0


def test_all_come_back(pair):
    """After a restart, also by kill -9, everything that was up is up again, and what was taken down is not."""
    agent, other, api = pair
    before = interfaces(agent)
    agent.process.stop(number=signal.SIGKILL)
    agent.start()
    wait_until(lambda: interfaces(agent) == before, 15, "both networks to come back")
    api = Api(agent)
    api.call("RenameProfile", text(1, "root") + text(2, "second") + text(3, "work"))
    api.switch("work")
    api.call("Down")
    api.switch("default")
    agent.process.stop()
    agent.start()
    wait_until(lambda: len(interfaces(agent)) == 1, 15, "the one that was left up")
    assert agent.ping(other.address()).returncode == 0
    assert b"work" in Api(agent).call("ListProfiles", text(1, "root"))


def test_one_without_multi(lab, server):
    key = server.setup_key()
    agent = LinnetAgent(lab.site("a"))
    agent.up(server, key)
    api = Api(agent)
    api.call("AddProfile", text(1, "root") + text(2, "second"))
    api.call("Login", text(1, key) + text(3, server.url) + text(9, "second") + text(30, "second") + text(31, "root"))
    api.call("Up", text(1, "second") + text(2, "root"))
    assert len(interfaces(agent)) == 1
