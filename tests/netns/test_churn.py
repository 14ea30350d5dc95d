"""Peers come, go and change for a while: nothing grows, neither in the server nor in the agents that watch.

LINNET_CHURN_SECONDS (default 60) makes it longer; LINNET_CHURN_PEERS (default 200) makes it wider.
The numbers go to the test's output as JSON lines. Memory is judged on a release build ($LINNET_REL):
the allocator of the sanitizers keeps what was freed.
"""
import json
import os
import pathlib
import time

import pytest
from lnlab import LinnetAgent, programs_folder

SECONDS = float(os.environ.get("LINNET_CHURN_SECONDS", 60))
PEERS = int(os.environ.get("LINNET_CHURN_PEERS", 200))
GROWTH_MAX_KIB = 2048  # from the end of the first fifth to the last: less than 1 % of what comes and goes


@pytest.fixture
def release_build(monkeypatch):
    folder = os.environ.get("LINNET_REL")
    if folder:
        monkeypatch.setenv("LINNET_BIN", folder)
    if not (programs_folder() / "tests/bench/sync_load").exists():
        pytest.skip(f"{programs_folder()} has no tests/bench/sync_load")
    return bool(folder)


@pytest.fixture
def watched(release_build, server):
    """After release_build, so that the server is of the same folder."""
    return server


def program(pid, name):
    """The pid itself, or its child of that name when it was started through env or sh."""
    if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == name[:15]:
        return pid
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return next(int(c) for c in children if pathlib.Path(f"/proc/{c}/comm").read_text().strip() == name[:15])


def rss_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has no memory")


def test_nothing_grows(lab, release_build, watched):
    server, key = watched, watched.setup_key()
    a, b = (LinnetAgent(lab.site(name), extra=("--log-level", "info")) for name in "ab")
    for agent in (a, b):
        agent.up(server, key)
    assert a.ping(b.wait_address(), count=5).returncode == 0
    a.wait_direct("hb")
    pids = {"server": program(server.process.pid, "linnet-server"), "a": program(a.process.pid, "linnetd"),
            "b": program(b.process.pid, "linnetd")}
    crowd = lab.public_host("crowd", 90)
    load = crowd.start(programs_folder() / "tests/bench/sync_load", "--url", server.url, "--setup-key", key, "--peers", PEERS,
                       "register", "open", f"churn:{SECONDS:.0f}", "check", log="load.log")
    while "churn" not in load.output() and load.alive() and '"open"' not in load.output():
        time.sleep(0.1)
    began, seen = time.monotonic(), []
    while time.monotonic() < began + SECONDS and load.alive():
        seen.append({"at": round(time.monotonic() - began, 1), **{name: rss_kib(pid) for name, pid in pids.items()}})
        time.sleep(max(0.5, SECONDS / 120))
    for line in seen[::max(1, len(seen) // 10)] + seen[-1:]:
        print(json.dumps(line), flush=True)
    assert load.popen.wait(300) == 0, load.output()[-2000:]
    # The tunnel stood all the time, and both still know everybody.
    assert a.ping(b.address(), count=5).returncode == 0
    assert a.peer("hb")["status"] == "Connected"
    assert len(a.status()["peers"]["details"]) >= PEERS + 1
    if release_build:
        for name in pids:
            values = [line[name] for line in seen]
            fifth = max(1, len(values) // 5)
            early, late = max(values[:fifth]), min(values[-fifth:])
            assert late <= early + GROWTH_MAX_KIB, f"{name} grew from {early} to {late} KiB: {values}"
