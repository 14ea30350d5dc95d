#!/usr/bin/python3
"""Sync streams, ours and NetBird's in the same run: logins, memory per idle stream, storms, one change.

Usage: run.py [--peers 100,1000] [--idle 1000,5000] [--kinds linnet,netbird] [--no-tls] [--limit S]. JSON lines; NetBird's
combined server is measured when NETBIRD_SERVER_BIN names it. Programs from $LINNET_BIN. Needs root (namespaces).

Two experiments. `map`: all peers see each other; register, open, one change, and everybody back at once twice: with a
change since the last map, and with none. `idle`: nobody sees anybody, so that what is measured is the stream: its
resident KiB, h2c and TLS (NetBird's server keeps to h2c here: it takes certificates only with a domain).
"""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from bench_servers import Bench, Lab, emit, kinds, machine  # noqa: E402


def maps(kind, tls, peers, limit):
    with Lab("syn") as lab:
        bench = Bench(lab, kind, tls)
        phases = ["register", "open", "idle:2", "change", "reopen", "idle:2", "reopen"]
        names = iter(["register", "open", "idle", "change", "reopen changed", "idle", "reopen unchanged"])
        for line in bench.load("sync_load", "--setup-key", bench.server.setup_key(), "--peers", peers, *phases,
                               timeout=limit):
            line["phase"] = next(names)
            emit({"experiment": "map", **line})


def idle(kind, tls, peers, limit):
    with Lab("syn") as lab:
        bench = Bench(lab, kind, tls)
        key = bench.server.setup_key()
        bench.forget_policies()
        registered = None
        for line in bench.load("sync_load", "--setup-key", key, "--peers", peers, "register", "idle:2", "open", "idle:3",
                               "reopen", "idle:3", timeout=limit):
            if line["phase"] == "idle":
                rss = line["server_rss_kib"]
                if registered is None:
                    registered = rss
                line["kib_per_stream"] = round((rss - registered) / peers, 1)
            emit({"experiment": "idle", **line})


def numbers(text):
    return [int(n) for n in text.split(",") if n]


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--peers", default="100,1000")
    words.add_argument("--idle", default="1000,5000")
    words.add_argument("--kinds")
    words.add_argument("--no-tls", action="store_true")
    words.add_argument("--limit", type=float, default=600, help="seconds for one server and size")
    got = words.parse_args()
    emit(machine())
    for experiment, sizes in ((maps, numbers(got.peers)), (idle, numbers(got.idle))):
        for peers in sizes:
            for kind in kinds(got.kinds):
                experiment(kind, False, peers, got.limit)
            if not got.no_tls and "linnet" in kinds(got.kinds):
                experiment("linnet", True, peers, got.limit)


if __name__ == "__main__":
    main()
