"""Wrong keys, missing devices, ports in use, full disks: a clear sentence, and nothing is lost."""
import json
import signal
import time

import pytest
from lnlab import LabError, LinnetAgent, LinnetServer, wait_until


def test_wrong_setup_key(lab, server):
    a = LinnetAgent(lab.site("a"))
    began = time.monotonic()
    done = a.host.run(*a.up_argv(server, "11111111-2222-3333-4444-555555555555"), check=False, timeout=130)
    assert done.returncode == 1
    assert "setup key" in done.stderr.lower(), done.stderr
    assert time.monotonic() - began < 40
    # The agent is not spoiled by it.
    a.up(server, server.setup_key())
    assert a.address()


def test_used_up_and_revoked_keys(lab, server):
    once = server.setup_key("--expires", "1h")
    a, b = LinnetAgent(lab.site("a")), LinnetAgent(lab.site("b"))
    a.up(server, once)
    done = b.host.run(*b.up_argv(server, once), check=False, timeout=130)
    assert done.returncode == 1 and "setup key" in done.stderr.lower()
    reusable = server.setup_key("--reusable")
    keys = json.loads(server.admin("setup-key", "list", "--json").stdout)["setup_keys"]
    for key in keys:
        if key["type"] == "reusable":
            server.admin("setup-key", "revoke", key["id"])
    done = b.host.run(*b.up_argv(server, reusable), check=False, timeout=130)
    assert done.returncode == 1 and "setup key" in done.stderr.lower()


def test_wrong_address_corrected(lab, server):
    """The profile knows an address where nobody answers, and its agent tries it; the next `up` names the right one."""
    host = lab.site("a")
    profile = host.folder / "state" / "default.json"
    profile.parent.mkdir(mode=0o700)
    wrong = {"Scheme": "http", "Host": "198.51.100.10:9"}
    profile.write_text(json.dumps({"PrivateKey": "yRu+DqbZU0fKahTltN4ezcm1KJJ4bm68qiDYBDXQ+Uo=", "ManagementURL": wrong}))
    a = LinnetAgent(host)
    wait_until(lambda: "198.51.100.10:9" in a.process.output(), 20, "the wrong address to be tried")
    began = time.monotonic()
    a.up(server, server.setup_key())
    assert a.address() and time.monotonic() - began < 8


def test_missing_tun_device(lab, server):
    host = lab.site("a")
    hidden = host.start_private([], "sh", "-c", "true", log="t.log")
    hidden.popen.wait(5)
    a = LinnetAgent.__new__(LinnetAgent)
    from lnlab import programs_folder
    a.host, a.bin, a.daemon, a.env, a.extra = host, programs_folder() / "linnet", programs_folder() / "linnetd", {}, ()
    a.socket, a.state = host.folder / "linnetd.sock", host.folder / "state"
    a.process = host.start("unshare", "-m", "sh", "-ec",
                           "mount --make-rprivate /\nmkdir -p /tmp/none-$$\nmount --bind /tmp/none-$$ /dev/net\nexec \"$@\"", "-",
                           a.daemon, "--daemon-addr", f"unix://{a.socket}", "--state-dir", a.state, "--log-file", "console",
                           log="linnetd.log")
    wait_until(lambda: a.cli("status", check=False).returncode == 0, 15, "linnetd to listen")
    done = a.host.run(*a.up_argv(server, server.setup_key()), check=False, timeout=90)
    assert done.returncode == 1
    assert "/dev/net/tun" in done.stderr, done.stderr


def test_daemon_is_not_running(lab):
    from lnlab import programs_folder
    done = lab.server.run(programs_folder() / "linnet", "--daemon-addr", "unix:///tmp/there-is-none.sock", "status", check=False)
    assert done.returncode == 1
    assert "linnetd" in done.stderr or "service" in done.stderr, done.stderr


def test_port_in_use(lab, server):
    second = lab.server.run(server.bin, "--config", server.config, check=False, timeout=20)
    assert second.returncode == 1
    assert ":80" in second.stderr or "in use" in second.stderr, second.stderr


@pytest.mark.parametrize("text,names", [
    ("server: {listenAddres: ':80'}", ["listenAddres"]),
    ("server:\n  listenAddress: ':80'\n  stunPorts: [99999]\n", ["stunPorts", "3"]),
    ("server: [", []),
    ("server:\n  logLevel: loud\n", ["logLevel", "debug"]),
])
def test_wrong_configuration(lab, tmp_path, text, names):
    from lnlab import programs_folder
    file = tmp_path / "config.yaml"
    file.write_text(text)
    done = lab.server.run(programs_folder() / "linnet-server", "--config", file, check=False, timeout=20)
    assert done.returncode != 0
    for name in ["config.yaml", *names]:
        assert name in done.stderr, done.stderr


def test_disk_full(lab):
    """A full disk refuses new peers clearly, serves the old ones, and recovers without a restart."""
    host = lab.server
    disk = host.folder / "small"
    disk.mkdir()
    lab_run = host.run
    lab_run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk)
    # `ip netns exec` has a mount namespace of its own: the disk is mounted where the server runs.
    lab_run("umount", disk, check=False)
    config = {"server": {"listenAddress": ":80", "exposedAddress": "http://198.51.100.10:80", "stunPorts": [3478],
                         "logFile": "console", "dataDir": str(disk / "data")}}
    import subprocess
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)], check=True)
    try:
        server = LinnetServer(host, config)
        key = server.setup_key()
        a = LinnetAgent(lab.site("a"))
        a.up(server, key)
        filler = disk / "filler"
        with open(filler, "wb", buffering=0) as f:  # what a buffer holds back fails again at the close
            try:
                while True:
                    f.write(b"\0" * 4096)
            except OSError:
                pass
        b = LinnetAgent(lab.site("b"))
        up = b.up_async(server, key)
        time.sleep(4)
        assert a.status()["management"]["connected"]
        assert server.process.alive()
        filler.unlink()
        wait_until(b.address, 40, "the second peer once there is room")
        up.popen.wait(30)
        server.process.stop()
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def test_server_killed_at_any_moment(lab, server):
    """kill -9 while peers register: whoever was told it has joined still has on the next start."""
    key = server.setup_key()
    agents = [LinnetAgent(lab.site(name)) for name in "abc"]
    for number, agent in enumerate(agents):
        up = agent.up_async(server, key)
        time.sleep(0.05 * (number + 1))
        server.process.stop(number=signal.SIGKILL)
        server.start()
        wait_until(agent.address, 60, f"{agent.host.name} to join")
        up.popen.wait(60)
    known = json.loads(server.admin("peer", "list", "--json").stdout)["peers"]
    assert sorted(p["ip"] for p in known) == sorted(a.address() for a in agents)


def test_garbage_on_every_socket(lab, server):
    """Random bytes to each port: the server and the agent go on."""
    a = LinnetAgent(lab.site("a", "none"))
    a.up(server, server.setup_key())
    script = r"""
import os, random, socket, sys
random.seed(5)
target, udp = sys.argv[1], [int(p) for p in sys.argv[2].split(",")]
for n in range(300):
    data = random.randbytes(random.randrange(0, 1400))
    if n % 3 == 0:
        data = bytes([random.randrange(1, 5), 0, 0, 0]) + data
    if n % 3 == 1:
        data = b"\x00\x01" + len(data).to_bytes(2, "big") + b"\x21\x12\xa4\x42" + data
    for port in udp:
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(data, (target, port)); s.close()
    if len(sys.argv) > 3 and n % 6 == 0:
        s = socket.create_connection((target, int(sys.argv[3])), 2)
        s.sendall((b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" if n % 12 else b"") + data)
        s.settimeout(0.05)
        try:
            s.recv(4096)
        except OSError:
            pass
        s.close()
"""
    lab.inet.run("true")
    attacker = lab.public_host("evil", 66)
    attacker.run("python3", "-c", script, "198.51.100.10", "3478", "80", timeout=60)
    attacker.run("python3", "-c", script, a.host.address, "51820", timeout=60)
    assert server.process.alive() and a.process.alive()
    b = LinnetAgent(lab.site("b"))
    b.up(server, server.setup_key())
    assert b.ping(a.address(), count=5).returncode == 0


def test_down_and_up_again_many_times(lab, server):
    a = LinnetAgent(lab.site("a"))
    key = server.setup_key()
    for _ in range(8):
        a.up(server, key)
        assert a.address()
        a.down()
    descriptors = int(a.host.run("sh", "-c", f"ls /proc/{a.process.pid}/fd | wc -l").stdout)
    assert descriptors < 40


def test_host_without_ipv6(lab, server):
    """IPv6 switched off in the kernel's settings: the IPv4 network works as ever."""
    a, b = LinnetAgent(lab.site("a")), LinnetAgent(lab.site("b"))
    a.host.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
    key = server.setup_key()
    a.up(server, key)
    b.up(server, key)
    assert a.ping(b.address(), count=5).returncode == 0
    assert "inet6" not in a.host.run("ip", "addr", "show", "wt0").stdout
