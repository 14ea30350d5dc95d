#!/usr/bin/python3
"""The signal service, ours and NetBird's in the same run: memory per stream, messages a second, CPU, latency.

Usage: run.py [--pairs 50,1000] [--seconds 4] [--kinds linnet,netbird] [--no-tls]. JSON lines; NetBird's combined server is
measured when NETBIRD_SERVER_BIN names it. Programs from $LINNET_BIN. Needs root (namespaces).

Lines: `open` (64 at once) and `reopen` (all at once), p50 and p99 until registered; `idle` with kib_per_stream, resident,
before any message and at the end; `flood`, four messages of each pair under way; `rate`, 1,000 messages a second, so that
latencies are compared at an offered load that both carry.
"""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from bench_servers import Bench, Lab, emit, kinds, machine  # noqa: E402

RATE = 1000


def one(kind, tls, pairs, seconds):
    with Lab("sgn") as lab:
        bench = Bench(lab, kind, tls)
        before = bench.rss()
        for line in bench.load("signal_load", "--pairs", pairs, "open", "idle:3", f"flood:4:{seconds}",
                               f"rate:{RATE}:{seconds}", "reopen", "idle:2"):
            if line["phase"] == "idle" and pairs >= 500:  # with fewer, what any first connection costs would count
                line = {**line, "kib_per_stream": round((line["server_rss_kib"] - before) / (2 * pairs), 1)}
            emit(line)


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--pairs", default="50,1000")
    words.add_argument("--seconds", type=float, default=4)
    words.add_argument("--kinds")
    words.add_argument("--no-tls", action="store_true")
    got = words.parse_args()
    emit(machine())
    for pairs in (int(p) for p in got.pairs.split(",")):
        for kind in kinds(got.kinds):
            one(kind, False, pairs, got.seconds)
        if not got.no_tls and "linnet" in kinds(got.kinds):
            one("linnet", True, pairs, got.seconds)


if __name__ == "__main__":
    main()
