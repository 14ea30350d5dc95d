#!/usr/bin/python3
"""What it costs when pairs change from the relay to a direct path and back.

Usage: LINNET_BIN=build/rel upgrades.py [ROUNDS]. One JSON line per pair and round, and one with the sums. Six machines on
the public segment, which makes fifteen pairs; a firewall between them, which no agent can see, lets UDP through and stops it
in turns, while each pair has a ping every 50 ms and another every second. Every second round the agents are given a reason
to try, a new address, when it opens. Needs root.

opened_to_direct_s and closed_to_relayed_s end when both agents of a pair say so, by the times in their logs.
"""
import datetime
import itertools
import json
import pathlib
import random
import re
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "netns"))
from lnlab import Lab, LinnetAgent, LinnetServer, wait_until  # noqa: E402

MACHINES = 6
DENSE, USUAL = 0.05, 1
# The negotiation that follows a loss has failed by then: nothing is left but to linger. And agents that saw three changes
# within a minute would wait before the next one.
FAILED_AFTER = 25
LINGER = 2
STATE = re.compile(r"^(\S+) INFO +engine: peer state .*? name=(\w+)\S* .*?reason=\"(direct|relayed)")


def block(lab, yes):
    """At the bridge between the machines: sending fails nowhere, the packets vanish."""
    if yes:
        lab.inet.run("nft", "add table bridge gone; add chain bridge gone between { type filter hook forward priority 0; }; "
                            "add rule bridge gone between ip protocol udp drop")
    else:
        lab.inet.run("nft", "delete table bridge gone")


def add_address(host, last):
    device = host.run("ip", "-o", "-4", "address", "show", "to", "198.51.100.0/24").stdout.split()[1]
    host.run("ip", "address", "add", f"198.51.100.{last}/24", "dev", device)


class Watch:
    """What an agent's log says about the ways to its peers, from now on."""

    def __init__(self, agent):
        self.log = pathlib.Path(agent.process.log)
        self.offset = self.log.stat().st_size

    def ways(self):
        """{peer: [(when, way)]}"""
        found = {}
        with self.log.open(errors="replace") as f:
            f.seek(self.offset)
            for line in f:
                m = STATE.match(line)
                if m:
                    when = datetime.datetime.fromisoformat(m[1].replace("Z", "+00:00")).timestamp()
                    found.setdefault(m[2], []).append((when, m[3]))
        return found


class Pair:
    def __init__(self, a, b):
        self.a, self.b = a, b
        self.name = f"{a.host.name}-{b.host.name}"

    def start_pings(self):
        address = self.b.address()
        self.pings = [self.a.host.start("ping", "-i", str(every), "-W", "1", address,
                                        log=f"ping-{self.name}-{time.monotonic_ns()}.log") for every in (DENSE, USUAL)]

    def lost(self):
        result = []
        for ping, flying in zip(self.pings, (1, 0)):  # the last answer of dense ones may be on its way
            ping.stop(number=signal.SIGINT)
            sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", ping.output()).groups())
            result.append(max(0, sent - received - flying))
        return result


def change(pairs, way, act):
    """act() changes the network. {pair: (seconds, dense pings lost, usual ones)}"""
    for pair in pairs:
        pair.start_pings()
    time.sleep(1.5)
    watches = {agent: Watch(agent) for pair in pairs for agent in (pair.a, pair.b)}
    began = time.time()
    act()

    def times():
        seen = {agent: watch.ways() for agent, watch in watches.items()}
        result = {}
        for pair in pairs:
            ends = [seen[x].get(y.host.name, []) for x, y in ((pair.a, pair.b), (pair.b, pair.a))]
            if all(end and end[-1][1] == way for end in ends):
                result[pair] = max(end[-1][0] for end in ends) - began
        return result
    wait_until(lambda: len(times()) == len(pairs), 60, f"all pairs to be {way}", every=0.1)
    time.sleep(1.5)
    took = times()
    return {pair: (round(took[pair], 3), *pair.lost()) for pair in pairs}


def one(lab, agents, pairs, run):
    event = run % 2 == 1

    def opens():
        block(lab, False)
        for n, agent in enumerate(agents if event else []):
            add_address(agent.host, 150 + 20 * n + run % 20)
    time.sleep(FAILED_AFTER + random.random() * LINGER)  # at any place of their rhythm
    up = change(pairs, "direct", opens)
    time.sleep(3)
    down = change(pairs, "relayed", lambda: block(lab, True))
    for pair in pairs:
        yield {"run": run, "pair": pair.name, "event": event, "opened_to_direct_s": up[pair][0],
               "lost_at_upgrade": up[pair][1], "lost_at_upgrade_usual": up[pair][2], "closed_to_relayed_s": down[pair][0],
               "lost_at_downgrade": down[pair][1], "lost_at_downgrade_usual": down[pair][2]}


def spread(values):
    v = sorted(values)
    return {"n": len(v), "p50": v[len(v) // 2], "max": v[-1]} if v else None


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    with Lab("upgrades") as lab:
        server = LinnetServer(lab.server)
        key = server.setup_key()
        agents = [LinnetAgent(lab.site(name, "none")) for name in "abcdef"[:MACHINES]]
        block(lab, True)
        for agent in agents:
            agent.up(server, key)
        pairs = [Pair(a, b) for a, b in itertools.combinations(agents, 2)]
        for pair in pairs:
            address = pair.b.wait_address()
            wait_until(lambda: pair.a.ping(address, count=1).returncode == 0, 30, f"a ping of {pair.name}", every=0.2)
        rows = []
        for run in range(rounds):
            for row in one(lab, agents, pairs, run):
                rows.append(row)
                print(json.dumps(row), flush=True)
        print(json.dumps({
            "upgrades": len(rows),
            "opened_to_direct_s": {"unseen": spread(r["opened_to_direct_s"] for r in rows if not r["event"]),
                                   "with an event": spread(r["opened_to_direct_s"] for r in rows if r["event"])},
            "closed_to_relayed_s": spread(r["closed_to_relayed_s"] for r in rows),
            **{what: spread(r[what] for r in rows)
               for what in ("lost_at_upgrade", "lost_at_upgrade_usual", "lost_at_downgrade", "lost_at_downgrade_usual")}}))


if __name__ == "__main__":
    main()
