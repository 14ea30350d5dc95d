"""The agent is killed at its writes, or has no room for them: the next start opens clean, and nothing it said is lost."""
import json
import os
import shutil
import subprocess
import time

import pytest
from lnlab import LinnetAgent, wait_until

# The n-th call of each kind by the main thread ends the process before the kernel does it.
POINTS = [(call, n) for call in ("fsync", "rename") for n in (1, 2, 3, 4)]
POINTS += [("write", n) for n in (1, 2, 3, 5, 8, 12, 18, 26, 36, 50)]


class KilledAgent(LinnetAgent):
    """linnetd under strace, which sends it SIGKILL when the chosen call begins."""

    def __init__(self, host, call, number, extra=()):
        self.inject = f"inject={call}:signal=KILL:when={number}"
        super().__init__(host, env={"ASAN_OPTIONS": "detect_leaks=0"}, extra=extra)

    def start(self):
        plain, self.daemon = self.daemon, "strace"
        extra, self.extra = self.extra, ("-f", "-qq", "-o", "/dev/null", "-e", self.inject, plain)
        words = [f"{k}={v}" for k, v in self.env.items()]
        self.process = self.host.start("env", *words, "strace", *self.extra, "--daemon-addr", f"unix://{self.socket}",
                                       "--state-dir", self.state, "--log-level", "error", "--log-file", "console", *extra,
                                       log="strace.log")
        self.daemon, self.extra = plain, extra
        wait_until(lambda: self.socket.exists() or not self.process.alive(), 15, "linnetd to listen or to be killed")


def reads_clean(agent):
    """Every file that is there is whole."""
    for path in agent.state.rglob("*.json"):
        text = path.read_text()
        assert isinstance(json.loads(text), (dict, list)), (path, text)
        assert path.stat().st_mode & 0o077 == 0, path


def one_point(host, server, key, call, number):
    """True when the kill came."""
    shutil.rmtree(host.folder / "state", ignore_errors=True)
    (host.folder / "linnetd.sock").unlink(missing_ok=True)
    killed = KilledAgent(host, call, number)
    up = killed.up_async(server, key)
    wait_until(lambda: not killed.process.alive() or not up.alive(), 30, "an end of `up`")
    acknowledged = up.popen.poll() == 0
    reached = not killed.process.alive()
    address = None if reached or not acknowledged else killed.address()
    killed.process.stop(number=9)
    up.stop(number=9)
    leave_no_daemon(host)
    reads_clean(killed)
    after = LinnetAgent(host)
    try:
        if acknowledged:
            again = wait_until(after.address, 15, "what was up to be up again")
            assert address in (None, again)
        after.up(server, key)
        assert after.address()
        after.down()
    finally:
        after.process.stop()
    assert not list(after.state.rglob("*.new")), "what the crash left was not cleaned away"
    return reached


def leave_no_daemon(host):
    """strace ended by SIGKILL leaves what it traced."""
    def gone():
        left = 0
        for pid in subprocess.run(["ip", "netns", "pids", host.netns], capture_output=True, text=True).stdout.split():
            try:
                if os.readlink(f"/proc/{pid}/exe").endswith("/linnetd"):
                    os.kill(int(pid), 9)
                    left += 1
            except OSError:
                pass
        return left == 0
    wait_until(gone, 10, "the killed daemon to be gone")


def test_killed_at_every_kind_of_write(lab, server):
    if shutil.which("strace") is None:
        pytest.skip("strace is missing")
    host, key = lab.site("a", "none"), server.setup_key()
    reached = {point: one_point(host, server, key, *point) for point in POINTS}
    for call in ("fsync", "rename", "write"):
        assert sum(reached[p] for p in POINTS if p[0] == call) >= 2, reached
    # Whatever happened, one machine that was told "connected" is one peer.
    assert server.process.alive()


def test_no_room_for_the_configuration(lab, server):
    """A full disk: `up` says which file, nothing is registered with a key that is not on disk, and room mends it."""
    host, key = lab.site("a", "none"), server.setup_key()
    disk = host.folder / "state"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], check=True)
    try:
        agent = LinnetAgent(host)
        with open(disk / "filler", "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"\0" * 4096)
            except OSError:
                pass
        done = host.run(*agent.up_argv(server, key), check=False, timeout=60)
        assert done.returncode == 1
        assert "default.json" in done.stderr and "No space left" in done.stderr, done.stderr
        assert json.loads(server.admin("peer", "list", "--json").stdout)["peers"] == []
        (disk / "filler").unlink()
        agent.up(server, key)
        address = agent.address()
        agent.down()
        with open(disk / "filler", "wb", buffering=0) as f:
            try:
                while True:
                    f.write(b"\0" * 512)
            except OSError:
                pass
        # A setting that cannot be stored is refused; what is stored stays whole, and so does the network.
        refused = host.run(*agent.up_argv(server, key), "--mtu", "1400", check=False, timeout=60)
        assert refused.returncode == 1 and "No space left" in refused.stderr, refused.stderr
        reads_clean(agent)
        agent.process.stop()
        agent.start()
        assert wait_until(agent.address, 15, "the network after a restart on the full disk") == address
        agent.down()
        agent.process.stop()
        time.sleep(0.1)
    finally:
        subprocess.run(["umount", str(disk)], check=False)
