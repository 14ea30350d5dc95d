"""The hosts of a lab and what runs in them. Namespaces, links and NAT routers are those of `linnet lab`
(src/cmd/linnet_lab_plan.c, with a drawing in linnet_lab.h): it prints the scripts, we run them.
"""
import atexit
import functools
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

PUBLIC = "198.51.100"
SERVER = f"{PUBLIC}.10"
ROOT = pathlib.Path(__file__).resolve().parents[3]

SANITIZER = re.compile(r"(ERROR|WARNING|SUMMARY): \w+Sanitizer|\.[ch]:\d+:\d+: runtime error: ")


class LabError(Exception):
    """A step of the laboratory failed; the text is for a person."""


def run(*argv, check=True, text_in=None, timeout=30):
    done = subprocess.run(argv, capture_output=True, text=True, input=text_in, timeout=timeout)
    if check and done.returncode != 0:
        raise LabError(f"{shlex.join(argv)}: {(done.stderr or done.stdout).strip()}")
    return done


def wait_until(condition, timeout, what, every=0.05):
    """Polls until condition() is true and returns its value; LabError names what never came."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise LabError(f"waited {timeout} s for {what}")
        time.sleep(every)


def programs_folder():
    """Where linnet, linnetd and linnet-server lie: $LINNET_BIN, else the first build folder that has them."""
    named = os.environ.get("LINNET_BIN")
    for folder in [named] if named else [ROOT / "build/rel", ROOT / "build/dev", ROOT / "build/asan"]:
        if all(pathlib.Path(folder, name).exists() for name in ("linnet", "linnetd", "linnet-server")):
            return pathlib.Path(folder)
    raise LabError("the programs are not built: run ./quickstart.sh build, or set LINNET_BIN")


@functools.lru_cache(maxsize=None)
def nat_kinds():
    """Name and properties of every kind `linnet lab` knows."""
    kinds = json.loads(run(str(programs_folder() / "linnet"), "lab", "--list", "--json").stdout)
    return {kind["name"]: kind for kind in kinds}


class Process:
    """A program inside a namespace, with its output in a file; ended by its own pid."""

    def __init__(self, argv, log):
        self.argv, self.log = argv, log
        with open(log, "ab") as out:
            self.popen = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          start_new_session=True)

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def send(self, number):
        if self.alive():
            self.popen.send_signal(number)

    def stop(self, timeout=10, number=signal.SIGTERM):
        """Returns the exit status; kills after the timeout."""
        self.send(number)
        return self.end(timeout)

    def end(self, timeout):
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait(5)
            return None

    def output(self):
        return pathlib.Path(self.log).read_text(errors="replace")


class Host:
    """One namespace, a machine or a router: made by a script of `linnet lab plan`."""

    def __init__(self, lab, name):
        self.lab, self.name, self.netns = lab, name, f"{lab.prefix}{name}"
        self.folder = lab.folder / name
        self.folder.mkdir()
        lab.hosts.append(self)

    def argv(self, *argv):
        return ["ip", "netns", "exec", self.netns, *[str(a) for a in argv]]

    def run(self, *argv, check=True, timeout=30, text_in=None):
        return run(*self.argv(*argv), check=check, timeout=timeout, text_in=text_in)

    def start(self, *argv, log):
        process = Process(self.argv(*argv), self.folder / log)
        self.lab.processes.append(process)
        return process

    def start_private(self, mounts, *argv, log, env=None):
        """With folders of this host bound over absolute paths, in a mount namespace of its own."""
        script = "mount --make-rprivate /\n"
        for path in mounts:
            own = self.folder / path.strip("/").replace("/", "_")
            own.mkdir(exist_ok=True)
            pathlib.Path(path).mkdir(parents=True, exist_ok=True)
            script += f"mount --bind {shlex.quote(str(own))} {shlex.quote(path)}\n"
        for key, value in (env or {}).items():
            script += f"export {key}={shlex.quote(value)}\n"
        script += "exec " + shlex.join(str(a) for a in argv)
        return self.start("unshare", "-m", "sh", "-ec", script, log=log)

    def nft(self, rules):
        self.run("nft", "-f", "-", text_in=rules)


class Lab:
    def __init__(self, name="lab", keep=False, out=None):
        if os.geteuid() != 0:
            raise LabError("a laboratory needs root (network namespaces)")
        for tool in ("ip", "nft", "sysctl", "ping"):
            if shutil.which(tool) is None:
                raise LabError(f"the program {tool} is missing")
        self.name = name
        self.prefix = f"ln{os.getpid() % 100000}-{re.sub('[^a-z0-9]', '', name[:4].lower())}-"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"lnlab-{name}-"))
        self.hosts, self.processes, self.sites = [], [], []
        self.keep, self.out, self.findings = keep, out, []
        self.closed = False
        self.removal = self.plan("remove")["script"]  # now: the programs may be gone by then
        atexit.register(self.close)
        self.inet, self.server = Host(self, "inet"), Host(self, "srv")
        self.server.address = SERVER
        self.build("segment")

    def plan(self, *words):
        """What `linnet lab plan` prints: the script of a part of a lab, and what it builds."""
        return json.loads(run(str(programs_folder() / "linnet"), "lab", "plan", self.prefix,
                              *[str(word) for word in words]).stdout)

    def build(self, *words):
        part = self.plan(*words)
        run("sh", "-e", text_in=part["script"])
        return part

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and issubclass(kind, Exception):
            self.keep = True
        self.close()

    def say(self, text):
        if self.out is not None:
            print(text, file=self.out, flush=True)

    def public_host(self, name, last, ipv6=True):
        """A machine on the public segment, without NAT."""
        host = Host(self, name)
        self.build("host", name, last, *(["--ipv6"] if ipv6 else []))
        host.address = f"{PUBLIC}.{last}"
        return host

    def site(self, name, nat="port-restricted", port=51820, ipv6=False, behind=None, isolated=False):
        """A machine behind a NAT router of its own, or of the site `behind` that has one of the same kind."""
        if nat not in nat_kinds():
            raise LabError(f"no NAT kind {nat}: one of {', '.join(nat_kinds())}")
        self.sites.append(name)
        number = len(self.sites)
        words = ["--nat", nat, "--port", port]
        words += ["--ipv6"] if ipv6 else []
        words += ["--isolated"] if isolated else []
        words += ["--behind", f"{behind.site}:{behind.number}"] if behind else []
        host = Host(self, f"h{name}")
        part = self.build("site", name, number, *words)
        host.site, host.number, host.kind = name, number, nat
        host.address, host.address6, host.outside = part["address"], part["address6"], part["outside"]
        host.router = None
        routers = [Host(self, router) for router in part["routers"]]  # the machine's own comes last
        host.router = routers[-1] if routers else getattr(behind, "router", None)
        return host

    def _sanitizer_reports(self):
        """First lines of what ASan, UBSan or TSan wrote to the logs, also at the end of a program."""
        found = []
        for log in sorted(self.folder.glob("*/*.log")):
            for line in log.read_text(errors="replace").splitlines():
                if SANITIZER.search(line):
                    found.append(f"{log.parent.name}/{log.name}: {line.strip()}")
        return found

    def close(self):
        if self.closed:
            return
        self.closed = True
        atexit.unregister(self.close)
        for process in reversed(self.processes):
            process.send(signal.SIGTERM)
        for process in reversed(self.processes):
            process.end(timeout=10)  # no second signal: linnetd would leave its clean-up
        # A program that put itself elsewhere is still inside its namespace: the script ends it there by pid.
        run("sh", "-e", text_in=self.removal, check=False, timeout=60)
        self.findings = self._sanitizer_reports()
        if self.keep or self.findings:
            print(f"the lab's logs are kept in {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
