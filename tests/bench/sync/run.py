#!/usr/bin/python3
"""Sync streams, ours and NetBird's in the same run: logins, memory per idle stream, storms, one change.

Usage: run.py [--peers 100,1000] [--idle 1000,5000] [--forms plain,components] [--kinds linnet,netbird] [--no-tls]
[--phases "register open change"] [--limit S]. JSON lines; NetBird's combined server is measured when NETBIRD_SERVER_BIN names it. Programs
from $LINNET_BIN. Needs root (namespaces).

Two experiments. `map`: all peers see each other; register, open, three single changes, and everybody back at once
twice: `reopen` with nothing changed, `rejoin` with a change in between. The agents ask for plain maps, or for component
maps as those of v0.75 and later do. `idle`: nobody sees anybody, so that what is measured is the
stream: resident KiB per stream against the same peers registered and gone (`cut`; what they cost is kib_per_peer), right
after opening and once more after everybody has reconnected at once.
"""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from bench_servers import Bench, Lab, emit, kinds, machine  # noqa: E402


FORMS = ["plain", "components"]  # by SyncRequest's syncMessageVersion


PHASES = "register open idle:2 change idle:1 change idle:1 change reopen rejoin"


def maps(kind, tls, peers, form, phases, limit):
    with Lab("syn") as lab:
        bench = Bench(lab, kind, tls, components=form == "components")
        for line in bench.load("sync_load", "--setup-key", bench.server.setup_key(), "--peers", peers, "--sync-version",
                               FORMS.index(form), *phases.split(), timeout=limit):
            emit({"experiment": "map", "form": form, **line})


def idle(kind, tls, peers, limit):
    with Lab("syn") as lab:
        bench = Bench(lab, kind, tls)
        key = bench.server.setup_key()
        bench.forget_policies()
        before, registered = bench.rss(), 0
        for line in bench.load("sync_load", "--setup-key", key, "--peers", peers, "register", "cut:4", "open", "idle:4",
                               "reopen", "idle:4", timeout=limit):
            if line["phase"] == "cut":
                registered = line["server_rss_kib"]
                line["kib_per_peer"] = round((registered - before) / peers, 1)
            elif line["phase"] == "idle":
                line["kib_per_stream"] = round((line["server_rss_kib"] - registered) / peers, 1)
            emit({"experiment": "idle", **line})


def numbers(text):
    return [int(n) for n in text.split(",") if n]


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--peers", default="100,1000")
    words.add_argument("--idle", default="1000,5000")
    words.add_argument("--forms", default="plain,components")
    words.add_argument("--kinds")
    words.add_argument("--no-tls", action="store_true")
    words.add_argument("--phases", default=PHASES, help="of the maps experiment, as sync_load knows them")
    words.add_argument("--limit", type=float, default=600, help="seconds for one server and size")
    got = words.parse_args()
    emit(machine())
    # The two servers of one comparison run right behind each other.
    for peers in numbers(got.peers):
        for form in got.forms.split(","):
            for kind in kinds(got.kinds):
                maps(kind, False, peers, form, got.phases, got.limit)
            if not got.no_tls and "linnet" in kinds(got.kinds):
                maps("linnet", True, peers, form, got.phases, got.limit)
    for peers in numbers(got.idle):
        for kind in kinds(got.kinds):
            idle(kind, False, peers, got.limit)
        if not got.no_tls and "linnet" in kinds(got.kinds):
            idle("linnet", True, peers, got.limit)


if __name__ == "__main__":
    main()
