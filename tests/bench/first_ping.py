#!/usr/bin/python3
"""Seconds from `up` on both sides to the first answered ping, through two NAT routers.

Usage: first_ping.py [--runs N] [--nat KIND] [--nat KIND] [--no-relay] [--udp-blocked] [--mixed]. One JSON line
per run and a summary line per kind of pair. NETBIRD_BIN and NETBIRD_SERVER_BIN put NetBird's agent and
server beside ours in the same run (with its relay's help, as it comes); --no-relay takes our relay
away, --udp-blocked leaves only the relay and counts relayed runs instead of direct ones. Both machines have
registered before: the ping is sent to a known address from the moment `up` is called.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "netns"), str(pathlib.Path(__file__).resolve().parent)]

from bench_servers import machine  # noqa: E402
from lnlab import Lab, LabError, LinnetAgent, LinnetServer, NetbirdAgent, NetbirdServer, wait_until  # noqa: E402

AGENT, SERVER = os.environ.get("NETBIRD_BIN"), os.environ.get("NETBIRD_SERVER_BIN")


def make(kind, host):
    return LinnetAgent(host) if kind == "linnet" else NetbirdAgent(host, AGENT)


def wait_kind(agent, wanted):
    def arrived():
        peer = agent.peer("hb")
        return peer and peer["status"] == "Connected" and peer["connectionType"] == wanted
    wait_until(arrived, 15, f"{agent.host.name} to be connected {wanted}", every=0.1)


def one_kind(name, server_kind, kinds, nats, runs, relay=True):
    with Lab("bench") as lab:
        server = LinnetServer(lab.server, relay=relay) if server_kind == "linnet" else NetbirdServer(lab.server, SERVER)
        key = server.setup_key()
        agents = [make(kind, lab.site(letter, nat)) for kind, letter, nat in zip(kinds, "ab", nats)]
        for agent in agents:
            agent.up(server, key)
        addresses = [agent.wait_address() for agent in agents]
        wanted = "Relayed" if "udp-blocked" in nats else "P2P"
        seconds, arrived = [], 0
        for run in range(runs):
            for agent in agents:
                agent.down()
            time.sleep(1)
            began = time.monotonic()
            ups = [agent.up_async(server, key) for agent in agents]
            first = agents[0].first_ping(addresses[1], 30).result() - began
            for up in ups:
                up.popen.wait(30)
            try:
                wait_kind(agents[0], wanted)
                arrived += 1
            except LabError as failed:  # counted, not hidden
                print(f"# {failed}", file=sys.stderr)
            seconds.append(first)
            print(json.dumps({"pair": name, "run": run, "seconds": round(first, 3)}), flush=True)
        line = {"pair": name, "runs": runs, "median": round(statistics.median(seconds), 3),
                "min": round(min(seconds), 3), "max": round(max(seconds), 3), wanted.lower(): arrived}
        print(json.dumps(line), flush=True)
        return line


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--runs", type=int, default=10)
    words.add_argument("--nat", action="append", help="kind of the NAT of one side; give it twice")
    words.add_argument("--no-relay", action="store_true", help="our agents have no relay to begin with")
    words.add_argument("--udp-blocked", action="store_true", help="on both sides")
    words.add_argument("--mixed", action="store_true", help="also one agent of each kind, on both servers")
    given = words.parse_args()
    print(json.dumps(machine()), flush=True)
    nats = ["udp-blocked"] * 2 if given.udp_blocked else given.nat or ["port-restricted", "port-restricted"]
    ours = one_kind("linnet", "linnet", ("linnet", "linnet"), nats, given.runs, not given.no_relay)
    if AGENT and SERVER:
        theirs = one_kind("netbird", "netbird", ("netbird", "netbird"), nats, given.runs)
        print(json.dumps({"ratio": round(ours["median"] / theirs["median"], 3)}), flush=True)
        if given.mixed:
            for server in ("linnet", "netbird"):
                one_kind(f"mixed on {server}, ours pings", server, ("linnet", "netbird"), nats, given.runs)
                one_kind(f"mixed on {server}, theirs pings", server, ("netbird", "linnet"), nats, given.runs)
    else:
        print("# NETBIRD_BIN and NETBIRD_SERVER_BIN are not set: no peer beside us", file=sys.stderr)


if __name__ == "__main__":
    main()
