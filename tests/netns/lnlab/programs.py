"""The programs under test and their foreign peers, each started in a host of a lab."""
import json
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request

from .topology import SERVER, LabError, programs_folder, wait_until

HERE = pathlib.Path(__file__).resolve().parent


class LinnetServer:
    """The combined server on the public segment."""

    def __init__(self, host, config=None, relay=True):
        self.host, self.bin = host, programs_folder() / "linnet-server"
        self.data = host.folder / "data"
        self.url = f"http://{SERVER}:80"
        self.config = host.folder / "config.yaml"
        settings = {"listenAddress": ":80", "exposedAddress": self.url, "stunPorts": [3478, 3479], "logLevel": "debug",
                    "logFile": "console", "dataDir": str(self.data), "authSecret": "known-to-the-relay"}
        if not relay:  # one is named, but nothing listens there
            settings["relays"] = {"addresses": [f"rel://{SERVER}:9"], "secret": "known-to-the-relay"}
        self.config.write_text(json.dumps(config or {"server": settings}))
        self.start()

    def start(self):
        self.process = self.host.start(self.bin, "--config", self.config, log="server.log")
        wait_until(self.answers, 15, f"the server to answer (see {self.process.log})")

    def answers(self):
        if not self.process.alive():
            raise LabError("linnet-server ended: " + self.process.output()[-1500:])
        return self.admin("account", "show", check=False).returncode == 0

    def admin(self, *words, check=True):
        return self.host.run(self.bin, "admin", "--config", self.config, *words, check=check)

    def setup_key(self, *words):
        words = words or ("--reusable", "--expires", "24h")
        return json.loads(self.admin("setup-key", "create", "--name", "lab", *words, "--json").stdout)["key"]


class NetbirdServer:
    """NetBird's combined server, by path; `more` goes into the server section of its configuration."""

    def __init__(self, host, binary, more=None):
        self.host, self.url = host, f"http://{SERVER}:80"
        self.config = host.folder / "config.yaml"
        self.config.write_text(json.dumps({"server": {
            "listenAddress": ":80", "exposedAddress": self.url, "stunPorts": [3478], "metricsPort": 9090,
            "healthcheckAddress": ":9000", "logLevel": "info", "logFile": "console", "authSecret": "c2VjcmV0c2VjcmV0",
            "dataDir": str(host.folder / "data"), "disableAnonymousMetrics": True, "disableGeoliteUpdate": True,
            "auth": {"issuer": f"{self.url}/oauth2"}, "store": {"engine": "sqlite"},
            **(more or {})}}))
        (host.folder / "data").mkdir()
        env = {"NB_SETUP_PAT_ENABLED": "true", "NB_DISABLE_GEOLOCATION": "true", "HOME": str(host.folder)}
        self.process = host.start_private([], binary, "--config", self.config, log="netbird-server.log", env=env)
        wait_until(lambda: self.call("GET", "/api/instance") is not None, 30, "NetBird's server to answer")
        self.token = self.call("POST", "/api/setup", {
            "email": "lab@example.org", "name": "lab", "password": "Lab-Password-1!", "create_pat": True,
            "pat_expire_in": 1})["personal_access_token"]

    def call(self, method, path, body=None):
        """REST from inside the server's namespace; None while nothing answers."""
        token = getattr(self, "token", None)
        script = ("import sys,urllib.request as u\n"
                  "r=u.Request(sys.argv[2],method=sys.argv[1],data=sys.argv[3].encode() or None,"
                  "headers={'Content-Type':'application/json',**({'Authorization':'Token '+sys.argv[4]} if sys.argv[4] else {})})\n"
                  "print(u.urlopen(r,timeout=5).read().decode())")
        done = self.host.run(sys.executable, "-c", script, method, self.url + path, json.dumps(body) if body else "",
                             token or "", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def setup_key(self):
        return self.call("POST", "/api/setup-keys", {"name": "k", "type": "reusable", "expires_in": 86400,
                                                     "auto_groups": [], "usage_limit": 0})["key"]


class Agent:
    """What both agents share: a daemon, a command line, an overlay address."""

    cli_name = ""

    def argv(self, *words):
        """Command lines remember things in the home folder: each host has its own."""
        return ["env", f"HOME={self.host.folder}", self.bin, "--daemon-addr", f"unix://{self.socket}", *words]

    def cli(self, *words, check=True, timeout=60):
        return self.host.run(*self.argv(*words), check=check, timeout=timeout)

    def up_argv(self, server, key):
        return self.argv("up", "--management-url", server.url, "--setup-key", key, "--hostname", self.host.name)

    def up(self, server, key):
        return self.host.run(*self.up_argv(server, key), timeout=60)

    def up_async(self, server, key):
        return self.host.start(*self.up_argv(server, key), log="up.log")

    def down(self):
        return self.cli("down")

    def status(self):
        done = self.cli("status", "--json", check=False)
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {}

    def address(self):
        return (self.status().get("netbirdIp") or "").split("/")[0] or None

    def wait_address(self, timeout=20):
        return wait_until(self.address, timeout, f"an overlay address of {self.host.name}")

    def peer(self, fqdn_part):
        for peer in (self.status().get("peers") or {}).get("details") or []:
            if fqdn_part in peer["fqdn"]:
                return peer
        return None

    def wait_direct(self, fqdn_part, timeout=20):
        def direct():
            peer = self.peer(fqdn_part)
            return peer if peer and peer["status"] == "Connected" and peer["connectionType"] == "P2P" else None
        return wait_until(direct, timeout, f"a direct path from {self.host.name} to {fqdn_part}", every=0.1)

    def ping(self, address, count=3):
        return self.host.run("ping", "-c", count, "-i", "0.2", "-W", "2", address, check=False)

    def first_ping(self, address, limit=20):
        """Starts to ping at once; .result() gives the monotonic time of the first answer."""
        return FirstPing(self.host, address, limit)


class FirstPing:
    def __init__(self, host, address, limit):
        self.limit = limit
        name = f"first-ping-{time.monotonic_ns()}.log"
        self.process = host.start(sys.executable, HERE / "first_ping.py", address, limit, log=name)

    def result(self):
        status = self.process.popen.wait(self.limit + 5)
        if status != 0:
            raise LabError(f"no ping was answered within {self.limit} s: {self.process.output()}")
        return float(self.process.output().split()[-1])


class LinnetAgent(Agent):
    def __init__(self, host, env=None, extra=()):
        self.host, self.bin = host, programs_folder() / "linnet"
        self.daemon, self.env, self.extra = programs_folder() / "linnetd", env or {}, extra
        self.socket, self.state = host.folder / "linnetd.sock", host.folder / "state"
        self.start()

    def start(self):
        words = [f"{k}={v}" for k, v in self.env.items()]
        self.process = self.host.start("env", *words, self.daemon, "--daemon-addr", f"unix://{self.socket}", "--state-dir",
                                       self.state, "--log-level", "debug", "--log-file", "console", *self.extra,
                                       log="linnetd.log")

        def listening():
            if not self.process.alive():
                raise LabError("linnetd ended: " + self.process.output()[-1500:])
            return self.cli("status", check=False).returncode == 0
        wait_until(listening, 15, "linnetd to listen")


class NetbirdAgent(Agent):
    def __init__(self, host, binary, env=None, level="debug"):
        self.host, self.bin = host, binary
        self.socket = host.folder / "netbird.sock"
        env = {**(env or {}), "HOME": str(host.folder), "NB_WG_KERNEL_DISABLED": "true", "NB_DISABLE_NAT_MAPPER": "true"}
        self.process = host.start_private(
            ["/var/lib/netbird", "/etc/netbird", "/var/log/netbird", "/var/run/netbird"], binary, "service", "run",
            "--daemon-addr", f"unix://{self.socket}", "--log-level", level, "--log-file", "console",
            log="netbird.log", env=env)
        wait_until(lambda: self.cli("status", check=False).returncode == 0, 30, "NetBird's daemon to listen")
