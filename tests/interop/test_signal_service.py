"""The signal service against Debian's grpcio as a foreign client (spec signal-and-connection 1.3-1.6)."""
import os
import signal as signals
import socket
import subprocess
import threading
import time

import pytest

grpc = pytest.importorskip("grpc")

from lnlab import programs_folder, wait_until  # noqa: E402

A = "A" * 43 + "="
B = "B" * 43 + "="
ID, REGISTERED = "x-wiretrustee-peer-id", "x-wiretrustee-peer-registered"


def field(number, data):
    assert len(data) < 1 << 21
    size, n = b"", len(data)
    while n >= 0x80:
        size += bytes([n & 0x7F | 0x80])
        n >>= 7
    return bytes([number << 3 | 2]) + size + bytes([n]) + data


def envelope(sender, target, body):
    return field(2, sender.encode()) + field(3, target.encode()) + field(4, body)


class Server:
    def __init__(self, folder, env=None):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.log = folder / "server.log"
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                [programs_folder() / "linnet-server", "signal", "--listen", f"127.0.0.1:{self.port}", "--log-level", "debug"],
                stdout=out, stderr=out, env={**os.environ, **(env or {})})
        wait_until(self.listens, 10, "the signal service to listen")

    def listens(self):
        assert self.process.poll() is None, self.log.read_text()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        self.process.send_signal(signals.SIGTERM)
        try:
            return self.process.wait(20)
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


class Client:
    def __init__(self, server, name=None):
        self.channel = grpc.insecure_channel(f"127.0.0.1:{server.port}")
        self.send_call = self.channel.unary_unary("/signalexchange.SignalExchange/Send")
        self.name, self.got, self.code, self.text = name, [], None, None

    def connect(self):
        connect = self.channel.stream_stream("/signalexchange.SignalExchange/ConnectStream")
        self.done = threading.Event()
        self.stream = connect(self.requests(), metadata=((ID, self.name),) if self.name else ())
        self.headers = dict(self.stream.initial_metadata())
        return self

    def requests(self):
        self.done.wait()
        return
        yield

    def read(self, hold=None):
        def body():
            try:
                for message in self.stream:
                    self.got.append(message)
                    if hold:
                        hold.wait()
            except grpc.RpcError as e:
                self.code, self.text = e.code(), e.details()
            else:
                self.code = grpc.StatusCode.OK
        self.reader = threading.Thread(target=body, daemon=True)
        self.reader.start()
        return self

    def send(self, message, timeout=5):
        return self.send_call(message, timeout=timeout)

    def close(self):
        if hasattr(self, "done"):
            self.done.set()
        self.channel.close()


@pytest.fixture
def client(server):
    made = []

    def make(name=None):
        made.append(Client(server, name))
        return made[-1]
    yield make
    for each in made:
        each.close()


def test_registered_mark_comes_at_once(client):
    assert client(A).connect().headers[REGISTERED] == "1"


def test_without_id(client):
    a = client().connect().read()
    assert REGISTERED not in a.headers
    wait_until(lambda: a.code, 5, "the refusal")
    assert a.code == grpc.StatusCode.FAILED_PRECONDITION and ID in a.text


def test_messages_pass_unchanged(client):
    a, b = client(A).connect().read(), client(B).connect().read()
    strange = field(9, b"a field of tomorrow") + envelope(A, B, bytes(range(256)))
    assert a.send(strange) == b""
    assert b.send(envelope(B, A, b"answer")) == b""
    wait_until(lambda: a.got and b.got, 5, "both messages")
    assert b.got == [strange] and a.got == [envelope(B, A, b"answer")]


def test_order_from_one_sender(client):
    a, b = client(A), client(B).connect().read()
    sent = [envelope(A, B, str(i).encode()) for i in range(200)]
    for message in sent:
        a.send(message)
    wait_until(lambda: len(b.got) == 200, 5, "all messages")
    assert b.got == sent


def test_to_oneself(client):
    a = client(A).connect().read()
    a.send(envelope(A, A, b"heartbeat"))
    wait_until(lambda: a.got, 5, "the heartbeat")


def test_unknown_targets_are_no_error(client):
    a = client(A)
    assert a.send(envelope(A, B, b"x")) == b""
    assert a.send(envelope(A, "dummy", b"x"), timeout=1) == b""
    assert a.send(b"") == b""


@pytest.mark.parametrize("message,code", [
    (envelope(A, B, b"x" * 65536), grpc.StatusCode.RESOURCE_EXHAUSTED),
    (b"\x12\x7f", grpc.StatusCode.INTERNAL),
], ids=["too-large", "no-envelope"])
def test_bad_messages(client, message, code):
    with pytest.raises(grpc.RpcError) as e:
        client(A).send(message)
    assert e.value.code() == code


def test_the_largest_message(client):
    a, b = client(A), client(B).connect().read()
    head = len(envelope(A, B, b"x" * 60000)) - 60000
    a.send(envelope(A, B, b"x" * (65536 - head)))
    wait_until(lambda: b.got, 5, "64 KiB")


def test_registered_again(client):
    old, new, a = client(B).connect().read(), client(B).connect().read(), client(A)
    wait_until(lambda: old.code, 5, "the end of the old stream")
    assert old.code == grpc.StatusCode.UNKNOWN and old.text == "peer registered again"
    a.send(envelope(A, B, b"x"))
    wait_until(lambda: new.got, 5, "the message on the new stream")
    old.close()
    time.sleep(0.1)
    a.send(envelope(A, B, b"y"))
    wait_until(lambda: len(new.got) == 2, 5, "the new stream still to be registered")


def test_gone_peers_are_forgotten(client):
    b, a = client(B).connect().read(), client(A)
    b.close()
    time.sleep(0.1)
    assert a.send(envelope(A, B, b"x")) == b""
    again = client(B).connect().read()
    assert again.headers[REGISTERED] == "1"
    a.send(envelope(A, B, b"y"))
    wait_until(lambda: again.got, 5, "a message after coming back")
    assert again.got == [envelope(A, B, b"y")]


def test_a_stuck_reader_is_cut_off(tmp_path):
    server = Server(tmp_path, {"NB_SIGNAL_SEND_TIMEOUT": "1s"})
    hold = threading.Event()
    a, b, c = Client(server, A), Client(server, B).connect().read(hold), Client(server, "C").connect().read()
    try:
        for _ in range(120):
            assert a.send(envelope(A, B, b"x" * 60000)) == b""
        a.send(envelope(A, "C", b"others are served"))
        wait_until(lambda: c.got, 5, "the message of somebody else")
        wait_until(lambda: "takes no messages" in server.log.read_text(), 5, "the verdict")
        hold.set()
        wait_until(lambda: b.code, 10, "the end of the stuck stream")
        assert b.code == grpc.StatusCode.UNKNOWN
    finally:
        hold.set()
        for each in (a, b, c):
            each.close()
        assert server.stop() == 0


def test_stop_ends_streams(server, client):
    a = client(A).connect().read()
    started = time.monotonic()
    assert server.stop() == 0
    wait_until(lambda: a.code, 5, "the end of the stream")
    assert a.code == grpc.StatusCode.UNAVAILABLE
    assert time.monotonic() - started < 3


def test_unknown_method(client):
    a = client(A)
    call = a.channel.unary_unary("/signalexchange.SignalExchange/SendToStream")
    with pytest.raises(grpc.RpcError) as e:
        call(b"", timeout=5)
    assert e.value.code() == grpc.StatusCode.UNIMPLEMENTED
