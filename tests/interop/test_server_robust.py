"""linnet-server on its worst days: killed at every kind of write, nonsense on its own socket, old ports, secrets."""
import base64
import json
import os
import pathlib
import random
import shutil
import socket
import sqlite3
import subprocess
import sys

import pytest

from lnlab import LinnetAgent, LinnetServer, programs_folder, wait_until
from test_server_program import Server, free_port

# The n-th call of its kind by one thread ends the process before the kernel does it.
POINTS = [("pwrite64", n) for n in (3, 9, 17, 26, 40)] + [("fdatasync", n) for n in (1, 2, 4, 8, 12)]


def ask(data, noun, verb, **args):
    """One request on the administration socket; None when the server ended before its answer."""
    try:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(str(data / "admin.sock"))
            s.sendall(json.dumps({"noun": noun, "verb": verb, "args": args}).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                part = s.recv(65536)
                if not part:
                    return None
                answer += part
    except OSError:
        return None
    return json.loads(answer)


def acknowledged_until_killed(data, call, number):
    """The names of groups that the server said it has made, the highest serial it showed, and whether the kill came."""
    words = ["--data-dir", data, "--listen", f"127.0.0.1:{free_port()}", "--stun-ports", free_port(socket.SOCK_DGRAM),
             "--stun-address", "127.0.0.1"]
    traced = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={number}",
              programs_folder() / "linnet-server", *words]
    names, serial = [], 0
    with open(data.parent / "killed.log", "ab") as log:
        process = subprocess.Popen([str(w) for w in traced], stdout=log, stderr=log,
                                   env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    try:
        wait_until(lambda: process.poll() is not None or ask(data, "account", "show"), 20, "a start or the kill")
        for i in range(20):
            name = f"{call}-{number}-{i}"
            answer = ask(data, "group", "create", name=name)
            if answer is None:
                break
            assert answer["ok"], answer
            names.append(name)
            shown = ask(data, "account", "show")
            serial = shown["result"]["serial"] if shown else serial
        reached = len(names) < 20
        if reached:
            process.wait(20)
    finally:
        process.terminate()  # strace hands it on
        process.wait(20)
    return names, serial, reached


def test_killed_at_every_kind_of_write(tmp_path):
    """What was acknowledged is there at the next start, whole, and serials do not fall."""
    if shutil.which("strace") is None:
        pytest.skip("strace is missing")
    kept, highest, reached = [], 0, {}
    for call, number in POINTS:
        names, serial, reached[call, number] = acknowledged_until_killed(tmp_path / "data", call, number)
        kept, highest = kept + names, max(highest, serial)
    for call in ("pwrite64", "fdatasync"):
        assert sum(reached[p] for p in POINTS if p[0] == call) >= 3, reached
    server = Server(tmp_path)
    assert set(kept) <= {g["name"] for g in server.json("group", "list")["groups"]}
    assert server.json("account", "show")["serial"] >= highest
    assert server.stop() == 0
    with sqlite3.connect(server.data / "store.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_nonsense_on_the_administration_socket(tmp_path):
    server = Server(tmp_path)
    rng = random.Random(7)
    good = b'{"noun": "group", "verb": "create", "args": {"name": "g"}}\n'
    lines = [rng.randbytes(rng.randrange(1, 3000)).replace(b"\n", b"") + b"\n" for _ in range(60)]
    lines += [good[:n] + b"\n" for n in range(0, len(good) - 1, 5)]
    lines += [b'{"noun": %s}\n' % (b"[" * 500), b'{"noun": "peer", "verb": "list", "args": ' + b'{"a":' * 200 + b"}\n",
              b"x" * (3 << 20) + b"\n"]
    for line in lines:
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(str(server.data / "admin.sock"))
            try:
                s.sendall(line)
                answer = s.recv(65536)
            except OSError:
                continue  # closed while we were still talking
            assert answer == b"" or json.loads(answer)["ok"] is False, (line, answer)
    # Half a line from everybody it lets in: they hold only themselves up.
    silent = []
    for _ in range(40):
        s = socket.socket(socket.AF_UNIX)
        s.connect(str(server.data / "admin.sock"))
        silent.append(s)
        try:
            s.sendall(b'{"noun": ')
        except OSError:
            pass
    with socket.create_connection(("127.0.0.1", server.port), 5) as page:
        page.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"200" in page.recv(200)
    for s in silent:
        s.close()
    wait_until(server.answers, 5, "room for an administrator")
    assert [g["name"] for g in server.json("group", "list")["groups"]] == ["All"]
    assert server.stop() == 0


CALLS = """
import sys, grpc
sys.path.insert(0, sys.argv[1])
for port, path in ((80, "management.ManagementService/GetServerKey"), (33073, "management.ManagementService/GetServerKey"),
                   (10000, "signalexchange.SignalExchange/Send")):
    with grpc.insecure_channel(f"198.51.100.10:{port}") as channel:
        channel.unary_unary("/" + path)(b"", timeout=10)
"""


def test_legacy_ports_serve(lab):
    """Agents of before the one port find management on 33073 and signal on 10000, when asked for."""
    host = lab.server
    server = LinnetServer(host, {"server": {"listenAddress": ":80", "exposedAddress": "http://198.51.100.10:80",
                                            "logFile": "console", "dataDir": str(host.folder / "data")},
                                 "linnet": {"legacyPorts": True}})
    client = lab.public_host("old", 77)
    client.run(sys.executable, "-c", CALLS, pathlib.Path(__file__).parent, timeout=40)
    assert server.process.stop() == 0


def secrets_of(agent):
    """Every private key an agent keeps on disk."""
    found = []

    def walk(value, name=""):
        if isinstance(value, dict):
            for key, each in value.items():
                walk(each, key)
        elif isinstance(value, list):
            for each in value:
                walk(each, name)
        elif isinstance(value, str) and len(value) >= 16 and any(w in name.lower() for w in ("private", "preshared", "ssh")):
            found.extend([value] + [line for line in value.splitlines() if len(line) > 40 and "-" not in line])
    for path in agent.state.rglob("*.json"):
        walk(json.loads(path.read_text()))
    return found


def test_no_secret_is_in_any_log(lab):
    """Everything at its loudest: setup key, private keys, the relay's and the server's secrets appear nowhere."""
    host, secret = lab.server, "the-relays-very-own-secret"
    preshared = base64.b64encode(b"a preshared key of just 32 bytes").decode()
    server = LinnetServer(host, {"server": {"listenAddress": ":80", "exposedAddress": "http://198.51.100.10:80",
                                            "stunPorts": [3478], "logLevel": "trace", "logFile": "console",
                                            "authSecret": secret, "dataDir": str(host.folder / "data")}})
    key = server.setup_key()
    a, b = (LinnetAgent(lab.site(name), extra=("--log-level", "trace")) for name in "ab")
    for agent in (a, b):
        agent.host.run(*agent.up_argv(server, key), "--preshared-key", preshared, timeout=60)
    assert a.ping(b.address(), count=10).returncode == 0
    wrong = LinnetAgent(lab.site("c"))
    wrong_key = "11111111-2222-4333-8444-555555555555"
    wrong.host.run(*wrong.up_argv(server, wrong_key), check=False, timeout=60)
    for agent in (a, b):
        agent.cli("status", "--detail")
        agent.down()
    own = secrets_of(a) + secrets_of(b)
    assert len(own) >= 2, "no private key was found where agents keep them"
    with sqlite3.connect(server.data / "store.db") as db:
        columns = [(t, c[1]) for (t,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()
                   for c in db.execute(f"PRAGMA table_info({t})").fetchall()]
        for table, column in columns:
            if "private" in column or "secret" in column:
                for (value,) in db.execute(f"SELECT {column} FROM {table}").fetchall():
                    own += [value.hex()] if isinstance(value, bytes) else [value] if value else []
    logs = [p for p in lab.server.folder.parent.rglob("*.log")]
    assert len(logs) >= 4
    for log in logs:
        text = log.read_text(errors="replace")
        for word in [key, wrong_key, secret, preshared, *own]:
            assert word not in text, f"{log} has a secret"
    assert " DEBUG " in (host.folder / "server.log").read_text() and " DEBUG " in a.process.output()
    server.process.stop()
