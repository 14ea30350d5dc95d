"""What a packet costs the thread that carries it: no memory, no lock, no wake-up of another thread."""
import os
import pathlib
import struct
import sys

import pytest
from lnlab import LinnetAgent, programs_folder

BURSTS = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 9)); data = bytearray(int(sys.argv[3]))
for _ in range(int(sys.argv[2])):
    for _ in range(100):
        try:
            s.send(data)
        except ConnectionRefusedError:
            pass
    time.sleep(0.002)
"""
LENGTH = 1000
NAMES = ("memory", "locks", "writes")


def preload():
    """With the release build where there is one: the sanitizers keep the allocator to themselves."""
    for folder in (os.environ.get("LINNET_REL"), os.environ.get("LINNET_BUILD"), programs_folder()):
        found = pathlib.Path(folder or "/nonexistent", "tests/interop/count_calls.so")
        if found.exists():
            return found
    return None


class CountedAgent(LinnetAgent):
    def start(self):
        library = preload()
        self.counts, self.daemon = self.host.folder / "counts", library.parents[2] / "linnetd"
        self.env = {"LD_PRELOAD": library, "COUNT_FILE": self.counts, "COUNT_THREAD": "uwg"}
        super().start()

    def read(self):
        return dict(zip(NAMES, struct.unpack("3Q", self.counts.read_bytes())))

    def packets(self, way):
        """By their bytes: joined ones count once."""
        return int(self.host.run("cat", f"/sys/class/net/wt0/statistics/{way}_bytes").stdout) // (LENGTH + 28)


@pytest.mark.skipif(preload() is None, reason="only sanitized builds are here")
def test_nothing_per_packet(lab, server):
    key = server.setup_key()
    sender, receiver = CountedAgent(lab.site("a")), CountedAgent(lab.site("b"))
    for agent in (sender, receiver):
        agent.up(server, key)
    assert sender.ping(receiver.wait_address(), count=10).returncode == 0
    sender.wait_direct("hb", 40)
    # First what is done once: the ciphers are found, and the faster one is loaded after 2 MB.
    sender.host.run(sys.executable, "-c", BURSTS, receiver.wait_address(), 60, LENGTH, timeout=60)
    for agent, way in ((sender, "tx"), (receiver, "rx")):
        agent.before, agent.moved, agent.way = agent.read(), agent.packets(way), way
        assert agent.before["memory"] > 0 and agent.before["locks"] > 0 and agent.before["writes"] > 0  # it does count
    sender.host.run(sys.executable, "-c", BURSTS, receiver.wait_address(), 200, LENGTH, timeout=60)
    for agent in (sender, receiver):
        moved = agent.packets(agent.way) - agent.moved
        used = {name: agent.read()[name] - agent.before[name] for name in NAMES}
        print(agent.way, moved, used)
        assert moved > 15000
        # Handshakes, checks of the path and the statistics of each second remain.
        assert all(n < moved / 100 for n in used.values()), (agent.way, moved, used)
