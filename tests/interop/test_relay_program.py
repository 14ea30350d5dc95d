"""linnet-server relay as a program: 10,000 peers in one process, its pages, and how it stops (issue: relay)."""
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import urllib.error
import urllib.request

import pytest
from lnlab import programs_folder, wait_until
from lnlab.authority import certificate

LOAD = pathlib.Path(os.environ.get("LINNET_BUILD") or programs_folder(), "tests/bench/relay_load")
SECRET, PEERS = "the secret of the test", 10000


def free_port():
    """Below the range that connections are made from: the crowd would take it."""
    for port in range(20000 + os.getpid() % 5000, 30000):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no free port")


class Relay:
    def __init__(self, folder, *words, scheme="rel"):
        self.port, self.log = free_port(), folder / "relay.log"
        self.pages = {}
        for name in ("metrics", "health"):
            with socket.socket() as s:
                s.bind(("127.0.0.1", 0))
                self.pages[name] = s.getsockname()[1]
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        argv = [programs_folder() / "linnet-server", "relay", "--listen", f"127.0.0.1:{self.port}", "--auth-secret", SECRET,
                "--relay-exposed-address", self.url, "--metrics-port", self.pages["metrics"], "--health-listen-address",
                f"127.0.0.1:{self.pages['health']}", "--log-file", "console", *words]
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([str(a) for a in argv], stdout=out, stderr=out,
                                            env={**os.environ, "LINNET_MAX_PER_SOURCE": "1000000"})
        wait_until(lambda: self.get("health", "/readyz")[0] == 200, 15, "the relay to be ready")

    def get(self, page, path):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.pages[page]}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except OSError:
            assert self.process.poll() is None, self.log.read_text()
            return 0, ""

    def metric(self, name):
        text = self.get("metrics", "/metrics")[1]
        return next(float(line[len(name):]) for line in text.splitlines() if line.startswith(name + " "))

    def kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text())[1])

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


@pytest.fixture
def started(tmp_path):
    made = []

    def start(*words, **more):
        made.append(Relay(tmp_path, *words, **more))
        return made[-1]
    yield start
    for relay in made:
        relay.stop()


def load(relay, *words):
    return subprocess.Popen([str(w) for w in (LOAD, "--url", relay.url, "--secret", SECRET, *words)],
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.skipif(not LOAD.exists(), reason=f"{LOAD} is not built")
def test_ten_thousand_peers(started):
    """All of them at one process of one core; traffic goes on beside them; then it sends them away and ends."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < PEERS + 1000:
        pytest.skip("this user may not have so many descriptors")
    relay = started("--log-level", "warn")
    before = relay.kib()
    crowd = load(relay, "--idle", "--pairs", PEERS // 2)
    try:
        assert crowd.stdout.readline() == "ready\n"
        assert relay.metric('relay_peers{transport="ws"}') == PEERS == relay.metric("relay_peers_idle")
        each = (relay.kib() - before) / PEERS
        print(f"{each:.1f} KiB for each of {PEERS} peers")
        if "asan" not in str(programs_folder()) and not os.environ.get("ASAN_OPTIONS"):
            assert each <= 14
        pair = load(relay, "--pairs", 1, "--first", PEERS, "--rate", 500, "--seconds", 1)
        row = json.loads(pair.communicate("\n", timeout=30)[0].splitlines()[-1])
        assert row["received"] == row["sent"] >= 400
        # SIGTERM: not ready any more, everybody is told, and it ends by itself.
        relay.process.send_signal(signal.SIGTERM)
        wait_until(lambda: relay.get("health", "/readyz")[0] == 503, 5, "the page to say so", every=0.05)
        assert relay.metric("relay_draining") == 1
        wait_until(lambda: relay.metric('relay_peers{transport="ws"}') < PEERS, 5, "the first to be sent away", every=0.05)
        assert relay.metric('relay_peers{transport="ws"}') > 0, "spread, not all at once"
        assert relay.process.wait(30) == 0, relay.log.read_text()
    finally:
        crowd.stdin.close()
        crowd.wait(30)


NAMES = {
    "relay_peers": "gauge", "relay_peers_active": "gauge", "relay_peers_idle": "gauge",
    "relay_transfer_sent_bytes_total": "counter", "relay_transfer_received_bytes_total": "counter",
    "relay_peer_authentication_time_milliseconds": "histogram", "relay_peer_store_time_milliseconds": "histogram",
    "relay_peer_reconnections_total": "counter", "relay_handshake_failures_total": "counter",
    "relay_transport_unknown_destination_total": "counter", "relay_transport_queue_drops_total": "counter",
    "relay_datagram_too_large_total": "counter", "relay_subscriptions": "gauge", "relay_draining": "gauge",
}


def test_pages(started, tmp_path):
    """The names of the specification, buckets included; health says what listens and whether the certificate is good."""
    _, cert, key = certificate(tmp_path, "127.0.0.1")
    relay = started("--cert-file", cert, "--cert-key", key, scheme="rels")
    text = relay.get("metrics", "/metrics")[1]
    for name, kind in NAMES.items():
        assert f"# TYPE {name} {kind}\n" in text
    for bucket in ("0.1", "0.5", "1", "5", "10", "50", "100", "500", "1000", "5000", "10000", "+Inf"):
        assert f'relay_peer_authentication_time_milliseconds_bucket{{le="{bucket}"}} 0' in text
    status, body = relay.get("health", "/health")
    health = json.loads(body)
    assert status == 200 and health["status"] == "healthy" and health["certificate_valid"] is True
    assert health["listeners"][0] == "ws"
    if "quic" in health["listeners"]:
        with socket.socket(type=socket.SOCK_DGRAM) as s, pytest.raises(OSError):
            s.bind(("127.0.0.1", relay.port))
    assert relay.get("health", "/livez")[0] == 200


def test_quic_can_be_turned_off(started, tmp_path, monkeypatch):
    _, cert, key = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv("LINNET_RELAY_WITHOUT_QUIC", "true")
    relay = started("--cert-file", cert, "--cert-key", key, scheme="rels")
    assert json.loads(relay.get("health", "/health")[1])["listeners"] == ["ws"]
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", relay.port))
