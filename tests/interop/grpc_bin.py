"""Where the C programs of this folder were built, certificates, and a started echo server."""
import contextlib
import os
import pathlib
import select
import signal
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def program(name):
    build = pathlib.Path(os.environ.get("LINNET_BIN", ROOT / "build/dev"))
    path = build / "tests/interop" / name
    if not path.exists():
        import pytest
        pytest.skip(f"{path} was not built")
    return str(path)


def make_cert(folder, name):
    """A self-signed certificate for localhost and 127.0.0.1; its own root."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(cert),
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True)
    return cert, key


class Server:
    def __init__(self, *args):
        self.p = subprocess.Popen([program("grpc_echo_server"), *map(str, args)],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        ready, _, _ = select.select([self.p.stdout], [], [], 10)
        line = self.p.stdout.readline() if ready else ""
        if not line.startswith("port "):
            self.p.kill()
            raise RuntimeError(f"no port from the server: {line!r} {self.p.stderr.read()}")
        self.port = int(line.split()[1])
        self.target = f"127.0.0.1:{self.port}"

    def rss_kb(self):
        with open(f"/proc/{self.p.pid}/status") as f:
            return int(next(l for l in f if l.startswith("VmRSS")).split()[1])

    def end(self, expect=0):
        if self.p.poll() is None:
            self.p.send_signal(signal.SIGTERM)
        try:
            _, err = self.p.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self.p.kill()
            raise
        assert self.p.returncode == expect, err
        return err


@contextlib.contextmanager
def server(*args):
    s = Server(*args)
    try:
        yield s
    finally:
        s.end()
