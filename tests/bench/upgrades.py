#!/usr/bin/python3
"""Pings lost when a pair changes from the relay to a direct path and back.

Usage: LINNET_BIN=build/rel upgrades.py [RUNS]. One JSON line per run and one with the sums. Two machines on the public
segment; UDP is blocked on both and let through in turns while a ping runs every 50 ms. Needs root.
"""
import json
import pathlib
import re
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "netns"))
from lnlab import Lab, LinnetAgent, LinnetServer, wait_until  # noqa: E402

EVERY = 0.05


def block(agents, yes):
    for agent in agents:
        if yes:
            agent.host.run("nft", "add table inet gone; add chain inet gone out { type filter hook output priority 0; }; "
                                  "add rule inet gone out oifname != \"lo\" oifname != \"wt*\" udp dport != 53 drop")
        else:
            agent.host.run("nft", "delete table inet gone")


def all_are(agents, names, wanted, timeout):
    began = time.monotonic()
    wait_until(lambda: all((agent.peer(name) or {}).get("connectionType") == wanted for agent, name in zip(agents, names)),
               timeout, wanted, every=0.05)
    return time.monotonic() - began


def while_pinging(agent, address, change):
    ping = agent.host.start("ping", "-i", EVERY, "-W", "1", address, log=f"ping-{time.monotonic_ns()}.log")
    time.sleep(0.3)
    took = change()
    time.sleep(0.5)
    ping.stop(number=signal.SIGINT)
    sent, received = map(int, re.search(r"(\d+) packets transmitted, (\d+) received", ping.output()).groups())
    return took, max(0, sent - received - 1)  # the last answer may be on its way


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with Lab("upgrades") as lab:
        server = LinnetServer(lab.server)
        key = server.setup_key()
        agents = [LinnetAgent(lab.site(name, "none")) for name in "ab"]
        names = [agent.host.name for agent in reversed(agents)]
        for agent in agents:
            agent.up(server, key)
        block(agents, True)
        agents[0].ping(agents[1].wait_address(), count=5)
        all_are(agents, names, "Relayed", 30)
        address, rows = agents[1].address(), []
        for run in range(runs):
            def up():
                block(agents, False)
                for agent, name in zip(agents, names):
                    agent.cli("peer", "reconnect", name)
                return all_are(agents, names, "P2P", 60)

            def down():
                block(agents, True)
                return all_are(agents, names, "Relayed", 60)
            upgrade, lost_up = while_pinging(agents[0], address, up)
            downgrade, lost_down = while_pinging(agents[0], address, down)
            rows.append({"run": run, "upgrade_s": round(upgrade, 2), "lost_at_upgrade": lost_up,
                         "downgrade_s": round(downgrade, 2), "lost_at_downgrade": lost_down})
            print(json.dumps(rows[-1]), flush=True)
        print(json.dumps({"runs": runs, "lost_at_upgrade": sum(r["lost_at_upgrade"] for r in rows),
                          "runs_with_loss_at_upgrade": sum(r["lost_at_upgrade"] > 0 for r in rows),
                          "most_lost_at_downgrade": max(r["lost_at_downgrade"] for r in rows),
                          "slowest_upgrade_s": max(r["upgrade_s"] for r in rows)}))


if __name__ == "__main__":
    main()
