"""Our user-space WireGuard (src/agent/uwg) against Debian's wireguard-go, in two namespaces.

    +-- ours ------------+        veth        +-- theirs ----------+
    | uwg_driver  wgo0   | 192.0.2.1 -- .2    | wireguard-go  wgt0 |
    | 10.77.0.1 fd77::1  | 2001:db8::1 -- ::2 | 10.77.0.2 fd77::2  |
    +--------------------+                    +--------------------+
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NEEDED = ("ip", "wg", "wireguard-go", "ping", "iperf3")


def find_driver():
    """In the folder of the programs under test, as in tests/netns/lnlab/programs.py."""
    named = os.environ.get("LINNET_BIN")
    for folder in [named] if named else [ROOT / "build/rel", ROOT / "build/dev", ROOT / "build/asan"]:
        path = pathlib.Path(folder, "tests/interop/uwg_driver")
        if path.exists():
            return path
    return None


DRIVER = find_driver()
pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root for namespaces"),
    pytest.mark.skipif(DRIVER is None, reason="uwg_driver is not built"),
    pytest.mark.skipif(not all(shutil.which(p) for p in NEEDED), reason="needs " + ", ".join(NEEDED)),
    pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="no /dev/net/tun"),
]


def run(*argv, check=True, timeout=30, stdin=None):
    r = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    if check and r.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: {r.stdout}{r.stderr}")
    return r.stdout.strip()


def wait_for(what, seconds, text):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = what()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {text}")


class Driver:
    """uwg_driver in a namespace; its lines are collected as they come."""

    def __init__(self, ns, key, port, rekey):
        self.lines = []
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", ns, str(DRIVER), "wgo0", str(port), "1420", str(rekey), key],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        wait_for(lambda: self.count("ready") or self.process.poll() is not None, 5, "the driver")
        assert self.count("ready"), self.lines

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def tell(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def count(self, word):
        return sum(1 for line in self.lines if line.split()[:1] == [word])

    def stats(self, key):
        n = self.count("stats")
        self.tell(f"stats {key}")
        wait_for(lambda: self.count("stats") > n, 3, "statistics")
        return [line for line in self.lines if line.startswith("stats")][-1]

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        self.reader.join(2)
        assert self.process.returncode == 0, self.lines[-20:]


class Lab:
    def __init__(self):
        tag = f"wg{os.getpid()}"
        self.ours, self.theirs = tag + "o", tag + "t"
        self.driver = None
        self.go = None
        for ns in (self.ours, self.theirs):
            run("ip", "netns", "add", ns)
            self.ip(ns, "link", "set", "lo", "up")
        run("ip", "link", "add", tag + "v", "netns", self.ours, "type", "veth",
            "peer", "name", tag + "v", "netns", self.theirs)
        for i, ns in ((1, self.ours), (2, self.theirs)):
            self.ip(ns, "link", "set", tag + "v", "name", "eth0")
            self.ip(ns, "addr", "add", f"192.0.2.{i}/24", "dev", "eth0")
            self.ip(ns, "addr", "add", f"2001:db8::{i}/64", "dev", "eth0", "nodad")
            self.ip(ns, "link", "set", "eth0", "up")
        self.key = {ns: run("wg", "genkey") for ns in (self.ours, self.theirs)}
        self.pub = {ns: run("wg", "pubkey", stdin=k) for ns, k in self.key.items()}
        self.psk = run("wg", "genpsk")

    @staticmethod
    def ip(ns, *argv):
        return run("ip", "-n", ns, *argv)

    def inside(self, ns, *argv, **kw):
        return run("ip", "netns", "exec", ns, *argv, **kw)

    def addresses(self, ns, name, number):
        self.ip(ns, "addr", "add", f"10.77.0.{number}/24", "dev", name)
        self.ip(ns, "addr", "add", f"fd77::{number}/64", "dev", name, "nodad")
        self.ip(ns, "link", "set", name, "up")

    def start_ours(self, rekey=120, port=51820):
        self.driver = Driver(self.ours, self.key[self.ours], port, rekey)
        self.addresses(self.ours, "wgo0", 1)

    def start_theirs(self):
        env = dict(os.environ, WG_PROCESS_FOREGROUND="1", LOG_LEVEL="error")
        self.go = subprocess.Popen(["ip", "netns", "exec", self.theirs, "wireguard-go", "-f", "wgt0"],
                                   env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: "interface: wgt0" in self.inside(self.theirs, "wg", "show", "wgt0", check=False),
                 5, "wireguard-go")
        self.wg("private-key", "/dev/stdin", "listen-port", "51820", stdin=self.key[self.theirs])
        self.addresses(self.theirs, "wgt0", 2)

    def wg(self, *argv, **kw):
        return self.inside(self.theirs, "wg", "set", "wgt0", *argv, **kw)

    def their_peer(self, endpoint=None, psk=False):
        argv = ["peer", self.pub[self.ours], "allowed-ips", "10.77.0.1/32,fd77::1/128"]
        if endpoint:
            argv += ["endpoint", endpoint]
        if psk:
            argv += ["preshared-key", "/dev/stdin"]
        self.wg(*argv, stdin=self.psk if psk else None)

    def our_peer(self, psk=False, keepalive=0):
        self.driver.tell(f"peer {self.pub[self.theirs]} {self.psk if psk else '-'} {keepalive} "
                         "10.77.0.2/32,fd77::2/128")

    def our_endpoint(self, endpoint, initiate=0):
        self.driver.tell(f"endpoint {self.pub[self.theirs]} {endpoint} {initiate}")

    def ping(self, ns, to, count=1, wait=12):  # two handshakes may be lost
        out = self.inside(ns, "ping", "-c", str(count), "-i", "0.05", "-W", str(wait), to, check=False, timeout=60)
        return int(re.search(r"(\d+) received", out).group(1)) if "received" in out else 0

    def iperf(self, client, to, seconds=2, reverse=False):
        server_ns = self.theirs if client == self.ours else self.ours
        server = subprocess.Popen(["ip", "netns", "exec", server_ns, "iperf3", "-s", "-1"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: ":5201" in self.inside(server_ns, "ss", "-ltn"), 5, "iperf3")
            argv = ["iperf3", "-c", to, "-t", str(seconds), "-J"] + (["-R"] if reverse else [])
            out = json.loads(self.inside(client, *argv, timeout=30))
            server.wait(5)
        finally:
            if server.poll() is None:
                server.kill()
                server.wait()
        return out["end"]["sum_received"]["bits_per_second"] / 1e6

    def close(self):
        try:
            if self.driver:
                self.driver.close()
        finally:
            if self.go:
                self.go.send_signal(signal.SIGTERM)
                try:
                    self.go.wait(5)
                except subprocess.TimeoutExpired:
                    self.go.kill()
                    self.go.wait()
            for ns in (self.ours, self.theirs):
                run("ip", "netns", "del", ns, check=False)


@pytest.fixture
def lab():
    made = Lab()
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("psk", [False, True])
def test_we_initiate(lab, family, psk):
    lab.start_ours()
    lab.start_theirs()
    lab.their_peer(psk=psk)
    lab.our_peer(psk=psk)
    lab.our_endpoint("192.0.2.2:51820" if family == 4 else "[2001:db8::2]:51820")
    assert lab.ping(lab.ours, "10.77.0.2", 10) == 10
    assert lab.ping(lab.theirs, "fd77::1", 10) == 10
    assert lab.driver.count("handshake") == 1
    assert "handshake=1" in lab.driver.stats(lab.pub[lab.theirs])


@pytest.mark.parametrize("psk", [False, True])
def test_they_initiate(lab, psk):
    lab.start_ours()
    lab.start_theirs()
    lab.our_peer(psk=psk)
    lab.their_peer("192.0.2.1:51820", psk=psk)
    assert lab.ping(lab.theirs, "fd77::1", 10) == 10
    assert lab.ping(lab.ours, "10.77.0.2", 10) == 10
    assert lab.driver.count("handshake") == 1
    assert lab.driver.count("roamed") == 1  # it told us where it is


def test_wrong_psk_stays_silent(lab):
    lab.start_ours()
    lab.start_theirs()
    lab.their_peer(psk=True)
    lab.our_peer(psk=False)
    lab.our_endpoint("192.0.2.2:51820", 1)
    assert lab.ping(lab.ours, "10.77.0.2", 2, wait=1) == 0
    assert lab.driver.count("handshake") == 0


def test_wanted_peer_keeps_its_first_packet(lab):
    lab.start_ours()
    lab.start_theirs()
    lab.their_peer()
    lab.our_peer()
    ping = subprocess.Popen(["ip", "netns", "exec", lab.ours, "ping", "-c", "1", "-W", "5", "10.77.0.2"],
                            stdout=subprocess.DEVNULL)
    wait_for(lambda: lab.driver.count("wanted"), 3, "the event")
    lab.our_endpoint("192.0.2.2:51820", 1)
    assert ping.wait(6) == 0


def test_rekey_while_traffic_flows(lab):
    """Our sessions are renewed every 3 s here; no packet is lost over several of them."""
    lab.start_ours(rekey=3)
    lab.start_theirs()
    lab.their_peer()
    lab.our_peer()
    lab.our_endpoint("192.0.2.2:51820")
    out = lab.inside(lab.ours, "ping", "-c", "400", "-i", "0.05", "-W", "5", "10.77.0.2", timeout=60)
    assert " 400 received" in out
    assert lab.driver.count("handshake") >= 4  # one per 5 s at most: Rekey-Timeout


def test_roaming_of_both_sides(lab):
    lab.start_ours()
    lab.start_theirs()
    lab.their_peer()
    lab.our_peer()
    lab.our_endpoint("192.0.2.2:51820")
    assert lab.ping(lab.ours, "10.77.0.2", 3) == 3
    before = lab.driver.count("roamed")
    lab.wg("listen-port", "40404")  # they move
    assert lab.ping(lab.theirs, "10.77.0.1", 3) == 3
    assert lab.ping(lab.ours, "10.77.0.2", 3) == 3
    assert lab.driver.count("roamed") == before + 1
    wait_for(lambda: ":40404" in lab.driver.stats(lab.pub[lab.theirs]), 3, "the new endpoint")
    lab.ip(lab.ours, "addr", "del", "192.0.2.1/24", "dev", "eth0")  # we move
    lab.ip(lab.ours, "addr", "add", "192.0.2.9/24", "dev", "eth0")
    assert lab.ping(lab.ours, "10.77.0.2", 3) == 3
    assert lab.ping(lab.theirs, "10.77.0.1", 3) == 3
    assert "192.0.2.9" in lab.inside(lab.theirs, "wg", "show", "wgt0", "endpoints")
    assert lab.driver.count("handshake") == 1


def test_endpoint_change_loses_nothing(lab):
    lab.start_ours()
    lab.start_theirs()
    lab.their_peer()
    lab.our_peer()
    lab.our_endpoint("192.0.2.2:51820")
    assert lab.ping(lab.ours, "10.77.0.2", 3) == 3
    ping = subprocess.Popen(["ip", "netns", "exec", lab.ours, "ping", "-c", "100", "-i", "0.02", "-W", "5",
                             "10.77.0.2"], stdout=subprocess.PIPE, text=True)
    for i in range(10):
        time.sleep(0.15)
        lab.our_endpoint("[2001:db8::2]:51820" if i % 2 == 0 else "192.0.2.2:51820", 1)
    out, _ = ping.communicate(timeout=20)
    assert " 100 received" in out
    assert lab.driver.count("handshake") == 1


def test_removed_peer_is_gone(lab):
    lab.start_ours()
    lab.start_theirs()
    lab.their_peer("192.0.2.1:51820")
    lab.our_peer()
    assert lab.ping(lab.theirs, "10.77.0.1", 2) == 2
    lab.driver.tell(f"remove {lab.pub[lab.theirs]}")
    assert lab.ping(lab.theirs, "10.77.0.1", 2, wait=1) == 0
    assert lab.driver.stats(lab.pub[lab.theirs]) == "stats none"


def test_stun_reaches_the_owner(lab):
    lab.start_ours()
    request = bytes.fromhex("000100002112a442") + bytes(12)
    code = f"import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto({request!r}, ('192.0.2.1', 51820))"
    lab.inside(lab.theirs, "python3", "-c", code)
    wait_for(lambda: lab.driver.count("stun"), 3, "the datagram")
    lab.inside(lab.theirs, "python3", "-c", code.replace(repr(request), repr(request[:-1])))
    time.sleep(0.2)
    assert lab.driver.count("stun") == 1


def test_nobody_has_the_address(lab):
    """Whoever asks for an address of no peer is told at once, in both families."""
    lab.start_ours()
    for address in ("10.77.0.77", "fd77::77"):
        out = lab.inside(lab.ours, "ping", "-c", "2", "-i", "0.1", "-W", "3", address, check=False)
        assert "nreachable" in out, out


UDP_RECEIVER = """
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
s.bind(("::", 7777))
s.settimeout(5)
print("ready", flush=True)
got = 0
try:
    while got < int(sys.argv[1]):
        data = s.recv(2000)
        number = int.from_bytes(data[:4], "big")
        assert number == got, (number, got)
        assert data[4:] == bytes((number + i) % 256 for i in range(len(data) - 4)), number
        assert len(data) == (1000 if number % 25 else 301), (number, len(data))
        got += 1
finally:
    print("got", got, flush=True)
"""
UDP_SENDER = """
import socket, sys, time
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 7777))
for number in range(int(sys.argv[2])):
    size = 1000 if number % 25 else 301
    s.send(number.to_bytes(4, "big") + bytes((number + i) % 256 for i in range(size - 4)))
    if number % 100 == 99:
        time.sleep(0.01)
"""


@pytest.mark.parametrize("address", ["::ffff:10.77.0.1", "fd77::1"])
def test_datagrams_keep_their_borders(lab, address):
    """Joined on the way into our interface and cut again by the kernel: sizes, content and order stay."""
    lab.start_ours()
    other = Driver(lab.theirs, lab.key[lab.theirs], 51820, 120)
    count = 2000
    try:
        lab.addresses(lab.theirs, "wgo0", 2)
        lab.our_peer()
        lab.driver.stats(lab.pub[lab.theirs])  # it knows the peer, before that one speaks
        other.tell(f"peer {lab.pub[lab.ours]} - 0 10.77.0.1/32,fd77::1/128")
        other.tell(f"endpoint {lab.pub[lab.ours]} 192.0.2.1:51820 1")
        assert lab.ping(lab.theirs, "10.77.0.1", 2) == 2
        receiver = subprocess.Popen(["ip", "netns", "exec", lab.ours, "python3", "-c", UDP_RECEIVER, str(count)],
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert receiver.stdout.readline() == "ready\n"
        lab.inside(lab.theirs, "python3", "-c", UDP_SENDER, address, str(count))
        out, _ = receiver.communicate(timeout=20)
        assert f"got {count}" in out, out
    finally:
        other.close()


def test_interface_taken_away(lab):
    lab.start_ours()
    lab.ip(lab.ours, "link", "del", "wgo0")
    wait_for(lambda: lab.driver.count("down"), 15, "the event")


def test_name_and_port_taken(lab):
    lab.ip(lab.ours, "link", "add", "wgo0", "type", "bridge")
    r = subprocess.run(["ip", "netns", "exec", lab.ours, str(DRIVER), "wgo0", "0", "1420", "120", lab.key[lab.ours]],
                       capture_output=True, text=True, timeout=10, check=False)
    assert r.returncode == 1
    assert "wgo0 exists already" in r.stderr
    lab.ip(lab.ours, "link", "del", "wgo0")
    holder = subprocess.Popen(["ip", "netns", "exec", lab.ours, "python3", "-c",
                               "import socket,sys; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
                               "s.bind(('', 51820)); print('bound', flush=True); sys.stdin.read()"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        holder.stdout.readline()
        lab.start_ours()
        assert not lab.driver.lines[0].startswith("ready 51820 ")
    finally:
        holder.stdin.close()
        holder.wait(5)


def test_throughput_both_ways(lab):
    """Correct under load, and no slower than it must be; the figures go into the log."""
    lab.start_ours()
    lab.start_theirs()
    lab.their_peer()
    lab.our_peer()
    lab.our_endpoint("192.0.2.2:51820", 1)
    assert lab.ping(lab.ours, "10.77.0.2") == 1
    for to in ("10.77.0.2", "fd77::2"):
        out = lab.iperf(lab.ours, to)
        back = lab.iperf(lab.ours, to, reverse=True)
        print(f"TCP to wireguard-go over {to}: out {out:.0f} Mb/s, back {back:.0f} Mb/s")
        assert out > 50 and back > 50
