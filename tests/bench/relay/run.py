#!/usr/bin/python3
"""Relays side by side under the same load: linnet, NetBird's, and coturn doing the job as TURN.

Usage: run.py [--kinds linnet,netbird,coturn] [--pairs 1,10,100,1000] [--tls | --quic] [--seconds 4] [--idle 1000]
              [--rounds 1] [--loops 1] [--spread]

JSON lines, to be appended to those of other parts of a run, a first one about the machine: server, tls, relay (flood of N
pairs; rate: delay at so many packets a second; overloaded, loaded: delay when the rate of the flood with 10 pairs is offered,
and at 80 % of what got through then; idle), kpps, gbit_s, cpu_s_per_gb of the relay, p50/p99 in ms, KiB of resident memory per idle connection. The relay runs on one core, the generator on another (--spread:
wherever the system puts them; what --loops of linnet needs). NETBIRD_RELAY_BIN names NetBird's relay; linnet comes from $LINNET_BIN or build/.
"""
import argparse
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/bench"))

from bench_servers import machine, used_by_others  # noqa: E402

BIN = pathlib.Path(os.environ.get("LINNET_BIN") or next(
    (ROOT / "build" / n for n in ("rel", "dev") if (ROOT / "build" / n / "linnet-server").exists()), "."))
SECRET = "bench-secret"
HERTZ = os.sysconf("SC_CLK_TCK")


def free_port():
    """Below the range the generator's own connections come from."""
    while True:
        port = random.randrange(20000, 30000)
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) != 0:
                return port


def certificate(folder):
    pem, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-out", pem, "-keyout", key],
                   check=True, capture_output=True)
    return pem, key


class Relay:
    def __init__(self, kind, tls, folder, args):
        spread = args.spread
        self.quic, self.ca = args.quic, folder / "cert.pem"
        self.kind, self.tls, self.port = kind, tls, free_port()
        scheme = "rels" if tls else "rel"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        pin = [] if spread else ["taskset", "-c", "0"]
        env = dict(os.environ)
        if kind == "linnet":
            argv = [BIN / "linnet-server", "relay", "--listen", f"127.0.0.1:{self.port}", "--relay-exposed-address",
                    self.url, "--auth-secret", SECRET, "--log-level", "warn", "--log-file", "console"]
            argv += ["--cert-file", folder / "cert.pem", "--cert-key", folder / "key.pem"] if tls else []
            env["LINNET_MAX_PER_SOURCE"] = "1000000"
            env["LINNET_RELAY_LOOPS"] = str(args.loops)
        elif kind == "coturn":
            self.url = f"turn://127.0.0.1:{self.port}"
            argv = ["turnserver", "-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", self.port, "--no-auth", "--no-cli",
                    "--no-tls", "--no-dtls", "--allow-loopback-peers", "--log-file", "stdout", "--pidfile",
                    folder / "turn.pid", "--userdb", folder / "turndb", "--min-port", "30100", "--max-port", "60000",
                    *([] if spread else ["-m", "1"])]
        else:
            argv = [os.environ["NETBIRD_RELAY_BIN"], "--listen-address", f"127.0.0.1:{self.port}", "--exposed-address",
                    self.url, "--auth-secret", SECRET, "--log-level", "error", "--metrics-port", str(free_port()),
                    "--health-listen-address", f"127.0.0.1:{free_port()}"]
            argv += ["--tls-cert-file", folder / "cert.pem", "--tls-key-file", folder / "key.pem"] if tls else []
        self.log = open(folder / f"{kind}.log", "ab")
        self.process = subprocess.Popen([*pin, *map(str, argv)], stdout=self.log, stderr=self.log, env=env)
        for _ in range(200):
            if self.process.poll() is not None:
                raise SystemExit(f"{kind} ended at once: {(folder / f'{kind}.log').read_text()[-800:]}")
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise SystemExit(f"{kind} does not listen")

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / HERTZ

    def rss_kib(self):
        return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{self.process.pid}/status").read_text()).group(1))

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def generator(relay, spread, *words):
    pin = [] if spread else ["taskset", "-c", "1"]
    if relay.kind == "coturn":
        return [str(a) for a in [*pin, BIN / "tests/bench/turn_load", "--url", relay.url, *words]]
    if relay.quic:
        return [str(a) for a in [*pin, BIN / "tests/bench/quic_load", "--url", relay.url, "--secret", SECRET, "--ca",
                                 relay.ca, *words]]
    argv = [*pin, BIN / "tests/bench/relay_load", "--url", relay.url, "--secret", SECRET, *words]
    return [str(a) for a in argv + (["--tls"] if relay.tls else [])]


def started(relay, args, *words):
    process = subprocess.Popen(generator(relay, args.spread, *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    return process, process.stdout.readline() == "ready\n"


def calm(limit):
    """Waits until others leave the processor alone, so long at most; the share they use then."""
    end = time.monotonic() + limit
    while (share := used_by_others()) > 0.1 and time.monotonic() < end:
        pass
    return share


def load(relay, args, *words):
    process, ready = started(relay, args, *words)
    share = calm(args.calm)
    before = relay.cpu()
    out, err = process.communicate("\n" if ready else None, timeout=120)
    used = relay.cpu() - before
    if process.returncode != 0:
        return {"error": err.strip()[-300:]}
    row = json.loads(out)
    row["cpu_s_per_gb"] = round(used / (max(row.pop("payload_bytes"), 1) / 1e9), 3)
    return {**row, "in_use": share}


def idle(relay, args):
    before = relay.rss_kib()
    begun = time.monotonic()
    process, ready = started(relay, args, "--idle", "--pairs", args.idle // 2)
    if not ready:
        return {"error": process.communicate()[1].strip()[-300:]}
    took = time.monotonic() - begun
    time.sleep(2)
    used = relay.rss_kib() - before
    process.stdin.close()
    process.wait(30)
    return {"connections": args.idle, "kib_per_connection": round(used / args.idle, 2), "connected_in_s": round(took, 2)}


def measure(relay, args, pairs):
    """Memory first: later the allocator keeps what a flood has used."""
    def report(what, row):
        print(json.dumps({"server": relay.kind, "tls": relay.tls, **quic, "relay": what, **loops, **row}), flush=True)
        return row

    loops = {"loops": args.loops} if relay.kind == "linnet" and args.loops != 1 else {}
    quic = {"quic": True} if relay.quic else {}
    size, seconds = ("--size", args.size), ("--seconds", args.seconds)
    if args.idle and relay.kind != "coturn":
        report("idle", idle(relay, args))
    best = 0
    for n in pairs:
        row = report("flood", {"pairs": n, **load(relay, args, "--pairs", n, *size, *seconds)})
        best = row.get("kpps", 0) if n == 10 else best
    if args.rate and relay.kind != "coturn":
        # One pause of the machine is more than a hundredth of such a run: the median of five.
        runs = [load(relay, args, "--rate", args.rate, *size, *seconds) for _ in range(5)]
        report("rate", {"rate": args.rate, "runs": 5, **sorted(runs, key=lambda r: r.get("p99_ms", 1e9))[2]})
        if best:
            # What gets through when as much is offered as the flood carried: with a time in every message the generator
            # is the slower one for our relay. Then 80 % of it.
            row = report("overloaded", {"rate": int(1000 * best), **load(relay, args, "--pairs", 10, "--rate", 1000 * best,
                                                                         *size, *seconds)})
            rate = int(800 * row.get("kpps", 0))
            report("loaded", {"rate": rate, **load(relay, args, "--pairs", 10, "--rate", rate, *size, *seconds)})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--kinds", default="linnet,netbird,coturn")
    parser.add_argument("--pairs", default="1,10,100,1000")
    parser.add_argument("--size", type=int, default=1200)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--loops", type=int, default=1)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=10000)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--calm", type=float, default=0, help="wait so long at most before each load for a calm machine")
    parser.add_argument("--quic", action="store_true", help="over QUIC, with TLS therefore")
    parser.add_argument("--spread", action="store_true")
    args = parser.parse_args()
    args.tls |= args.quic
    print(json.dumps({**machine(), "benchmark": "relay", "spread": args.spread}), flush=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="relay-bench-"))
    certificate(folder)
    for _ in range(args.rounds):
        for kind in args.kinds.split(","):
            if kind == "netbird" and not os.environ.get("NETBIRD_RELAY_BIN"):
                print(json.dumps({"server": kind, "tls": args.tls, "skipped": "NETBIRD_RELAY_BIN is not set"}), flush=True)
                continue
            if kind == "coturn" and shutil.which("turnserver") is None:
                print(json.dumps({"server": kind, "tls": args.tls, "skipped": "turnserver is not installed"}), flush=True)
                continue
            # Allocations of TURN outlive their clients: coturn begins anew each time.
            for pairs in args.pairs.split(",") if kind == "coturn" else [args.pairs]:
                relay = Relay(kind, args.tls and kind != "coturn", folder, args)
                try:
                    measure(relay, args, [int(n) for n in pairs.split(",")])
                finally:
                    relay.stop()
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
