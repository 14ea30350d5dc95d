"""Our gRPC client (src/net) against a python3-grpcio server."""
import concurrent.futures
import subprocess
import threading
import time

import pytest

from grpc_bin import make_cert, program

grpc = pytest.importorskip("grpc")


class Handler(grpc.GenericRpcHandler):
    def __init__(self):
        self.metadata = {}
        self.stop = threading.Event()
        self.cancelled = threading.Event()

    def service(self, details):
        name = details.method.split("/")[-1]
        self.metadata[name] = dict(details.invocation_metadata)
        f = getattr(self, f"do_{name.lower()}", None)
        if f is None:
            return None
        if name in ("Many",):
            return grpc.unary_stream_rpc_method_handler(f)
        if name in ("Bidi", "Mark"):
            return grpc.stream_stream_rpc_method_handler(f)
        return grpc.unary_unary_rpc_method_handler(f)

    def do_echo(self, msg, context):
        return msg

    def do_big(self, msg, context):
        return b"x" * (int(msg) << 20)

    def do_silent(self, msg, context):
        self.left = context.time_remaining()
        done = threading.Event()
        context.add_callback(done.set)
        done.wait(5)
        return b""

    def do_fail(self, msg, context):
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "peer login 100% h\u00e4tte\n")

    def do_many(self, msg, context):
        for _ in range(500):
            yield b"y" * 1000

    def do_bidi(self, it, context):
        for m in it:
            yield m

    def do_mark(self, it, context):
        context.add_callback(self.cancelled.set)
        me = dict(context.invocation_metadata())
        context.send_initial_metadata([("x-registered", me["x-peer-id"])])
        for _ in it:
            pass
        self.cancelled.wait(5)

    def do_stop(self, msg, context):
        self.stop.set()
        time.sleep(0.3)
        return b"bye"


@pytest.fixture(params=["h2c", "tls"])
def served(request, tmp_path):
    handler = Handler()
    pool = concurrent.futures.ThreadPoolExecutor(8)
    s = grpc.server(pool, handlers=[handler],
                    options=[("grpc.max_send_message_length", -1)])
    args = []
    if request.param == "tls":
        cert, key = make_cert(tmp_path, "srv")
        port = s.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(
            [(key.read_bytes(), cert.read_bytes())]))
        args = [str(cert)]
    else:
        port = s.add_insecure_port("127.0.0.1:0")
    s.start()
    threading.Thread(target=lambda: handler.stop.wait(30) and s.stop(3), daemon=True).start()
    yield handler, port, args
    s.stop(0).wait()


def probe(host, port, *args):
    p = subprocess.run([program("grpc_probe_client"), host, str(port), *args],
                       capture_output=True, text=True, timeout=60)
    lines = dict(line.split(": ", 1) for line in p.stdout.splitlines() if ": " in line)
    return p, lines


def test_everything_against_grpcio(served):
    handler, port, args = served
    p, got = probe("localhost", port, *args)
    assert p.returncode == 0, p.stdout + p.stderr
    assert got["unary"] == 'OK "" messages=0 bytes=5'
    assert got["empty"] == 'OK "" messages=0 bytes=0'
    assert got["big"] == 'OK "" messages=0 bytes=2097152'
    assert got["too_big"].startswith("RESOURCE_EXHAUSTED")
    assert got["deadline"].startswith("DEADLINE_EXCEEDED")
    assert 0 < handler.left <= 0.3
    assert got["unknown"].startswith("UNIMPLEMENTED")
    assert got["refused"].startswith('PERMISSION_DENIED "peer login 100% h\u00e4tte')
    assert got["server_stream"] == 'OK "" messages=500 bytes=500000'
    assert got["bidi"] == 'OK "" messages=200 bytes=200000'
    assert got["mark"] == "abc"
    assert got["cancel"].startswith("CANCELLED")
    assert handler.cancelled.wait(5)
    assert got["goaway"] == 'OK "" messages=0 bytes=3'
    assert handler.metadata["Echo"]["user-agent"].startswith("linnet/")


def test_tls_is_verified(tmp_path):
    cert, key = make_cert(tmp_path, "a")
    other, _ = make_cert(tmp_path, "b")
    s = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=[Handler()])
    port = s.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(
        [(key.read_bytes(), cert.read_bytes())]))
    s.start()
    try:
        for ca in ("", str(other)):
            _, got = probe("localhost", port, ca)
            assert got["unary"].startswith("UNAVAILABLE")
            assert "self-signed" in got["unary"]
        _, got = probe("127.0.0.1", port, str(cert))  # the address is in the certificate
        assert got["unary"].startswith("OK")
        _, got = probe("127.0.0.2", port, str(cert))
        assert got["unary"].startswith("UNAVAILABLE")
    finally:
        s.stop(0).wait()


def test_nobody_listens_and_no_such_name():
    import socket
    with socket.socket() as c:
        c.bind(("127.0.0.1", 0))
        port = c.getsockname()[1]
        _, got = probe("127.0.0.1", port)
        assert got["unary"].startswith('UNAVAILABLE "connect to 127.0.0.1')
        assert "Connection refused" in got["unary"]
        _, got = probe("no-such-name.invalid", port)
        assert "cannot resolve" in got["unary"]
