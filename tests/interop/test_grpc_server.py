"""python3-grpcio and raw sockets against our gRPC server (src/net, src/front)."""
import os
import select
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from grpc_bin import make_cert, server
from lnlab import wait_until

grpc = pytest.importorskip("grpc")

# Freed memory waits in the address sanitizer's quarantine.
RSS_SCALE = 10 if "asan" in os.environ.get("LINNET_BIN", "") else 1
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture(scope="module")
def certs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certs")
    return folder, make_cert(folder, "one")


@pytest.fixture(params=["h2c", "tls"])
def echo(request, certs):
    folder, (cert, key) = certs
    args = ["--cert", cert, "--key", key] if request.param == "tls" else []
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with server(*args) as s:
        if request.param == "tls":
            root = grpc.ssl_channel_credentials(cert.read_bytes())
            channel = grpc.secure_channel(f"localhost:{s.port}", root, options)
        else:
            channel = grpc.insecure_channel(s.target, options)
        s.channel = channel
        with channel:
            yield s


def unary(s, name, msg=b"", timeout=10, **kw):
    return s.channel.unary_unary(f"/test.Echo/{name}")(msg, timeout=timeout, **kw)


def refused(s, name, msg=b"", **kw):
    with pytest.raises(grpc.RpcError) as e:
        unary(s, name, msg, **kw)
    return e.value


def test_unary_sizes(echo):
    assert unary(echo, "Echo", b"hello") == b"hello"
    assert unary(echo, "Echo", b"") == b""
    big = bytes(range(256)) * 8192
    assert unary(echo, "Echo", big) == big


def test_message_beyond_4_mib_is_refused(echo):
    limit = 4 << 20
    assert len(unary(echo, "Echo", b"x" * limit)) == limit
    e = refused(echo, "Echo", b"x" * (limit + 1))
    assert e.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused(echo, "Echo", b"x" * (5 << 20)).code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert unary(echo, "Echo", b"still here") == b"still here"


def test_server_stream_and_half_close(echo):
    count = echo.channel.unary_stream("/test.Echo/Count")
    got = list(count(b"1000 1000", timeout=20))
    assert len(got) == 1000 and all(len(m) == 1000 for m in got)


def test_bidirectional(echo):
    sent = [b"%d" % i for i in range(300)]
    bidi = echo.channel.stream_stream("/test.Echo/Echo")
    assert list(bidi(iter(sent), timeout=20)) == sent


def test_deadline_of_the_client_ends_the_call_on_the_server(echo):
    t0 = time.monotonic()
    e = refused(echo, "Silent", timeout=0.5)
    assert e.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0.4 < time.monotonic() - t0 < 2
    stats = unary(echo, "Stats").decode()
    assert "closed=1" in stats


def test_errors_texts_and_details(echo):
    e = refused(echo, "FailAtOnce")
    assert e.code() == grpc.StatusCode.UNAUTHENTICATED
    assert e.details() == "at once \u20ac 100%\n"
    for code in grpc.StatusCode:
        if code is grpc.StatusCode.OK:
            continue
        e = refused(echo, "Fail", metadata=[("x-status", str(code.value[0])), ("x-text", "t")])
        assert e.code() == code
        assert e.details() == "t"
        assert dict(e.trailing_metadata())["grpc-status-details-bin"] == b"details"
    e = refused(echo, "Nope")
    assert e.code() == grpc.StatusCode.UNIMPLEMENTED


def test_headers_before_any_message_and_cancel(echo):
    call = echo.channel.stream_stream("/test.Echo/Mark")(iter(()), metadata=[("x-peer-id", "k=")])
    assert dict(call.initial_metadata())["x-registered"] == "k="
    call.cancel()
    with pytest.raises(grpc.RpcError) as e:
        next(call)
    assert e.value.code() == grpc.StatusCode.CANCELLED
    end = time.monotonic() + 5
    while "closed=1" not in unary(echo, "Stats").decode():
        assert time.monotonic() < end


def test_many_calls_at_once_on_one_connection(echo):
    method = echo.channel.unary_unary("/test.Echo/Echo")
    futures = [method.future(b"%d" % i, timeout=20) for i in range(500)]
    assert [f.result() for f in futures] == [b"%d" % i for i in range(500)]


def test_compressed_request_is_refused(echo):
    e = refused(echo, "Echo", b"x" * 5000, compression=grpc.Compression.Gzip)
    assert e.code() == grpc.StatusCode.UNIMPLEMENTED


def test_client_keepalive_every_second_is_welcome():
    options = [("grpc.keepalive_time_ms", 1000), ("grpc.keepalive_permit_without_calls", 1),
               ("grpc.http2.max_pings_without_data", 0)]
    with server() as s, grpc.insecure_channel(s.target, options) as s.channel:
        assert unary(s, "Echo", b"a") == b"a"
        states = []
        s.channel.subscribe(states.append)
        time.sleep(4)
        assert unary(s, "Echo", b"b") == b"b"
        assert states[-1] == grpc.ChannelConnectivity.READY
        assert grpc.ChannelConnectivity.TRANSIENT_FAILURE not in states


def test_drain_lets_running_calls_end():
    with server() as s, grpc.insecure_channel(s.target) as s.channel:
        go = threading.Event()

        def messages():
            yield b"first"
            go.wait(5)
            yield b"last"

        call = s.channel.stream_stream("/test.Echo/Echo")(messages(), timeout=10)
        assert next(call) == b"first"
        s.p.terminate()
        time.sleep(0.3)
        go.set()
        assert list(call) == [b"last"]
        assert s.p.wait(5) == 0


def test_certificate_is_read_again(certs):
    folder, _ = certs
    cert, key = make_cert(folder, "old")
    with server("--cert", cert, "--key", key) as s:
        def subject():
            pem = ssl.get_server_certificate(("127.0.0.1", s.port))
            return pem.strip()
        assert subject() == cert.read_text().strip()
        make_cert(folder, "old")
        s.p.send_signal(1)
        end = time.monotonic() + 5
        while subject() != cert.read_text().strip():
            assert time.monotonic() < end
        key.write_text("broken")
        s.p.send_signal(1)
        assert subject() == cert.read_text().strip()


# --- raw frames ----------------------------------------------------------------------------------

def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(
        ">I", stream) + payload


def request_block(path, content_type=b"application/grpc"):
    out = b"\x83\x86"  # :method POST, :scheme http
    for name, value in ((b":path", path), (b":authority", b"x"), (b"content-type", content_type),
                        (b"te", b"trailers")):
        out += b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value
    return out


def raw(s):
    c = socket.create_connection(("127.0.0.1", s.port), timeout=10)
    c.sendall(PREFACE + frame(4, 0, 0))
    return c


def flood(s, block, most):
    """Sends `block` until the server closes; returns how often it was taken."""
    c = raw(s)
    sent = 0
    try:
        while sent < most:
            c.sendall(block(sent))
            sent += 1
    except OSError:
        pass
    finally:
        c.close()
    return sent


@pytest.mark.parametrize("name,block,most", [
    ("reset", lambda i: b"".join(
        frame(1, 4, 2 * (i * 100 + j) + 1, request_block(b"/test.Echo/Silent")) +
        frame(3, 0, 2 * (i * 100 + j) + 1, b"\0\0\0\x08") for j in range(100)), 5000),
    ("continuation", lambda i: (frame(1, 0, 1, b"") if i == 0 else b"") +
        frame(9, 0, 1, b"") * 10, 5000),
    ("ping", lambda i: frame(6, 0, 0, b"12345678") * 1000, 5000),
    ("settings", lambda i: frame(4, 0, 0, b"\0\3\0\0\0\1") * 1000, 5000),
    ("garbage", lambda i: b"\xff" * 1000, 5000),
    ("hpack bomb", lambda i: frame(1, 4, 1, b"\x3f\xff\xff\xff\xff\xff\xff"), 5000),
    # Refused one by one, while nobody reads the refusals and our SETTINGS are never acknowledged.
    ("refused streams", lambda i: b"".join(
        frame(1, 5, 2 * (i * 1000 + j) + 1, request_block(b"/test.Echo/Silent")) for j in range(1000)), 3000),
    ("window overflow", lambda i: frame(8, 0, 0, b"\x7f\xff\xff\xff"), 5000),
])
def test_floods_end_the_connection_and_cost_nothing(name, block, most):
    with server() as s:
        before = s.rss_kb()
        sent = flood(s, block, most)
        assert sent < most
        if RSS_SCALE == 1:  # the quarantine keeps up to 256 MB of what was freed meanwhile
            assert s.rss_kb() - before < 4096
        with grpc.insecure_channel(s.target) as s.channel:
            assert unary(s, "Echo", b"alive") == b"alive"


def test_reader_that_stops_costs_a_bounded_queue():
    with server() as s:
        before = s.rss_kb()
        c = socket.create_connection(("127.0.0.1", s.port), timeout=10)
        # A huge window, 1 GiB asked for, and not one byte read.
        c.sendall(PREFACE + frame(4, 0, 0, b"\0\4\x7f\xff\xff\xff") +
                  frame(8, 0, 0, b"\x7f\x00\x00\x00") +
                  frame(1, 4, 1, request_block(b"/test.Echo/Count")) +
                  frame(0, 1, 1, b"\0\0\0\0\x0e" + b"100000 1048576"[:14]))
        time.sleep(1)
        assert s.rss_kb() - before < 16384 * RSS_SCALE  # the queue limit of this server is 8 MiB
        c.close()
        with grpc.insecure_channel(s.target) as s.channel:
            assert unary(s, "Echo", b"alive") == b"alive"


def test_half_a_preface_and_silence_after_tls_are_cut_off(certs):
    folder, (cert, key) = certs
    with server("--first-limit", 300) as s:
        for start in (b"", b"PRI * HTTP/2.0\r\n\r\nSM", PREFACE):
            with socket.create_connection(("127.0.0.1", s.port), timeout=5) as c:
                c.sendall(start)
                while c.recv(1000):
                    pass
    with server("--first-limit", 300, "--cert", cert, "--key", key) as s:
        for start in (b"\x16\x03\x01", b""):
            with socket.create_connection(("127.0.0.1", s.port), timeout=5) as c:
                c.sendall(start)
                assert c.recv(1000) == b""
        context = ssl.create_default_context(cafile=str(cert))
        context.set_alpn_protocols(["h2"])
        with socket.create_connection(("127.0.0.1", s.port), timeout=5) as c:
            with context.wrap_socket(c, server_hostname="localhost") as t:
                assert t.selected_alpn_protocol() == "h2"
                assert t.recv(1000) == b""
        # Clear text is refused at once where a certificate is configured.
        with socket.create_connection(("127.0.0.1", s.port), timeout=5) as c:
            c.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert c.recv(1000) == b""


def test_silent_peer_is_dropped_by_keepalive():
    with server("--keepalive", 300) as s:
        c = raw(s)
        t0 = time.monotonic()
        data = b""
        while True:
            more = c.recv(1000)  # we read, but never answer the PING
            if not more:
                break
            data += more
        assert frame(6, 0, 0, b"\0" * 8) in data
        assert time.monotonic() - t0 < 3


def test_keepalives_are_not_in_step():
    """Connections made in one storm ping up to a tenth of the interval earlier than each other."""
    with server("--keepalive", 2000) as s:
        began = time.monotonic()
        waiting = {raw(s): b"" for _ in range(30)}
        seen = []
        while waiting:
            ready, _, _ = select.select(list(waiting), [], [], 10)
            assert ready, "no keepalive PING"
            for c in ready:
                waiting[c] += c.recv(1000)
                if frame(6, 0, 0, b"\0" * 8) in waiting[c]:
                    seen.append(time.monotonic() - began)
                    del waiting[c]
                    c.close()
        assert 1.7 < min(seen) and max(seen) - min(seen) > 0.05, seen


def frames_of(c, stream, limit=10):
    """(type, flags) of the frames of a stream, until one ends it."""
    data, found = b"", []
    end = time.monotonic() + limit
    while not any(flags & 1 for _, flags in found):
        while len(data) < 9 or len(data) < 9 + int.from_bytes(data[:3], "big"):
            c.settimeout(max(0.01, end - time.monotonic()))
            more = c.recv(65536)
            assert more, "the connection ended"
            data += more
        n, kind, flags, of = int.from_bytes(data[:3], "big"), data[3], data[4], int.from_bytes(data[5:9], "big")
        data = data[9 + n:]
        if of == stream:
            found.append((kind, flags))
    return found


def test_an_unknown_method_is_answered_by_trailers_only():
    with server() as s, raw(s) as c:
        c.sendall(frame(1, 5, 1, request_block(b"/test.Echo/Nope")))
        assert frames_of(c, 1) == [(1, 5)]  # one HEADERS with END_STREAM and END_HEADERS
        c.sendall(frame(1, 5, 3, request_block(b"/test.Echo/Fail")))
        assert frames_of(c, 3) == [(1, 4), (1, 5)]  # what reached a method: headers, then trailers


def test_the_server_keeps_the_deadline_of_a_client_that_does_not():
    timeout = b"\x00\x0cgrpc-timeout\x04300m"
    with server() as s, raw(s) as c:
        began = time.monotonic()
        c.sendall(frame(1, 4, 1, request_block(b"/test.Echo/Silent") + timeout))
        assert frames_of(c, 1)[-1] == (1, 5)
        assert 0.29 < time.monotonic() - began < 5
        with grpc.insecure_channel(s.target) as s.channel:
            wait_until(lambda: "closed=1" in unary(s, "Stats").decode(), 5, "the end of the call")


def test_a_tls_session_is_resumed(certs):
    folder, (cert, key) = certs
    context = ssl.create_default_context(cafile=str(cert))
    context.set_alpn_protocols(["h2"])

    def session_of(s, session=None):
        with socket.create_connection(("127.0.0.1", s.port), timeout=5) as c:
            with context.wrap_socket(c, server_hostname="localhost", session=session) as t:
                t.sendall(PREFACE + frame(4, 0, 0))
                assert t.recv(1000)  # SETTINGS; the ticket came before
                return t.session, t.session_reused

    with server("--cert", cert, "--key", key) as s:
        first, reused = session_of(s)
        assert not reused and first.has_ticket
        second, reused = session_of(s, first)
        assert reused and second.has_ticket
        s.p.send_signal(1)  # another context, other keys: old tickets are shaken hands on, not refused
        wait_until(lambda: not session_of(s, second)[1], 5, "the reload")


def test_goaway_of_the_client_may_name_its_own_stream():
    with server() as s:
        c = raw(s)
        c.sendall(frame(1, 4, 1, request_block(b"/test.Echo/Silent")) +
                  frame(7, 0, 0, struct.pack(">II", 1, 0) + b"client transport shutdown") +
                  frame(6, 0, 0, b"whatever"))
        data = b""
        while frame(6, 1, 0, b"whatever") not in data:
            more = c.recv(1000)
            assert more, "the server closed the connection"
            data += more
        c.close()


def curl(*args):
    return subprocess.run(["curl", "-sS", "-i", "--max-time", "5", *map(str, args)],
                          capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("content,status", [
    ("application/grpc+json", 415), ("application/grpc-web", 404), ("text/html", 404)])
def test_other_content_is_not_grpc(content, status):
    with server() as s:
        out = curl("--http2-prior-knowledge", "-d", "some body", "-H", f"content-type: {content}",
                   f"http://{s.target}/test.Echo/Echo")
        assert out.startswith(f"HTTP/2 {status} ")


@pytest.mark.parametrize("how", ["h2c", "tls", "http1.1"])
def test_answers_before_the_end_of_an_upload_arrive(certs, tmp_path, how):
    """Debian's curl takes a reset stream for an error, whatever was answered: so the rest of a body is read."""
    folder, (cert, key) = certs
    body = tmp_path / "body"
    body.write_bytes(bytes(8 << 20))
    words = {"h2c": ["--http2-prior-knowledge"], "tls": ["--cacert", cert], "http1.1": ["--http1.1"]}[how]
    early = 404 if how == "http1.1" else 415  # a small body is read first there
    with server(*(["--cert", cert, "--key", key] if how == "tls" else [])) as s:
        url = f"{'https' if how == 'tls' else 'http'}://localhost:{s.port}/test.Echo/Echo"
        for content, size, status in (("text/plain", 8 << 20, 413), ("text/plain", 70000, 404),
                                      ("application/grpc+json", 70000, early)):
            with open(body, "r+b") as f:
                f.truncate(size)
            for _ in range(5):  # what curl has sent when the answer comes is not always the same
                out = curl(*words, "-H", "expect:", "-H", f"content-type: {content}", "--data-binary", f"@{body}", url)
                assert f" {status} " in out.splitlines()[0]


def test_an_endless_upload_is_reset():
    """After the answer 16 MiB more are read and thrown away, then the stream ends with NO_ERROR."""
    piece, sent, seen = bytes(16384), 0, b""
    windows = {0: 65535, 1: 65535}
    with server() as s, raw(s) as c:
        before = s.rss_kb()
        c.sendall(frame(1, 4, 1, request_block(b"/upload", b"text/plain")))
        while True:
            while len(seen) < 9 or len(seen) < 9 + int.from_bytes(seen[:3], "big"):
                if min(windows.values()) >= len(piece):
                    c.sendall(frame(0, 0, 1, piece))
                    windows = {k: v - len(piece) for k, v in windows.items()}
                    sent += len(piece)
                    assert sent < 24 << 20
                    c.setblocking(False)
                    try:
                        seen += c.recv(65536)
                    except BlockingIOError:
                        pass
                    c.settimeout(10)
                else:
                    more = c.recv(65536)
                    assert more, "the connection ended"
                    seen += more
            n, kind, stream = int.from_bytes(seen[:3], "big"), seen[3], int.from_bytes(seen[5:9], "big")
            payload, seen = seen[9:9 + n], seen[9 + n:]
            if kind == 8:
                windows[stream] += int.from_bytes(payload, "big")
            elif kind == 4 and payload:  # SETTINGS_INITIAL_WINDOW_SIZE is among them
                settings = dict(struct.iter_unpack(">HI", payload))
                windows[1] += settings[4] - 65535
                c.sendall(frame(4, 1, 0))
            elif kind == 3:
                assert (stream, payload) == (1, b"\0\0\0\0")
                break
        assert 16 << 20 <= sent <= 20 << 20  # 1 MiB before the answer, a window on its way
        assert s.rss_kb() - before < 4096 * RSS_SCALE
        c.sendall(frame(6, 0, 0, b"goes on!"))
        while frame(6, 1, 0, b"goes on!") not in seen:
            more = c.recv(65536)
            assert more, "the connection ended"
            seen += more


def test_pages_over_both_kinds_of_http():
    with server() as s:
        for how in ("--http1.1", "--http2-prior-knowledge"):
            assert "linnet server" in curl(how, f"http://{s.target}/")
            assert " 404" in curl(how, f"http://{s.target}/x")
            assert " 405" in curl(how, "-d", "x", f"http://{s.target}/")


def test_idle_connections_are_small():
    with server() as s:
        conns = []
        for i in range(50):
            conns.append(raw(s))
        time.sleep(0.3)
        before = s.rss_kb()
        for i in range(400):
            c = raw(s)
            c.sendall(frame(1, 4, 1, request_block(b"/test.Echo/Mark")))
            conns.append(c)
        time.sleep(1)
        per = (s.rss_kb() - before) / 400
        print(f"{per:.1f} KiB per idle connection with one stream")
        assert per < 24 * RSS_SCALE
        for c in conns:
            c.close()
