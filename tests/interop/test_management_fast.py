"""The fast path of Sync (spec management-protocol 6.1): who comes back with the map it has gets none."""
import socket
import threading
import time

import pytest

pytest.importorskip("grpc")
pytest.importorskip("nacl")

from management_client import Agent, Host, ROOT, pb  # noqa: E402


@pytest.fixture
def host(tmp_path):
    h = Host(tmp_path)
    yield h
    if h.process.poll() is None:
        assert h.stop() == 0, (tmp_path / "host.log").read_text()


@pytest.fixture
def key(host):
    return host.admin("setup-key", "create", name="k", reusable=True)["key"]


def join(host, key, name, **more):
    agent = Agent(host.target, name, **more)
    agent.login(key)
    return agent


def sync(agent, plain=None, **meta):
    """One Sync up to its first message, taken back by the client as agents do."""
    if plain is None:
        plain = pb.SyncRequest(meta=agent.meta(**meta)).SerializeToString()
    stream = agent.sync(plain=plain)
    message = stream.next()
    time.sleep(0.05)
    stream.call.cancel()
    time.sleep(0.05)
    return message


def is_full(message):
    return message.HasField("NetworkMap")


def is_fast(message):
    """The servers and the deadline, and nothing else (4.6)."""
    servers = message.netbirdConfig
    return (not is_full(message) and servers.signal.uri and servers.stuns and not message.HasField("peerConfig")
            and not message.remotePeers and not message.remotePeersIsEmpty and message.Version == 0
            and message.HasField("sessionExpiresAt"))


def test_second_sync_has_no_map(host, key):
    a, b = join(host, key, "a"), join(host, key, "b")
    assert is_full(sync(a))
    for _ in range(3):
        assert is_fast(sync(a))
    assert is_full(sync(b)), "what one peer has says nothing about another"
    # A stream that began without a map hears of changes all the same, once each.
    stream = a.sync()
    assert is_fast(stream.next())
    join(host, key, "c")
    later = stream.next()
    assert len(later.NetworkMap.remotePeers) == 2 and not later.HasField("netbirdConfig")
    stream.quiet(0.3)
    # And what came on the stream counts as well as the first map did.
    stream.call.cancel()
    time.sleep(0.1)
    assert is_fast(sync(a))


@pytest.mark.parametrize("system", ["linux", "darwin", "windows", ""])
def test_systems(host, key, system):
    a = join(host, key, "a")
    assert is_full(sync(a, goOS=system))
    assert is_fast(sync(a, goOS=system))


@pytest.mark.parametrize("system", ["android", "Android"])
def test_android_always_gets_a_map(host, key, system):
    a = join(host, key, "a")
    for _ in range(3):
        assert is_full(sync(a, goOS=system))


def test_what_makes_it_full_again(host, key):
    a = join(host, key, "a")

    def primed():
        sync(a)
        assert is_fast(sync(a))

    primed()
    assert is_full(sync(a, hostname="renamed"))
    primed()
    assert is_full(sync(a, kernelVersion="6.1.1")), "every word of the metadata counts"
    primed()
    assert is_full(sync(a, sysSerialNumber="1"))
    primed()
    a.login()
    assert is_full(sync(a))
    primed()
    b = join(host, key, "b")
    assert len(sync(a).NetworkMap.remotePeers) == 1
    primed()
    b.logout()
    assert len(sync(a).NetworkMap.remotePeers) == 0
    primed()
    a.sync_meta(kernelVersion="other")
    assert is_full(sync(a)), "the stored metadata is another's"
    primed()
    host.stop()
    host.start()
    a.connect(host.target)
    assert is_full(sync(a)), "what is remembered does not outlive the server"


def test_a_change_elsewhere_costs_no_map(host, key):
    """A new serial whose map says the same, heard on the stream, is as good as the old one."""
    a = join(host, key, "a")
    stream = a.sync()
    assert is_full(stream.next())
    group = host.admin("group", "create", name="empty")
    host.admin("group", "rename", group=group["id"], name="still empty")
    stream.quiet(0.5)
    stream.call.cancel()
    time.sleep(0.1)
    assert is_fast(sync(a))


@pytest.mark.parametrize("name", ["v0_20_0", "v0_40_0", "v0_60_0"])
def test_frozen_requests(host, key, name):
    a = join(host, key, "a")
    plain = (ROOT / "tests/vectors/sync_request" / f"{name}.bin").read_bytes()
    assert is_full(sync(a, plain=plain))
    # The first has no metadata; the others are of Linux and Windows agents, or Android's.
    again = sync(a, plain=plain)
    request = pb.SyncRequest.FromString(plain)
    wants_map = not request.HasField("meta") or request.meta.goOS.lower() == "android"
    assert is_full(again) == wants_map


def test_no_metadata_always_gets_a_map(host, key):
    a = join(host, key, "a")
    for _ in range(2):
        assert is_full(sync(a, plain=b""))


def test_unknown_peer_is_refused(host, key):
    a = join(host, key, "a")
    sync(a)
    assert is_fast(sync(a))
    peer = host.admin("peer", "list")["peers"][0]
    host.admin("peer", "delete", peer=peer["id"])
    stream = a.sync()
    assert stream.ended()[0].name == "PERMISSION_DENIED"


class Cut:
    """A forwarder of one port that can stop reading from the server, and break off."""

    def __init__(self, target):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.to, self.pairs, self.held = target.split(":"), [], False
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                inner = self.listener.accept()[0]
            except OSError:
                return
            outer = socket.create_connection((self.to[0], int(self.to[1])))
            self.pairs.append((inner, outer))
            threading.Thread(target=self.pump, args=(inner, outer, False), daemon=True).start()
            threading.Thread(target=self.pump, args=(outer, inner, True), daemon=True).start()

    def pump(self, source, sink, down):
        try:
            while data := source.recv(65536):
                while down and self.held:
                    time.sleep(0.01)
                sink.sendall(data)
        except OSError:
            pass

    def cut(self):
        for pair in self.pairs:
            for s in pair:
                s.shutdown(socket.SHUT_RDWR)
        self.pairs = []


def test_sent_is_not_received(host, key):
    """A map that broke off on its way does not count (gap 4)."""
    a = join(host, key, "a")
    cut = Cut(host.target)
    a.connect(cut.target)
    cut.held = True
    stream = a.sync()
    time.sleep(0.5)
    cut.cut()
    cut.held = False
    stream.ended()
    a.connect(host.target)
    assert is_full(sync(a))
    cut.listener.close()
