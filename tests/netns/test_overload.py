"""More than an agent can seal: the flood drowns itself, other flows pass, and nothing is out of order."""
import json
import re
import subprocess
import sys

import pytest
from lnlab import LinnetAgent, wait_until

FLOWS = 16
PROBES = 100

FLOOD = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 9)); data, end, n = bytearray(1200), time.monotonic() + float(sys.argv[2]), 0
while time.monotonic() < end:
    for _ in range(100):
        try:
            s.send(data)
        except ConnectionRefusedError:
            pass
    n += 100
print("flooded", n)
"""
PROBE = """
import socket, sys, time
flows = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(int(sys.argv[2]))]
for s in flows:
    s.connect((sys.argv[1], 9002))
for number in range(int(sys.argv[3])):
    for s in flows:
        s.send(number.to_bytes(4, "big"))
    time.sleep(0.02)
"""
COUNT = """
import collections, json, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 9002))
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
print("listening", flush=True)
seen = collections.defaultdict(list)
try:
    while True:
        data, sender = s.recvfrom(100)
        s.settimeout(3)
        seen[sender[1]].append(int.from_bytes(data, "big"))
except TimeoutError:
    print(json.dumps(list(seen.values())), flush=True)
"""


def dropped(host):
    return int(re.search(r"TX:.*\n\s+\d+\s+\d+\s+\d+\s+(\d+)", host.run("ip", "-s", "link", "show", "wt0").stdout)[1])


@pytest.fixture
def three(lab, server):
    key = server.setup_key()
    made = [LinnetAgent(lab.site(n)) for n in "abc"]
    for agent in made:
        agent.up(server, key)
    for agent in made[1:]:
        assert made[0].ping(agent.wait_address(), count=10).returncode == 0
        made[0].wait_direct(agent.host.name)
    return made


def test_nothing_above_the_queues(three):
    """No queueing discipline: it would be passed by every packet and never hold one."""
    for agent in three:
        assert agent.host.run("tc", "qdisc", "show", "dev", "wt0").stdout.split()[:2] == ["qdisc", "noqueue"]


def test_flood_drowns_itself(three):
    """One flow offers all it can to c: of sixteen others to b most lose next to nothing, and none is reordered."""
    a, b, c = three
    counter = b.host.start(sys.executable, "-c", COUNT, log="count.log")
    wait_until(lambda: "listening" in counter.output(), 10, "the counter")
    before = dropped(a.host)
    flood = subprocess.Popen(a.host.argv(sys.executable, "-c", FLOOD, c.wait_address(), 4), stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: dropped(a.host) > before, 4, "the queue to run over")
        a.host.run(sys.executable, "-c", PROBE, b.wait_address(), FLOWS, PROBES, timeout=60)
    finally:
        flood.wait(30)
    wait_until(lambda: "[[" in counter.output(), 20, "the count")
    flows = json.loads(counter.output().splitlines()[-1])  # lists of numbers, in the order of arrival
    assert all(numbers == sorted(numbers) for numbers in flows)
    lost = sorted(PROBES - len(numbers) for numbers in flows)
    assert len(flows) >= FLOWS * 3 // 4 and lost[FLOWS // 2] <= 3, lost
