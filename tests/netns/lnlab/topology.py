"""Namespaces, links and NAT routers. The drawing of a lab, as describe() prints it:

      inet: bridge 198.51.100.0/24
        |            |              |
       srv      nata .21        natb .22       (routers: `wan` outside, `lan` inside)
     .10 .11         |              |
                 ha 10.1.0.2    hb 10.2.0.2    (hosts)
"""
import atexit
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
NAT_KINDS = ("none", "full-cone", "address-restricted", "port-restricted", "symmetric", "udp-blocked")

# Rules of a router by kind (RFC 4787 terms): mapping and filtering. The input policy must be drop: a
# router that answers strangers confirms their packets in conntrack and spoils the mapping.
NAT_RULES = """
table ip nat4 {{
  set permitted {{ type ipv4_addr; flags dynamic,timeout; timeout 60s; size 1024; }}
  chain inp {{
    type filter hook input priority filter; policy drop;
    iifname {{ "lo", "lan" }} accept
    ct state established,related accept
  }}
  chain frw {{
    type filter hook forward priority filter; policy accept;
    {forward}
  }}
  chain pre {{
    type nat hook prerouting priority dstnat; policy accept;
    {prerouting}
  }}
  chain post {{
    type nat hook postrouting priority srcnat; policy accept;
    {postrouting}
    oifname "wan" masquerade
  }}
}}
"""


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
    """One namespace: a machine of the lab."""

    def __init__(self, lab, name):
        self.lab, self.name, self.netns = lab, name, f"{lab.prefix}{name}"
        self.folder = lab.folder / name
        self.folder.mkdir()
        lab.hosts.append(self)  # first: an interruption may come when the namespace is there already
        run("ip", "netns", "add", self.netns)
        self.run("ip", "link", "set", "lo", "up")
        self.run("sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0")
        etc = pathlib.Path("/etc/netns") / self.netns
        etc.mkdir(parents=True)
        (etc / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
        (etc / "resolv.conf").write_text("# no resolver in this lab\n")

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
        self.prefix = f"ln{os.getpid() % 100000}-{name[:4]}-"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"lnlab-{name}-"))
        self.hosts, self.processes, self.sites = [], [], []
        self.keep, self.out, self.findings = keep, out, []
        self.closed = False
        atexit.register(self.close)
        self.inet = Host(self, "inet")
        self.inet.run("ip", "link", "add", "br0", "type", "bridge", "forward_delay", "0")
        self.inet.run("ip", "link", "set", "br0", "up")
        self.server = self.public_host("srv", 10)
        self.server.run("ip", "addr", "add", f"{PUBLIC}.11/24", "dev", "wan")

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
        self._plug(host, "wan", name)
        host.run("ip", "addr", "add", f"{PUBLIC}.{last}/24", "dev", "wan")
        if ipv6:
            host.run("ip", "addr", "add", f"2001:db8:51::{last:x}/64", "dev", "wan")
        host.address = f"{PUBLIC}.{last}"
        return host

    def _plug(self, host, link, name):
        far = f"p{name}"[:15]
        self.inet.run("ip", "link", "add", far, "type", "veth", "peer", "name", link, "netns", host.netns)
        self.inet.run("ip", "link", "set", far, "master", "br0", "up")
        host.run("ip", "link", "set", link, "up")

    def site(self, name, nat="port-restricted", port=51820):
        """A host behind a NAT router of its own (or, with nat "none", on the public segment)."""
        index = len(self.sites) + 1
        self.sites.append((name, nat))
        if nat == "none":
            host = self.public_host(f"h{name}", 100 + index)
            host.router = None
            return host
        router = Host(self, f"nat{name}")
        self._plug(router, "wan", f"nat{name}")
        outside = f"{PUBLIC}.{20 + index}"
        router.run("ip", "addr", "add", f"{outside}/24", "dev", "wan")
        router.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        host = Host(self, f"h{name}")
        router.run("ip", "link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", host.netns)
        router.run("ip", "link", "set", "lan", "up")
        router.run("ip", "addr", "add", f"10.{index}.0.1/24", "dev", "lan")
        host.run("ip", "link", "set", "eth0", "up")
        host.run("ip", "addr", "add", f"10.{index}.0.2/24", "dev", "eth0")
        host.run("ip", "route", "add", "default", "via", f"10.{index}.0.1")
        host.address, host.router, host.outside, router.kind = f"10.{index}.0.2", router, outside, nat
        router.nft(self._rules(nat, outside, host.address, port))
        return host

    @staticmethod
    def _rules(nat, outside, inside, port):
        forward = prerouting = postrouting = ""
        fixed = f'oifname "wan" ip saddr {inside} udp sport {port} snat to {outside}:40001'
        if nat == "full-cone":
            prerouting = f'iifname "wan" udp dport 40001 dnat to {inside}:{port}'
            postrouting = fixed
        elif nat == "address-restricted":
            forward = 'iifname "lan" oifname "wan" meta l4proto udp update @permitted { ip daddr }'
            prerouting = f'iifname "wan" ip saddr @permitted udp dport 40001 dnat to {inside}:{port}'
            postrouting = fixed
        elif nat == "symmetric":
            postrouting = 'oifname "wan" meta l4proto udp masquerade fully-random'
        elif nat == "udp-blocked":
            forward = "meta l4proto udp udp dport != 53 udp sport != 53 drop"
        elif nat != "port-restricted":
            raise LabError(f"no NAT kind {nat}: one of {', '.join(NAT_KINDS)}")
        return NAT_RULES.format(forward=forward, prerouting=prerouting, postrouting=postrouting)

    def describe(self):
        lines = ["", f"      inet: bridge {PUBLIC}.0/24", "        |" + "               |" * len(self.sites)]
        top, bottom = f"   server {SERVER}", " " * 18
        for name, nat in self.sites:
            top += f"   nat{name}: {nat}"
        index = 0
        for name, nat in self.sites:
            index += 1
            bottom += f"   h{name}: " + (f"{PUBLIC}.{100 + index}" if nat == "none" else f"10.{index}.0.2")
        return "\n".join(lines + [top, bottom, ""])

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
        for host in reversed(self.hosts):
            # A program that put itself elsewhere is still inside its namespace: end it there by pid.
            inside = run("ip", "netns", "pids", host.netns, check=False).stdout.split()
            for pid in inside:
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            run("ip", "netns", "del", host.netns, check=False)
            shutil.rmtree(pathlib.Path("/etc/netns") / host.netns, ignore_errors=True)
        self.findings = self._sanitizer_reports()
        if self.keep or self.findings:
            print(f"the lab's logs are kept in {self.folder}", file=sys.stderr)
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
