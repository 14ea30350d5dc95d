#!/usr/bin/python3
"""One TCP stream between two agents that have only the relay: UDP is blocked on both sides.

Usage: agents.py [--seconds S] [--rounds N] [--kinds linnet,netbird]. One JSON line per kind and round, then
the ratio of the medians: Gbit/s, and CPU seconds per GB of payload of the two agents and of the server with
the relay in it (WebSocket without TLS). NETBIRD_BIN and NETBIRD_SERVER_BIN put NetBird's beside ours.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "netns"))

from lnlab import Lab, LabError, LinnetAgent, LinnetServer, NetbirdAgent, NetbirdServer, wait_until  # noqa: E402

AGENT, SERVER = os.environ.get("NETBIRD_BIN"), os.environ.get("NETBIRD_SERVER_BIN")
HERTZ = os.sysconf("SC_CLK_TCK")


def cpu(process):
    """Of the process and of what it started: programs of a private mount run below a shell."""
    seconds, waiting = 0.0, [process.pid]
    while waiting:
        pid = waiting.pop()
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            seconds += (int(fields[11]) + int(fields[12])) / HERTZ
            waiting += map(int, pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except FileNotFoundError:
            pass  # it has ended meanwhile
    return seconds


def relayed(agent, name):
    peer = agent.peer(name)
    return peer and peer["status"] == "Connected" and peer["connectionType"] == "Relayed"


def stream(agents, server, seconds):
    a, b = agents
    address = b.wait_address()
    wait_until(lambda: a.ping(address, 1).returncode == 0, 30, "the first ping", every=0.2)
    for agent, name in ((a, "hb"), (b, "ha")):
        wait_until(lambda agent=agent, name=name: relayed(agent, name), 20, "the relay to carry", every=0.2)
    serving = b.host.start("iperf3", "-s", "-1", "-B", address, log="iperf3.log")
    wait_until(lambda: ":5201" in b.host.run("ss", "-ltn").stdout, 5, "iperf3 to listen")
    before = [cpu(agent.process) for agent in agents], cpu(server.process)
    done = a.host.run("iperf3", "-c", address, "-t", str(seconds), "--json", check=False, timeout=seconds + 30)
    used = [cpu(agent.process) - was for agent, was in zip(agents, before[0])], cpu(server.process) - before[1]
    serving.popen.wait(10)
    if done.returncode != 0:
        raise LabError(f"iperf3 failed: {done.stdout[-300:]}{done.stderr[-300:]}")
    total = json.loads(done.stdout)["end"]["sum_received"]
    gigabytes = total["bytes"] / 1e9
    return {"gbit_s": round(total["bits_per_second"] / 1e9, 3),
            "agents_cpu_s_per_gb": round(sum(used[0]) / gigabytes, 2),
            "sender": round(used[0][0] / gigabytes, 2), "receiver": round(used[0][1] / gigabytes, 2),
            "server_cpu_s_per_gb": round(used[1] / gigabytes, 2)}


def one_round(kind, seconds):
    with Lab("bench") as lab:
        ours = kind == "linnet"
        server = LinnetServer(lab.server) if ours else NetbirdServer(lab.server, SERVER)
        key = server.setup_key()
        hosts = [lab.site(letter, "udp-blocked") for letter in "ab"]
        agents = [LinnetAgent(host) if ours else NetbirdAgent(host, AGENT) for host in hosts]
        for agent in agents:
            agent.up(server, key)
        return stream(agents, server, seconds)


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--seconds", type=int, default=5)
    words.add_argument("--rounds", type=int, default=1)
    words.add_argument("--kinds", default="linnet,netbird")
    given = words.parse_args()
    kinds = given.kinds.split(",")
    if "netbird" in kinds and not (AGENT and SERVER):
        print("# NETBIRD_BIN and NETBIRD_SERVER_BIN are not set: no peer beside us", file=sys.stderr)
        kinds.remove("netbird")
    speeds = {kind: [] for kind in kinds}
    for _ in range(given.rounds):
        for kind in kinds:
            row = one_round(kind, given.seconds)
            speeds[kind].append(row["gbit_s"])
            print(json.dumps({"kind": kind, **row}), flush=True)
    if len(kinds) == 2:
        medians = {kind: statistics.median(v) for kind, v in speeds.items()}
        print(json.dumps({"ratio": round(medians["linnet"] / medians["netbird"], 2), **medians}))


if __name__ == "__main__":
    main()
