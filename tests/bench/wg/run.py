#!/usr/bin/python3
"""The tunnel, measured side by side: veth alone, linnet, Debian's wireguard-go, NetBird's agent.

Usage: run.py [--kinds veth,linnet,wireguard-go,netbird] [--parts tcp,udp1200,udp64] [--seconds 4] [--rounds 1]
[--rates 300,400,630] [--quick]

Two machines behind two NAT routers on one bridge, everything on this computer: ratios count, not
absolute figures. JSON lines: kind, what, gbit_s, cpu_s_per_gb (of both tunnel processes), rss_kib,
ping_p50_ms and ping_p99_ms under load, foreign_cpu (cores that nobody of ours used: a machine with
other work on it moves every figure but cpu_s_per_gb, so a step that others disturbed is done again).
Rounds are interleaved; at the end come the medians of all rounds, and how each kind stands to NetBird's agent. A second of TCP goes before
everything. Programs from $LINNET_BIN, NETBIRD_BIN, NETBIRD_SERVER_BIN.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[2] / "netns"), str(pathlib.Path(__file__).resolve().parents[1])]

from bench_servers import machine  # noqa: E402
from lnlab import Lab, LabError, LinnetAgent, LinnetServer, NetbirdAgent, NetbirdServer, wait_until  # noqa: E402

LADDER = {1200: (100, 200, 300, 400, 500, 630, 800, 1000, 1250, 1450, 1600, 1800, 2000, 2250, 2500),
          64: (8, 12, 18, 22, 27, 33, 40, 50, 60, 75, 90, 110, 130, 160)}  # Mbit/s offered
OVERLOAD = 4  # times the best received rate
DISTURBED = 0.1  # cores that others had: the step is done again,
TRIES = 3        # at most so often in all
HERTZ = os.sysconf("SC_CLK_TCK")


def descendants(pid):
    """The process and what it has started (unshare, sh): CPU time of the tunnel is in one of them."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        try:
            todo += [int(p) for p in pathlib.Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except OSError:
            pass
    return found


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total / HERTZ


def machine_seconds():
    """CPU time that anybody used, idle and waiting left out."""
    fields = [int(f) for f in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / HERTZ


def peak_rss(pids):
    peak = 0
    for pid in pids:
        try:
            found = re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())
            peak = max(peak, int(found.group(1)) if found else 0)
        except OSError:
            pass
    return peak


class Pair:
    """Two hosts, the address to send to, and the processes whose CPU time is the tunnel's."""

    def __init__(self, a, b, to_a, to_b, processes):
        self.a, self.b, self.to_a, self.to_b = a, b, to_a, to_b
        self.pids = [pid for process in processes for pid in descendants(process.pid)]


def veth(lab):
    a, b = lab.site("a", "none"), lab.site("b", "none")
    return Pair(a, b, a.address, b.address, [])


def agents(lab, server, kind, binary=None):
    key = server.setup_key()
    made = [kind(lab.site(n), binary) if binary else kind(lab.site(n), env={}) for n in "ab"]
    for agent in made:
        agent.up(server, key)
    to_a, to_b = (agent.wait_address() for agent in made)
    made[0].ping(to_b, count=10)
    made[0].wait_direct("hb", 40)
    return Pair(made[0].host, made[1].host, to_a, to_b, [agent.process for agent in made])


def linnet(lab):
    return agents(lab, LinnetServer(lab.server), LinnetAgent)


def netbird(lab):
    return agents(lab, NetbirdServer(lab.server, os.environ["NETBIRD_SERVER_BIN"]), NetbirdAgent, os.environ["NETBIRD_BIN"])


def wireguard_go(lab):
    hosts, keys, processes = [lab.site(n) for n in "ab"], [], []
    for host in hosts:
        private = subprocess.run(["wg", "genkey"], capture_output=True, text=True, check=True).stdout.strip()
        public = subprocess.run(["wg", "pubkey"], input=private, capture_output=True, text=True, check=True).stdout.strip()
        (host.folder / "key").write_text(private)
        keys.append(public)
    for number, host in enumerate(hosts):
        name = f"wgb{number}"
        processes.append(host.start("wireguard-go", "-f", name, log="wireguard-go.log"))
        wait_until(lambda: pathlib.Path(f"/var/run/wireguard/{name}.sock").exists(), 10, "wireguard-go")
        other = hosts[1 - number]
        host.run("wg", "set", name, "listen-port", "51820", "private-key", host.folder / "key", "peer", keys[1 - number],
                 "endpoint", f"{other.outside}:51820", "allowed-ips", "10.99.0.0/24", "persistent-keepalive", "1")
        host.run("ip", "addr", "add", f"10.99.0.{number + 1}/24", "dev", name)
        host.run("ip", "link", "set", name, "mtu", "1280", "up")
    wait_until(lambda: hosts[0].run("ping", "-c", "1", "-W", "1", "10.99.0.2", check=False).returncode == 0, 15, "the tunnel")
    return Pair(hosts[0], hosts[1], "10.99.0.1", "10.99.0.2", processes)


KINDS = {"veth": veth, "linnet": linnet, "wireguard-go": wireguard_go, "netbird": netbird}


def iperf(pair, *words, **how):
    """Once, and again while others disturb it; of several the least disturbed."""
    lines = []
    while len(lines) < TRIES and (not lines or lines[-1]["foreign_cpu"] > DISTURBED):
        lines.append(iperf_once(pair, *words, **how))
    return {**min(lines, key=lambda line: line["foreign_cpu"]), **({"tries": len(lines)} if len(lines) > 1 else {})}


def iperf_once(pair, *words, seconds, reverse=False, ping=False):
    client, server, address = (pair.b, pair.a, pair.to_a) if reverse else (pair.a, pair.b, pair.to_b)
    back = server.start("iperf3", "-s", "-1", log="iperf3-server.log")
    time.sleep(0.3)
    before, began, machine = cpu_seconds(pair.pids), time.monotonic(), machine_seconds()
    children = os.times()
    watch = None
    if ping:
        count = int(seconds * 40)
        watch = client.start("ping", "-i", "0.02", "-c", count, "-W", "2", address, log=f"ping-{time.monotonic_ns()}.log")
    done = client.run("iperf3", "-c", address, "-t", seconds, "--json", *words, check=False, timeout=seconds * 3 + 20)
    used = cpu_seconds(pair.pids) - before
    back.stop(timeout=3)
    machine, took, now = machine_seconds() - machine, time.monotonic() - began, os.times()
    ours = used + now.children_user + now.children_system - children.children_user - children.children_system
    line = {"seconds": round(took, 2), "foreign_cpu": round(max(0, machine - ours) / took, 2)}
    if done.returncode != 0:
        return {**line, "error": (json.loads(done.stdout).get("error") if done.stdout.startswith("{") else done.stderr)[:200]}
    end = json.loads(done.stdout)["end"]
    received = end.get("sum_received") or end["sum"]
    line["gbit_s"] = round(received["bits_per_second"] / 1e9, 4)
    if "lost_percent" in end.get("sum", {}):
        line["offered_gbit_s"] = round((end.get("sum_sent") or end["sum"])["bits_per_second"] / 1e9, 4)
        line["lost_percent"] = round(end["sum"]["lost_percent"], 2)
    if received["bytes"]:
        line["cpu_s_per_gb"] = round(used / (received["bytes"] / 1e9), 3)
    if watch:
        watch.popen.wait(30)
        times = sorted(float(t) for t in re.findall(r"time=([\d.]+)", watch.output()))
        sent = int(re.search(r"(\d+) packets transmitted", watch.output()).group(1))
        if times:
            line["ping_p50_ms"] = statistics.median(times)
            line["ping_p99_ms"] = times[min(len(times) - 1, int(len(times) * 0.99))]
        line["pings_lost"] = sent - len(times)
    return line


RESULTS = {}  # what -> kind -> list of lines


def say(kind, what, line):
    print(json.dumps({"kind": kind, "what": what, **line}), flush=True)
    RESULTS.setdefault(what, {}).setdefault(kind, []).append(line)
    return line


def offer(pair, kind, size, rate, seconds, what=None, streams=1):
    return say(kind, what or f"udp {size} B, {rate} Mbit/s offered",
               iperf(pair, "-u", "-b", f"{rate / streams:.2f}M", "-l", str(size), "-P", str(streams), seconds=seconds, ping=True))


def ladder(pair, kind, size, seconds):
    """Up the ladder until two steps in a row bring no new best; then four times the best, and four flows at the best."""
    best, best_rate, worse = 0.0, 0, 0
    for rate in LADDER[size]:
        got = offer(pair, kind, size, rate, seconds).get("gbit_s", 0)
        worse = 0 if got > best else worse + 1
        if got > best:
            best, best_rate = got, rate
        if worse == 2:
            break
    say(kind, f"udp {size} B, best", {"gbit_s": best})
    over = offer(pair, kind, size, round(best * 1000 * OVERLOAD), seconds, f"udp {size} B, {OVERLOAD} times the best offered")
    if best:
        say(kind, f"udp {size} B, kept of the best under overload", {"share": round(over.get("gbit_s", 0) / best, 3)})
    offer(pair, kind, size, best_rate, seconds, f"udp {size} B, four flows at the best rate", streams=4)


def measure(kind, parts, seconds, quick):
    with Lab("bench") as lab:
        pair = KINDS[kind](lab)
        iperf(pair, seconds=1)  # NetBird's agent carries a third of its best at first
        if "tcp" in parts:
            for streams in (1, 4):
                for reverse in (False,) if quick else (False, True):
                    say(kind, f"tcp x{streams}{' back' if reverse else ''}",
                        iperf(pair, "-P", str(streams), seconds=seconds, reverse=reverse, ping=True))
            say(kind, "rss after tcp", {"rss_kib": peak_rss(pair.pids)})
        for size in LADDER:
            if f"udp{size}" in parts and not quick:
                ladder(pair, kind, size, seconds)
                say(kind, f"rss after udp {size} B", {"rss_kib": peak_rss(pair.pids)})


def summary():
    """Medians, and the ratio to NetBird's agent: above 1 is more of it."""
    for what, kinds in RESULTS.items():
        for kind, lines in kinds.items():
            medians = {}
            for name in ("gbit_s", "cpu_s_per_gb", "rss_kib", "ping_p50_ms", "ping_p99_ms", "share"):
                values = [line[name] for line in lines if name in line]
                theirs = [line[name] for line in kinds.get("netbird", []) if name in line]
                if values:
                    medians[name] = statistics.median(values)
                if values and theirs and kind != "netbird" and statistics.median(theirs):
                    medians[name + "_to_netbird"] = round(statistics.median(values) / statistics.median(theirs), 3)
            if medians:
                print(json.dumps({"summary": what, "kind": kind, "rounds": len(lines), **medians}), flush=True)


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--kinds", default="veth,linnet,wireguard-go,netbird")
    words.add_argument("--parts", default="tcp,udp1200,udp64")
    words.add_argument("--seconds", type=int, default=4)
    words.add_argument("--rounds", type=int, default=1)
    words.add_argument("--rates", help="another ladder, in Mbit/s, for one size of datagrams")
    words.add_argument("--quick", action="store_true", help="TCP one way only")
    given = words.parse_args()
    print(json.dumps(machine()), flush=True)
    if given.rates:
        LADDER.update({size: tuple(int(rate) for rate in given.rates.split(",")) for size in LADDER})
    for _ in range(given.rounds):
        for kind in given.kinds.split(","):
            if kind == "netbird" and not (os.environ.get("NETBIRD_BIN") and os.environ.get("NETBIRD_SERVER_BIN")):
                print("# netbird: NETBIRD_BIN and NETBIRD_SERVER_BIN are not set", file=sys.stderr)
                continue
            try:
                measure(kind, given.parts.split(","), given.seconds, given.quick)
            except LabError as failed:
                print(f"# {kind}: {failed}", file=sys.stderr)
    summary()


if __name__ == "__main__":
    main()
