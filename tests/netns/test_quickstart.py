"""quickstart.sh as a newcomer uses it: every mode, twice, interrupted, and with a port that is taken."""
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest
from lnlab import LinnetAgent, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "quickstart.sh"


@pytest.fixture(scope="module", autouse=True)
def built():
    if os.geteuid() != 0:
        pytest.skip("quickstart.sh is for root")
    done = subprocess.run([SCRIPT, "build"], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Built: build/rel/linnet " in done.stdout


class Machine:
    """One machine of the lab on which somebody starts quickstart.sh."""

    def __init__(self, host):
        self.host, self.state = host, host.folder / "quick"
        self.env = (f"LINNET_QUICKSTART_DIR={self.state}", f"LINNET_SOCKET={host.folder / 'agent.sock'}",
                    "LINNET_EXPOSED=198.51.100.10")

    def quick(self, *words, env=()):
        return self.host.run("env", *self.env, *env, SCRIPT, *words, check=False, timeout=120)

    def pids(self):
        return sorted(int(p.read_text()) for p in self.state.glob("*.pid"))


@pytest.fixture
def machine(lab):
    made = Machine(lab.server)
    yield made
    made.quick("stop")


def alive(pid):
    return pathlib.Path(f"/proc/{pid}").exists()


def links(machine):
    return machine.host.run("ip", "-o", "link").stdout


def test_main_mode(lab, machine):
    done = machine.quick()
    assert done.returncode == 0, done.stdout + done.stderr
    join = re.search(r"build/rel/linnet up --management-url (\S+) --setup-key (\S+)", done.stdout)
    assert join, done.stdout
    assert not (machine.state / "setup-key").exists()
    assert "wt0" in links(machine)

    # The printed line joins the next machine.
    other = LinnetAgent(lab.site("a"))
    other.cli("up", "--management-url", join.group(1), "--setup-key", join.group(2))
    address = other.address()
    assert machine.host.run("ping", "-c", "3", "-W", "5", address).returncode == 0

    # Again: harmless, the same processes, no second key.
    before = machine.pids()
    again = machine.quick()
    assert again.returncode == 0, again.stdout + again.stderr
    assert machine.pids() == before and "runs already" in again.stdout and join.group(2) not in again.stdout

    assert machine.quick("stop").returncode == 0
    wait_until(lambda: not any(alive(p) for p in before), 10, "both programs to end")
    assert "wt0" not in links(machine)
    assert machine.quick("stop").returncode == 0
    assert not machine.pids()

    # What was stopped goes on where it was: the other machine finds it again.
    assert machine.quick().returncode == 0
    assert machine.host.run("ping", "-c", "1", "-W", "40", address, timeout=60).returncode == 0

    last = machine.pids()
    assert machine.quick("remove").returncode == 0
    assert not machine.state.exists() and "wt0" not in links(machine)
    wait_until(lambda: not any(alive(p) for p in last), 10, "both programs to end")
    assert machine.quick("remove").returncode == 0


def test_port_in_use(machine):
    holder = machine.host.start("/usr/bin/python3", "-c",
                                "import socket,time; s=socket.create_server(('', 8080)); time.sleep(60)", log="holder.log")
    wait_until(lambda: ":8080" in machine.host.run("ss", "-ltn").stdout, 10, "the port to be taken")
    done = machine.quick()
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("quickstart: ") and "LINNET_PORT" in last, done.stderr
    assert not machine.pids()
    done = machine.quick(env=("LINNET_PORT=8081",))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "http://198.51.100.10:8081" in done.stdout
    holder.stop()


def test_wrong_mode():
    done = subprocess.run([SCRIPT, "sotp"], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2 and "Usage:" in done.stderr


def namespaces():
    out = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    return {line.split()[0] for line in out.splitlines()}


def demo_hosts(before):
    """Namespaces of `linnet lab` that were not there before."""
    return {name for name in namespaces() - before if re.match(r"lab\d+-", name)}


def test_lab_shows_everything():
    before = namespaces()
    done = subprocess.run([SCRIPT, "lab"], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("[router 198.51.100.21]", "first ping answered", "ping from b: 5 answered", "a sees b: direct",
                  "Gbit/s", "linnet status --detail, on a:", "linnet status --detail, on b:", "has been taken down"):
        assert words in done.stdout, done.stdout
    assert done.stdout.count("Connection type: P2P") == 2 and done.stdout.count("Management: Connected") == 2
    assert not demo_hosts(before)


@pytest.mark.parametrize("after", [0.7, 2.0, 4.0])
def test_lab_interrupted(after):
    before = namespaces()
    lab = subprocess.Popen([SCRIPT, "lab"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_until(lambda: demo_hosts(before) or lab.poll() is not None, 60, "the first namespace of the lab")
    time.sleep(after)
    lab.send_signal(signal.SIGINT)
    out, _ = lab.communicate(timeout=60)
    assert lab.returncode == 128 + signal.SIGINT, out
    assert "taken down" in out
    assert not demo_hosts(before)
