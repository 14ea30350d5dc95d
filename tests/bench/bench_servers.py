"""The servers under test, started in a lab: ours, and NetBird's combined one when NETBIRD_SERVER_BIN names it."""
import json
import os
import pathlib
import platform
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "netns"))

from lnlab import Lab, LinnetServer, NetbirdServer, programs_folder  # noqa: E402
from lnlab.authority import certificate  # noqa: E402
from lnlab.topology import SERVER  # noqa: E402

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that a lab goes away also with `timeout`

NETBIRD = os.environ.get("NETBIRD_SERVER_BIN")


def kinds(asked):
    """Ours, and the peer where it can run."""
    known = ["linnet"] + (["netbird"] if NETBIRD else [])
    return [kind for kind in (asked.split(",") if asked else known) if kind in known]


def generator(name):
    return programs_folder() / "tests/bench" / name


def descendants(pid):
    found = [pid]
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found += descendants(int(child))
    return found


class Bench:
    """One server of one kind and a host for the generator, each in a namespace of its own on one bridge."""

    def __init__(self, lab, kind, tls=False, components=False):
        """NetBird's server sends component maps only when it is told to."""
        self.lab, self.kind, self.tls = lab, kind, tls
        self.url = f"{'https' if tls else 'http'}://{SERVER}:{443 if tls else 80}"
        self.ca = None
        config = self.config()
        if kind == "linnet":
            self.server = LinnetServer(lab.server, config)
            self.server.url = self.url
        else:
            self.server = NetbirdServer(lab.server, NETBIRD, {"supportedSyncMessageVersions": 1} if components else None)
        self.pid = descendants(self.server.process.pid)[-1]
        self.host = lab.public_host("gen", 50)

    def config(self):
        server = {"listenAddress": ":443" if self.tls else ":80", "exposedAddress": self.url, "stunPorts": [],
                  "logLevel": "info", "logFile": "console", "dataDir": str(self.lab.server.folder / "data"),
                  "authSecret": "unused-without-a-relay"}
        if self.tls:
            self.ca, cert, key = certificate(self.lab.server.folder, SERVER)
            server["tls"] = {"certFile": str(cert), "keyFile": str(key)}
        return {"server": server, "linnet": {"maxPerSource": 1000000, "signal": {"rate": 0}}}

    def forget_policies(self):
        """Nobody sees anybody: what is measured then is the stream, not its map."""
        if self.kind == "netbird":
            for policy in self.server.call("GET", "/api/policies"):
                self.server.call("DELETE", f"/api/policies/{policy['id']}")
        else:
            for policy in json.loads(self.server.admin("policy", "list", "--json").stdout)["policies"]:
                self.server.admin("policy", "delete", policy["id"])

    def load(self, program, *words, timeout=600):
        """Runs a generator; gives its JSON lines, each with the kind of the server."""
        tls = ["--ca", self.ca] if self.tls else []
        # Each agent of a generator has a context of its own: the system's roots in all of them would be its main work.
        no_roots = ["env", "SSL_CERT_FILE=/dev/null", "SSL_CERT_DIR=/nonexistent"]
        done = self.host.run(*no_roots, generator(program), "--url", self.url, "--server-pid", self.pid, *tls, *words,
                             check=False, timeout=timeout)
        if done.stderr:
            print("# " + done.stderr.strip().replace("\n", "\n# "), file=sys.stderr)
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                yield {"server": self.kind, "tls": self.tls, **json.loads(line)}
        if done.returncode != 0:
            print(f"# {program} ended with {done.returncode}", file=sys.stderr)

    def rss(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        return 0


def used_by_others(seconds=1):
    """Processors in use while we only wait: the load average remembers a minute that is over."""
    def ticks():
        words = [int(word) for word in open("/proc/stat").readline().split()[1:9]]
        return sum(words) - words[3] - words[4]
    before = ticks()
    time.sleep(seconds)
    return round((ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds, 2)


def machine():
    """What a figure belongs to."""
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    commit = subprocess.run(["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return {"what": "machine", "cpu": cpu, "cores": os.cpu_count(), "kernel": platform.release(),
            "load": round(os.getloadavg()[0], 2), "in_use": used_by_others(), "commit": commit.stdout.strip()}


def emit(line, out=None):
    text = json.dumps(line)
    print(text, flush=True)
    if out is not None:
        out.write(text + "\n")
