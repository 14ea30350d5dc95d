#!/usr/bin/python3
"""What one agent costs at rest while all its peers are connected to it directly.

Usage: idle_peers.py [--peers N] [--settle SECONDS] [--idle SECONDS] [--kinds linnet,netbird]. N agents
in one process (peer_crowd, from $LINNET_BUILD, a build folder with tests) answer offers, checks and
handshakes of one real agent, ours or NetBird's ($NETBIRD_BIN), which wants every connection; the server is
ours. No packets pass then but checks and keepalives. A JSON line each: processor time by thread, datagrams
a second (after --settle our ways are at rest), memory. Programs from $LINNET_BIN.
"""
import argparse
import json
import os
import pathlib
import re
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "netns"), str(pathlib.Path(__file__).resolve().parent)]

from bench_servers import machine, used_by_others  # noqa: E402
from lnlab import Lab, LinnetAgent, LinnetServer, NetbirdAgent, programs_folder, wait_until  # noqa: E402
from many_peers import memory  # noqa: E402


def threads(pid):
    """Processor seconds by the threads' names; the scheduler counts nanoseconds, /proc/PID/stat ticks."""
    used = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        used[name] = used.get(name, 0) + int((task / "schedstat").read_text().split()[0]) / 1e9
    return used


def datagrams(host):
    lines = [line.split() for line in host.run("cat", "/proc/net/snmp").stdout.splitlines() if line.startswith("Udp:")]
    udp = dict(zip(lines[0][1:], map(int, lines[1][1:])))
    return udp["OutDatagrams"], udp["InDatagrams"]


def connected(crowd):
    found = re.findall(r'"connected": (\d+)', crowd.output())
    return int(found[-1]) if found else 0


def start(kind, site):
    """The agent, and the process to measure: NetBird's runs below a shell."""
    if kind == "linnet":
        agent = LinnetAgent(site, extra=("--log-level", "info"))
        return agent, agent.process.pid
    agent = NetbirdAgent(site, os.environ["NETBIRD_BIN"], level="info")
    below = {int(pid) for task in pathlib.Path(f"/proc/{agent.process.pid}/task").iterdir()
             for pid in (task / "children").read_text().split()}
    return agent, below.pop() if below else agent.process.pid


def measure(kind, given):
    build = pathlib.Path(os.environ.get("LINNET_BUILD") or programs_folder())
    with Lab("idle") as lab:
        server = LinnetServer(lab.server)
        key = server.setup_key()
        server.admin("account", "edit", "--lazy-connections", "off")
        host, site = lab.public_host("crowd", 50), lab.site("a", "none")
        crowd = host.start(build / "tests/bench/peer_crowd", "--url", server.url, "--setup-key", key, "--address", host.address,
                           "--peers", given.peers, log="crowd.log")
        wait_until(lambda: "listening" in crowd.output(), 30, "the crowd")
        agent, pid = start(kind, site)
        began = time.monotonic()
        agent.up(server, key)
        wait_until(lambda: connected(crowd) >= given.peers, 120, "all to be connected")
        took = time.monotonic() - began
        time.sleep(given.settle)
        before, sent = threads(pid), datagrams(site)
        time.sleep(given.idle)
        after, now = threads(pid), datagrams(site)
        return {"agent": kind, "mode": "connected", "peers": given.peers, "connected_seconds": round(took, 2),
                "still_connected": connected(crowd), "rss_kib": memory(pid),
                "sent_per_s": round((now[0] - sent[0]) / given.idle),
                "received_per_s": round((now[1] - sent[1]) / given.idle), "in_use": used_by_others(),
                "idle_cpu_percent": {name: round(100 * (after[name] - before.get(name, 0)) / given.idle, 2) for name in after}}


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--peers", type=int, default=1000)
    words.add_argument("--settle", type=float, default=60)
    words.add_argument("--idle", type=float, default=30)
    words.add_argument("--kinds", default="linnet,netbird" if "NETBIRD_BIN" in os.environ else "linnet")
    given = words.parse_args()
    print(json.dumps(machine()), flush=True)
    for kind in given.kinds.split(","):
        print(json.dumps(measure(kind, given)), flush=True)


if __name__ == "__main__":
    main()
