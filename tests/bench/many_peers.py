#!/usr/bin/python3
"""What a large account costs one linnetd: time to its first map, memory, processor time at rest.

Usage: many_peers.py [--peers N] [--settle SECONDS] [--idle SECONDS]. Registers N peers on linnet-server with
sync_load (from $LINNET_BUILD, a build folder with tests), then joins one real agent: once with lazy
connections, as a new account has them, and once with every connection wanted at once, which nobody
answers; there the first seconds, full of offers, are left out. JSON lines; programs from $LINNET_BIN.
"""
import argparse
import json
import os
import pathlib
import re
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "netns"), str(pathlib.Path(__file__).resolve().parent)]

from bench_servers import machine  # noqa: E402
from lnlab import Lab, LinnetAgent, LinnetServer, programs_folder, wait_until  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")


def memory(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1])


def cpu(pid):
    words = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / TICKS


def one(server, host, key, mode, env, settle, idle):
    agent = LinnetAgent(host, env=env)
    empty, began = memory(agent.process.pid), time.monotonic()
    agent.up(server, key)
    up = time.monotonic() - began
    peers = wait_until(lambda: len((agent.status().get("peers") or {}).get("details") or []), 20, "the peers")
    settled = cpu(agent.process.pid)
    time.sleep(settle)
    busy = []
    for _ in range(3):
        before = cpu(agent.process.pid)
        time.sleep(idle / 3)
        busy.append((cpu(agent.process.pid) - before) / (idle / 3))
    log = agent.process.output()
    applied = re.search(r"^(\S+) .*network map applied", log, re.M)
    opened = re.search(r"^(\S+) .*network interface is up", log, re.M)
    line = {"agent": "linnet", "mode": mode, "peers": peers, "up_seconds": round(up, 3), "rss_kib_before": empty,
            "rss_kib": memory(agent.process.pid), "start_cpu_seconds": settled, "settle_seconds": settle,
            "idle_cpu_percent": [round(100 * b, 2) for b in busy],
            "interface_at": opened and opened[1], "map_applied_at": applied and applied[1]}
    print(json.dumps(line), flush=True)
    agent.down()
    agent.process.stop()
    return line


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--peers", type=int, default=1000)
    words.add_argument("--settle", type=float, default=45)
    words.add_argument("--idle", type=float, default=15)
    given = words.parse_args()
    print(json.dumps(machine()), flush=True)
    build = pathlib.Path(os.environ.get("LINNET_BUILD") or programs_folder())
    with Lab("many") as lab:
        server = LinnetServer(lab.server)
        key = server.setup_key()
        done = lab.server.run(build / "tests/bench/sync_load", "--url", server.url, "--setup-key", key, "--peers",
                              given.peers, "register", timeout=300)
        print("# " + done.stdout.strip().replace("\n", "\n# "), file=sys.stderr)
        one(server, lab.site("a"), key, "lazy", {}, 0, given.idle)
        one(server, lab.site("b"), key, "eager", {"NB_LAZY_CONN": "off"}, given.settle, given.idle)


if __name__ == "__main__":
    main()
