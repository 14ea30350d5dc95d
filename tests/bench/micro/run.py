#!/usr/bin/python3
"""bench_micro with the machine it ran on: JSON lines. The program from $LINNET_BUILD, a build folder with tests."""
import json
import os
import pathlib
import subprocess
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1])]

from bench_servers import machine, programs_folder  # noqa: E402

print(json.dumps(machine()), flush=True)
build = pathlib.Path(os.environ.get("LINNET_BUILD") or programs_folder())
subprocess.run([build / "tests/bench/bench_micro", *sys.argv[1:]], check=True)
