"""linnet-server as a program: command line, start-up errors, administration, signals, restarts."""
import json
import os
import pathlib
import signal as signals
import socket
import stat
import subprocess
import time

import pytest

from lnlab import programs_folder, wait_until


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(type=kind) as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*words, env=None, timeout=20):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LINNET_", "NB_", "NETBIRD_"))}
    return subprocess.run([programs_folder() / "linnet-server", *[str(w) for w in words]], capture_output=True, text=True,
                          env={**clean, **(env or {})}, timeout=timeout, stdin=subprocess.DEVNULL)


class Server:
    def __init__(self, folder, *words, env=None):
        self.data, self.log = folder / "data", folder / "server.log"
        self.port, self.stun = free_port(), free_port(socket.SOCK_DGRAM)
        self.words, self.env = words, env
        self.start()

    def argv(self):
        return ["--data-dir", self.data, "--listen", f"127.0.0.1:{self.port}", "--stun-ports", self.stun, "--stun-address",
                "127.0.0.1", "--exposed-address", f"http://127.0.0.1:{self.port}", *self.words]

    def start(self):
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen([programs_folder() / "linnet-server", *[str(w) for w in self.argv()]],
                                            stdout=out, stderr=out, env={**os.environ, **(self.env or {})})
        wait_until(self.answers, 15, "the server to answer")

    def answers(self):
        assert self.process.poll() is None, self.log.read_text()
        return self.admin("account", "show", check=False).returncode == 0

    def admin(self, *words, check=True):
        done = run("admin", "--data-dir", self.data, *words)
        assert not check or done.returncode == 0, done.stderr
        return done

    def json(self, *words):
        return json.loads(self.admin(*words, "--json").stdout)

    def stop(self, number=signals.SIGTERM, limit=20):
        self.process.send_signal(number)
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@pytest.fixture
def server(tmp_path):
    made = Server(tmp_path)
    yield made
    if made.process.poll() is None:
        assert made.stop() == 0, made.log.read_text()


# --- command line -------------------------------------------------------------------------------

@pytest.mark.parametrize("words", [
    ["--help"], ["help"], ["run", "--help"], ["management", "-h"], ["signal", "--help"], ["stun", "--help"],
    ["admin", "--help"], ["admin", "peer", "--help"], ["admin", "setup-key", "create", "--help"], ["config", "--help"],
    ["version"], ["--version"], ["config", "sample"], ["config", "manual"], ["completion", "bash"], ["completion", "zsh"],
    ["completion", "fish"]])
def test_prints_and_succeeds(words):
    done = run(*words)
    assert done.returncode == 0 and done.stdout and not done.stderr


@pytest.mark.parametrize("words", [
    ["nonsense"], ["--nonsense"], ["--listen"], ["extra", "words"], ["admin"], ["admin", "peer"], ["admin", "peer", "fly"],
    ["admin", "peer", "delete"], ["admin", "setup-key", "create"], ["admin", "peer", "list", "--force"], ["config"],
    ["completion", "tcsh"], ["--listen", "nowhere"], ["--log-level", "loud"]])
def test_wrong_usage_is_2(words):
    done = run(*words)
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_bash_completion_is_valid(tmp_path):
    script = tmp_path / "c.bash"
    script.write_text(run("completion", "bash").stdout + """
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _linnet_server; echo "${COMPREPLY[*]}"; }
try linnet-server adm
try linnet-server admin --config x pol
try linnet-server admin setup-key cre
try linnet-server admin setup-key create --usa
try linnet-server --exp
try linnet-server config ch
""")
    done = subprocess.run(["bash", script], capture_output=True, text=True)
    assert done.stdout.split("\n")[:6] == ["admin", "policy", "create", "--usage-limit", "--exposed-address", "check"]


def test_config_check_and_show(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(run("config", "sample").stdout)
    assert run("config", "check", "--config", file).returncode == 0
    file.write_text("server:\n  exposedAddress: http://vpn.test:8080\n  authSecret: very-secret\n  auth: {issuer: x}\n")
    done = run("config", "check", "--config", file)
    assert done.returncode == 0 and "server.auth" in done.stdout and "very-secret" not in done.stdout
    done = run("config", "show", "--config", file, "--log-level", "debug", env={"LINNET_DATA_DIR": "/d"})
    assert 'logLevel: "debug"  # --log-level' in done.stdout and 'dataDir: "/d"  # LINNET_DATA_DIR' in done.stdout
    assert "very-secret" not in done.stdout and "# line 2" in done.stdout


# --- start-up errors: one sentence on standard error, status 1 ------------------------------------

def one_sentence(done):
    assert done.returncode == 1, (done.returncode, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.startswith("linnet-server: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_config_errors(tmp_path):
    file = tmp_path / "c.yaml"
    assert "No such file" in one_sentence(run("--config", file))
    file.write_text("server:\n  listenAddres: ':80'\n")
    said = one_sentence(run("--config", file))
    assert f"{file}:2:" in said and "listenAddress" in said
    said = one_sentence(run(env={"LINNET_STUN_PORTS": "99999"}))
    assert said.startswith("linnet-server: LINNET_STUN_PORTS:") and "65535" in said


def test_port_in_use(tmp_path, server):
    said = one_sentence(run("--data-dir", tmp_path / "other", "--listen", f"127.0.0.1:{server.port}", "--stun-ports",
                            free_port(socket.SOCK_DGRAM)))
    assert f":{server.port} is in use" in said and "--listen" in said
    said = one_sentence(run("--data-dir", tmp_path / "other", "--listen", f"127.0.0.1:{free_port()}", "--stun-ports",
                            server.stun, "--stun-address", "127.0.0.1"))
    assert "in use" in said and "--stun-ports" in said


def test_folder_in_use(server):
    said = one_sentence(run("--data-dir", server.data, "--listen", f"127.0.0.1:{free_port()}"))
    assert f"pid {server.process.pid}" in said and "--data-dir" in said


def test_bad_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    said = one_sentence(run("--data-dir", tmp_path / "file" / "data", "--listen", f"127.0.0.1:{free_port()}"))
    assert "Not a directory" in said and "--data-dir" in said
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "store.db").write_bytes(b"no database, but long enough to look at" * 100)
    assert "store.db" in one_sentence(run("--data-dir", tmp_path / "bad", "--listen", f"127.0.0.1:{free_port()}"))


def test_full_and_read_only_disks(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    for options, fill, words in [("size=64k", 60000, ["full", "free some space"]), ("ro", 0, ["ead-only", "--data-dir"])]:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)
        try:
            if fill:
                (disk / "fill").write_bytes(b"x" * fill)
            said = one_sentence(run("--data-dir", disk / "data", "--listen", f"127.0.0.1:{free_port()}"))
            assert all(word in said for word in words), said
        finally:
            subprocess.run(["umount", str(disk)], check=True)


def test_foreign_address(tmp_path):
    said = one_sentence(run("--data-dir", tmp_path / "d", "--listen", "192.0.2.1:8080"))
    assert "192.0.2.1:8080" in said and "server.listenAddress" in said


def test_bad_certificate(tmp_path):
    (tmp_path / "c.pem").write_text("x")
    said = one_sentence(run("--data-dir", tmp_path / "d", "--listen", f"127.0.0.1:{free_port()}", "--cert-file",
                            tmp_path / "c.pem", "--cert-key", tmp_path / "c.pem"))
    assert "c.pem" in said


def test_admin_without_server(tmp_path):
    said = one_sentence(run("admin", "--data-dir", tmp_path, "peer", "list"))
    assert "admin.sock" in said


# --- a running server -----------------------------------------------------------------------------

def test_fresh_server(server):
    account = server.json("account", "show")
    assert account["network"].endswith("/16") and account["lazy_connections"] is True
    assert server.json("setup-key", "list") == {"setup_keys": []}
    assert [g["name"] for g in server.json("group", "list")["groups"]] == ["All"]
    assert [p["name"] for p in server.json("policy", "list")["policies"]] == ["Default"]
    assert server.admin("peer", "list").stdout == "There is no peer.\n"
    for name in os.listdir(server.data):
        assert stat.S_IMODE(os.stat(server.data / name).st_mode) & 0o077 == 0, name
    assert stat.S_IMODE(os.stat(server.data).st_mode) == 0o700


def test_setup_keys(server):
    made = server.json("setup-key", "create", "--name", "k", "--reusable", "--expires", "24h", "--usage-limit", "3")
    assert len(made["key"]) == 36 and made["usage_limit"] == 3
    text = server.admin("setup-key", "create", "--name", "once", "--expires", "0").stdout
    assert "shown only now" in text
    listed = server.json("setup-key", "list")["setup_keys"]
    assert sorted(k["name"] for k in listed) == ["k", "once"]
    assert made["key"] not in json.dumps(listed)
    assert server.json("setup-key", "revoke", "k")["state"] == "revoked"
    assert "revoked" in server.admin("setup-key", "list").stdout
    missing = server.admin("setup-key", "revoke", "nobody", check=False)
    assert missing.returncode == 1 and "no such setup key" in missing.stderr
    assert made["key"] not in server.log.read_text()


def test_groups_and_policies(server):
    server.admin("group", "create", "servers")
    rule = server.json("policy", "create", "--name", "ssh", "--protocol", "tcp", "--port", "22", "--source", "All",
                       "--destination", "servers", "--one-way")["rules"][0]
    assert rule["protocol"] == "tcp" and rule["ports"] == ["22"] and rule["bidirectional"] is False
    assert "accept tcp 22 from All to servers" in server.admin("policy", "list").stdout
    serial = server.json("account", "show")["serial"]
    server.admin("policy", "disable", "Default")
    assert server.json("account", "show")["serial"] > serial
    refused = server.admin("group", "delete", "servers", check=False)
    assert refused.returncode == 1 and "ssh" in refused.stderr


def test_restart_keeps_everything(server):
    before = server.json("account", "show")
    server.admin("setup-key", "create", "--name", "k", "--reusable")
    assert server.stop() == 0
    assert not (server.data / "admin.sock").exists()
    server.start()
    after = server.json("account", "show")
    assert {k: after[k] for k in ("id", "network", "server_key")} == {k: before[k] for k in ("id", "network", "server_key")}
    assert after["serial"] >= before["serial"]
    # kill -9 loses nothing that was acknowledged, and the next start finds its way
    server.admin("group", "create", "g")
    server.stop(signals.SIGKILL)
    server.start()
    assert "g" in [g["name"] for g in server.json("group", "list")["groups"]]
    assert len(server.json("setup-key", "list")["setup_keys"]) == 1


def test_reload(tmp_path):
    file = tmp_path / "c.yaml"
    port = free_port()

    def write(level, listen):
        file.write_text(json.dumps({"server": {"listenAddress": f"127.0.0.1:{listen}", "logLevel": level, "stunPorts": []}}))
    write("info", port)
    server = Server.__new__(Server)
    server.data, server.log, server.env, server.words = tmp_path / "data", tmp_path / "log", None, ()
    server.argv = lambda: ["--config", file, "--data-dir", server.data]
    server.start()
    write("debug", port + 1)
    server.process.send_signal(signals.SIGHUP)
    wait_until(lambda: "log level changed" in server.log.read_text(), 5, "the reload")
    assert "server.listenAddress" in server.log.read_text()
    file.write_text("server: {logLevel: loud}")
    server.process.send_signal(signals.SIGHUP)
    wait_until(lambda: "reload refused" in server.log.read_text(), 5, "the refusal")
    assert server.answers()
    assert server.stop() == 0


def test_supervisor_hears(tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(path))
        s.settimeout(10)
        server = Server(tmp_path, env={"NOTIFY_SOCKET": str(path)})
        assert s.recv(1000).startswith(b"READY=1\n")
        assert server.stop() == 0
        assert s.recv(1000).startswith(b"STOPPING=1\n")


def test_unbuilt_parts_are_named_once(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(json.dumps({"server": {"authSecret": "hush", "auth": {"issuer": "x"}}}))
    server = Server(tmp_path, "--config", file)
    lines = [line for line in server.log.read_text().splitlines() if "not built yet" in line]
    assert len(lines) == 1 and "server.auth" in lines[0] and "hush" not in server.log.read_text()
    assert server.stop() == 0


def test_legacy_ports_may_be_busy(tmp_path):
    with socket.socket() as busy:
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            busy.bind(("127.0.0.1", 10000))
        except OSError:
            pytest.skip("port 10000 is busy on this machine")
        busy.listen()
        server = Server(tmp_path, "--legacy-ports")
        text = server.log.read_text()
        assert "a legacy port stays closed" in text and "port=10000" in text
        assert server.stop() == 0


def test_idle_size(server):
    if "asan" in str(programs_folder()):
        pytest.skip("sanitizers need memory of their own")
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    rss = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])
    assert rss <= 15 * 1024, f"{rss} KiB"


def test_plain_page(server):
    with socket.create_connection(("127.0.0.1", server.port), 5) as s:
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"200" in s.recv(200).split(b"\r\n")[0]


def test_silent_connections_lose_their_place(server):
    """600 that say nothing, more than are let in unheard (500): an agent's connection still gets its turn."""
    silent = []
    try:
        for _ in range(600):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", server.port))
            silent.append(s)
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", server.port), 20) as s:
            s.settimeout(20)
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"200" in s.recv(200).split(b"\r\n")[0]
        assert time.monotonic() - began < 7  # 2 s of silence when others wait, 10 s else
    finally:
        for s in silent:
            s.close()


def test_stun_answers(server):
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(bytes.fromhex("00010000 2112a442") + b"twelve bytes", ("127.0.0.1", server.stun))
        answer = s.recv(200)
    assert answer[:2] == b"\x01\x01" and answer[8:20] == b"twelve bytes"


@pytest.mark.parametrize("role", ["management", "signal", "stun"])
def test_single_roles(tmp_path, role):
    port, udp = free_port(), free_port(socket.SOCK_DGRAM)
    log = tmp_path / "log"
    with open(log, "wb") as out:
        process = subprocess.Popen([programs_folder() / "linnet-server", role, "--listen", f"127.0.0.1:{port}", "--data-dir",
                                    tmp_path / "d", "--stun-ports", str(udp), "--stun-address", "127.0.0.1"],
                                   stdout=out, stderr=out)
    try:
        wait_until(lambda: "started" in log.read_text(), 10, "the start")
        with socket.socket() as s:
            assert (s.connect_ex(("127.0.0.1", port)) == 0) == (role != "stun")
        assert (tmp_path / "d").exists() == (role == "management")
        with socket.socket(type=socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            s.connect(("127.0.0.1", udp))
            s.send(bytes.fromhex("00010000 2112a442") + b"twelve bytes")
            try:
                answered = len(s.recv(200)) > 0
            except OSError:
                answered = False
        assert answered == (role == "stun")
    finally:
        process.terminate()
        assert process.wait(15) == 0, log.read_text()
