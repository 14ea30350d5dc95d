#!/usr/bin/python3
"""Relayed traffic of the kernel's WireGuard: loopback addresses against ports by XDP, in the guest of tests/guest.

Usage: run.py. Programs from $LINNET_BIN. Two agents, the relay and both kernels share one emulated processor whose
clock counts instructions, so a figure is instructions per byte whatever else this computer does. JSON lines: mode,
mbit_s, cpu_s_per_gb (of everything in the guest), agents_s_per_gb (of both linnetd), relay_s_per_gb; then medians.
"""
import json
import os
import pathlib
import statistics
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "guest"))

import guest_image  # noqa: E402

HERTZ = 100  # USER_HZ of the guest
LIMIT = 280


def lines(log):
    for line in log.splitlines():
        words = line.split()
        if len(words) == 9 and words[0] == "@@":
            size, seconds, everything, a, b, relay = map(float, words[3:])
            gb = size / 1e9
            yield {"mode": words[1], "mbit_s": round(size * 8e-6 / seconds, 2),
                   "cpu_s_per_gb": round(everything / HERTZ / gb, 1),
                   "agents_s_per_gb": round((a + b) / HERTZ / gb, 1), "relay_s_per_gb": round(relay / HERTZ / gb, 1)}


def main():
    log = guest_image.boot(pathlib.Path(os.environ["LINNET_BIN"]).resolve(), LIMIT, HERE / "guest_bench.sh")
    found = list(lines(log))
    if not found:
        sys.exit(f"nothing was measured:\n{log[-2000:]}")
    for one in found:
        print(json.dumps(one))
    for mode in dict.fromkeys(one["mode"] for one in found):
        mine = [one for one in found if one["mode"] == mode]
        print(json.dumps({"mode": mode, "median": {key: statistics.median(one[key] for one in mine) for key in mine[0] if key != "mode"}}))


if __name__ == "__main__":
    main()
