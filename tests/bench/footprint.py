#!/usr/bin/python3
"""Sizes of the stripped programs and resident memory of the idle ones, ours and NetBird's.

Usage: footprint.py. JSON lines; programs from $LINNET_BIN (a release build), NetBird's from
NETBIRD_BIN and NETBIRD_SERVER_BIN.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "netns"), str(pathlib.Path(__file__).resolve().parent)]

from bench_servers import machine  # noqa: E402
from lnlab import Lab, LinnetAgent, LinnetServer, NetbirdAgent, NetbirdServer, programs_folder  # noqa: E402


def stripped(path):
    with tempfile.NamedTemporaryFile() as copy:
        shutil.copyfile(path, copy.name)
        subprocess.run(["strip", copy.name], check=True)
        return os.path.getsize(copy.name)


def rss(pid):
    """KiB resident of the process and, when it was started through sh or unshare, its only child."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1])
    return 0


def say(**words):
    print(json.dumps(words), flush=True)


def main():
    print(json.dumps(machine()), flush=True)
    for name in ("linnetd", "linnet", "linnet-server"):
        say(program=name, stripped_bytes=stripped(programs_folder() / name))
    with Lab("foot") as lab:
        server = LinnetServer(lab.server)
        key = server.setup_key()
        agents = [LinnetAgent(lab.site(letter)) for letter in "ab"]
        for agent in agents:
            agent.up(server, key)
        agents[0].ping(agents[1].address(), count=5)
        time.sleep(3)
        say(program="linnet-server", peers=2, rss_kib=rss(server.process.pid))
        say(program="linnetd", agent="linnet", peers=1, rss_kib=rss(agents[0].process.pid))
    agent, server_path = os.environ.get("NETBIRD_BIN"), os.environ.get("NETBIRD_SERVER_BIN")
    if not (agent and server_path):
        print("# NETBIRD_BIN and NETBIRD_SERVER_BIN are not set: no peer beside us", file=sys.stderr)
        return
    say(program="netbird", stripped_bytes=stripped(agent))
    say(program="netbird-server", stripped_bytes=stripped(server_path))
    with Lab("foot") as lab:
        server = NetbirdServer(lab.server, server_path)
        key = server.setup_key()
        agents = [NetbirdAgent(lab.site(letter), agent) for letter in "ab"]
        for one in agents:
            one.up(server, key)
        agents[0].ping(agents[1].wait_address(), count=10)
        time.sleep(3)
        say(program="netbird-server", peers=2, rss_kib=rss(server.process.pid))
        say(program="netbird", agent="netbird", peers=1, rss_kib=rss(agents[0].process.pid))


if __name__ == "__main__":
    main()
