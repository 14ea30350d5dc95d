"""The management service against an independent client: codes, texts, maps, their order and their end."""
import base64
import os
import signal
import subprocess
import sys
import time

import pytest

grpc = pytest.importorskip("grpc")
pytest.importorskip("nacl")

from management_client import Agent, Host, ROOT, SERVICE, Stream, pb  # noqa: E402

Code = grpc.StatusCode
ZERO = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def host(tmp_path):
    h = Host(tmp_path)
    yield h
    if h.process.poll() is None:
        assert h.stop() == 0, (tmp_path / "host.log").read_text()


@pytest.fixture
def key(host):
    return host.admin("setup-key", "create", name="k", reusable=True)["key"]


def refused(call, code, text=None):
    with pytest.raises(grpc.RpcError) as e:
        call()
    assert e.value.code() == code, e.value
    if text is not None:
        assert e.value.details() == text


def join(host, key, name, **more):
    agent = Agent(host.target, name, **more)
    agent.login(key)
    return agent


def peers(message):
    return sorted(p.fqdn for p in message.NetworkMap.remotePeers)


def test_server_key_survives_a_restart(host):
    first = Agent(host.target)
    reply = pb.ServerKeyResponse.FromString(first.raw("GetServerKey", b""))
    assert len(base64.b64decode(reply.key)) == 32
    assert reply.expiresAt.seconds > time.time() + 3600
    assert first.raw("isHealthy", b"") == b""
    assert host.stop() == 0
    host.start()
    assert Agent(host.target).server == first.server
    assert host.admin("account", "show")["server_key"] == reply.key


def test_login_codes(host, key):
    a = Agent(host.target, "a")
    no_method = "no peer auth method provided, please use a setup key or interactive SSO login"
    refused(lambda: a.login(), Code.PERMISSION_DENIED, no_method)
    refused(lambda: a.login(ZERO), Code.PERMISSION_DENIED, no_method)
    bad = "couldn't add peer: setup key is invalid"
    refused(lambda: a.login("11111111-2222-4333-8444-555555555555"), Code.NOT_FOUND, bad)
    refused(lambda: a.login("no uuid at all"), Code.NOT_FOUND, bad)
    refused(lambda: a.raw("Login", a.seal(pb.LoginRequest(setupKey=key).SerializeToString())), Code.FAILED_PRECONDITION)
    refused(lambda: a.raw("Login", b"\xff\xff"), Code.INVALID_ARGUMENT)
    refused(lambda: a.raw("Login", a.seal(b"\xff\xff")), Code.INVALID_ARGUMENT)
    broken = bytearray(a.seal(b""))
    broken[-1] ^= 1
    refused(lambda: a.raw("Login", bytes(broken)), Code.INVALID_ARGUMENT)
    refused(lambda: a.login(key, jwtToken="x.y.z"), Code.INVALID_ARGUMENT)
    refused(lambda: a.login(key, dnsLabels=["extra"]), Code.FAILED_PRECONDITION)
    for name in ("", "..."):
        a.name = name
        refused(lambda: a.login(key), Code.INVALID_ARGUMENT)
    assert host.admin("peer", "list")["peers"] == []
    a.name = "a"
    revoked = host.admin("setup-key", "create", name="r")
    host.admin("setup-key", "revoke", key=revoked["id"])
    refused(lambda: a.login(revoked["key"]), Code.NOT_FOUND, bad)
    once = host.admin("setup-key", "create", name="once")["key"]
    a.login(once.lower())
    a.login("whatever")  # known now: the key is not looked at
    refused(lambda: Agent(host.target, "b").login(once), Code.NOT_FOUND, bad)
    refused(lambda: a.raw("CreateExpose", b""), Code.UNIMPLEMENTED)
    for method in ("GetDeviceAuthorizationFlow", "GetPKCEAuthorizationFlow"):
        began = time.monotonic()
        refused(lambda: a.raw(method, a.seal(b"")), Code.NOT_FOUND)
        assert time.monotonic() - began < 2  # an agent waits that long before it goes on without
        refused(lambda: a.raw(method, b"junk"), Code.INVALID_ARGUMENT)


def test_login_answer(host, key):
    a = Agent(host.target, "Machine A.lan")
    sealed = a.seal(pb.LoginRequest(setupKey=key, meta=a.meta()).SerializeToString())
    plain = a.open(a.raw("Login", sealed))
    reply = pb.LoginResponse.FromString(plain)
    # The client re-sends the identical ciphertext: Login repeats are accepted.
    assert pb.LoginResponse.FromString(a.open(a.raw("Login", sealed))).peerConfig == reply.peerConfig
    assert reply.netbirdConfig.signal.uri == "127.0.0.1:10000"
    assert reply.netbirdConfig.signal.protocol != 3
    assert [s.uri for s in reply.netbirdConfig.stuns] == ["stun:127.0.0.1:3478"]
    assert not reply.netbirdConfig.HasField("relay")
    assert reply.netbirdConfig.HasField("metrics") and not reply.netbirdConfig.metrics.enabled
    assert reply.HasField("sessionExpiresAt") and reply.sessionExpiresAt.seconds == 0
    assert reply.peerConfig.fqdn == "machine-a.netbird.selfhosted"
    assert reply.peerConfig.address.startswith("100.") and reply.peerConfig.address.endswith("/16")
    assert len(reply.peerConfig.address_v6) == 17 and reply.peerConfig.address_v6[-1] == 64
    assert reply.peerConfig.LazyConnectionEnabled
    # The Sync says the same (trap 35), also without the capability.
    first = a.sync().next()
    assert first.NetworkMap.peerConfig.address == reply.peerConfig.address
    assert first.NetworkMap.peerConfig.address_v6 == reply.peerConfig.address_v6
    old = join(host, key, "old", version="0.50.3", capabilities=())
    assert old.login().peerConfig.address_v6 == b""
    assert old.sync().next().NetworkMap.peerConfig.address_v6 == b""


def test_first_map(host, key):
    a = join(host, key, "a")
    m = a.sync().next()
    assert m.netbirdConfig.signal.uri and m.netbirdConfig.HasField("metrics")
    assert m.HasField("sessionExpiresAt")
    assert m.NetworkMap.remotePeersIsEmpty and m.NetworkMap.firewallRulesIsEmpty
    assert m.NetworkMap.Serial > 0
    b = join(host, key, "b")
    m = b.sync().next()
    assert peers(m) == ["a.netbird.selfhosted"]
    assert m.NetworkMap.remotePeers[0].wgPubKey == a.text_key
    assert len(m.NetworkMap.FirewallRules) > 0 and not m.NetworkMap.firewallRulesIsEmpty


def test_unknown_peer(host):
    a = Agent(host.target)
    assert a.sync().ended() == (Code.PERMISSION_DENIED, "peer is not registered")
    refused(a.sync_meta, Code.NOT_FOUND)
    refused(a.logout, Code.NOT_FOUND)
    job = Stream(a.channel.stream_stream(SERVICE + "Job")(iter([a.seal(b"")])), a.open)
    assert job.ended()[0] == Code.PERMISSION_DENIED


def test_second_peer_arrives_and_leaves(host, key):
    a = join(host, key, "a")
    sa = a.sync()
    first = sa.next()
    b = join(host, key, "b")
    t = time.monotonic()
    m = sa.next()
    assert time.monotonic() - t < 1
    assert peers(m) == ["b.netbird.selfhosted"]
    assert m.NetworkMap.Serial > first.NetworkMap.Serial
    assert not m.HasField("netbirdConfig")  # later maps carry none (4.3)
    sb = b.sync()
    assert peers(sb.next()) == ["a.netbird.selfhosted"]
    sa.quiet(0.5)  # b's Sync changed nothing a is told
    listed = {p["name"]: p for p in host.admin("peer", "list")["peers"]}
    assert listed["a"]["connected"] and listed["b"]["connected"]
    b.logout()
    gone = sb.next()
    assert gone.remotePeersIsEmpty and gone.NetworkMap.remotePeersIsEmpty
    assert gone.NetworkMap.firewallRulesIsEmpty and not gone.HasField("peerConfig")
    assert sb.ended() == (Code.OK, "")
    assert peers(sa.next()) == []
    refused(b.logout, Code.NOT_FOUND)
    assert b.sync().ended()[0] == Code.PERMISSION_DENIED


def test_admin_changes_reach_the_streams(host, key):
    a, b = join(host, key, "a"), join(host, key, "b")
    sa, sb = a.sync(), b.sync()
    serial = sa.next().NetworkMap.Serial
    sb.next()
    host.admin("policy", "disable", policy="Default")
    m = sa.until(lambda m: not peers(m))
    assert m.NetworkMap.Serial > serial and m.NetworkMap.firewallRulesIsEmpty
    host.admin("policy", "disable", policy="Default")  # equal: nothing
    sa.quiet(0.5)
    host.admin("group", "create", name="web", peers=["b"])
    host.admin("policy", "create", name="p", rules=[
        {"protocol": "tcp", "ports": ["80", "443"], "sources": ["All"], "destinations": ["web"], "bidirectional": False}])
    m = sa.until(lambda m: peers(m) == ["b.netbird.selfhosted"])
    assert {(r.Direction, r.Protocol, r.Port) for r in m.NetworkMap.FirewallRules} == {(1, 2, "80"), (1, 2, "443")}
    host.admin("peer", "rename", peer="b", name="Other")
    sa.until(lambda m: peers(m) == ["other.netbird.selfhosted"])
    host.admin("peer", "delete", peer="other")
    sb.until(lambda m: m.NetworkMap.remotePeersIsEmpty and not m.HasField("peerConfig"))
    assert sb.ended() == (Code.OK, "")


def test_sync_meta(host, key):
    a, b = join(host, key, "a"), join(host, key, "b")
    sa, sb = a.sync(), b.sync()
    sa.next(), sb.next()
    assert b.sync_meta() == b""
    sa.quiet(0.4)
    b.version = "0.78.0"
    b.sync_meta()
    m = sa.next()
    assert m.NetworkMap.remotePeers[0].agentVersion == "0.78.0"
    b.sync_meta(OS="Debian", kernel="Linux")  # stored, but in nobody's map
    sa.quiet(0.4)
    assert {p["name"]: p["os"] for p in host.admin("peer", "list")["peers"]}["b"] == "Debian"
    b.capabilities = [1]
    b.sync_meta()
    assert sb.until(lambda m: m.NetworkMap.peerConfig.address_v6 == b"")
    refused(lambda: b.raw("SyncMeta", b.seal(b"")), Code.FAILED_PRECONDITION)


def test_replays(host, key):
    a = join(host, key, "a")
    sealed = a.seal(pb.SyncRequest(meta=a.meta()).SerializeToString())
    s = a.sync(sealed=sealed)
    s.next()
    assert a.sync(sealed=sealed).ended()[0] == Code.INVALID_ARGUMENT
    s.quiet(0.3)  # the first stream stays
    meta = a.seal(pb.SyncMetaRequest(meta=a.meta()).SerializeToString())
    a.raw("SyncMeta", meta)
    refused(lambda: a.raw("SyncMeta", meta), Code.INVALID_ARGUMENT)


def test_newer_stream_replaces(host, key):
    a = join(host, key, "a")
    first = a.sync()
    first.next()
    second = a.sync()
    second.next()
    assert first.ended() == (Code.OK, "")
    join(host, key, "b")
    assert peers(second.next()) == ["b.netbird.selfhosted"]  # the clean-up of the first did not touch it
    assert host.admin("account", "show")["connected"] == 1
    second.call.cancel()
    deadline = time.monotonic() + 5
    while host.admin("account", "show")["connected"] != 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_burst_is_merged(host, key):
    a = join(host, key, "a")
    s = a.sync()
    last = s.next().NetworkMap.Serial
    begin, count, maps = time.monotonic(), 60, 0
    for i in range(count):
        host.admin("group", "create", name=f"g{i}")
        join(host, key, f"x{i}").close()
    took = time.monotonic() - begin
    while True:
        m = s.next(3)
        maps += 1
        assert m.NetworkMap.Serial > last
        last = m.NetworkMap.Serial
        if len(m.NetworkMap.remotePeers) == count:
            break
    # The last change of a burst waits for a second at most; the rest is for a machine that does other things.
    assert time.monotonic() - begin - took < 3
    assert maps <= 5 + took * 5, f"{maps} maps in {took:.1f} s"
    s.quiet(0.3)
    assert host.stop() == 0
    counters = dict(word.split("=") for word in (host.folder / "host.log").read_text().rsplit("counters", 1)[1].split()
                    if "=" in word)
    # Snapshots are made of the one before and what changed, unless that is most of it.
    assert int(counters["followed"]) > 0, counters


READER = """
import sys, nacl.public
from management_client import Agent
a = Agent(sys.argv[1], "a", key=nacl.public.PrivateKey(bytes.fromhex(sys.argv[2])))
s = a.sync()
while True:
    m = s.next(60).NetworkMap
    print(m.Serial, len(m.remotePeers), sum(p.fqdn.startswith("new") for p in m.remotePeers), flush=True)
"""


def test_slow_reader_gets_the_newest_map(host, key):
    a = join(host, key, "a")
    for i in range(150):
        join(host, key, f"x{i}").close()
    reader = subprocess.Popen([sys.executable, "-c", READER, host.target, bytes(a.key).hex()], stdout=subprocess.PIPE,
                              cwd=ROOT / "tests" / "interop", env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    try:
        last, count, _ = map(int, reader.stdout.readline().split())
        assert count == 150
        reader.send_signal(signal.SIGSTOP)
        for i in range(12):  # windows are full after a few maps of 60 kB
            host.admin("peer", "rename", peer=f"x{i}", name=f"new{i}")
            time.sleep(0.6)
        reader.send_signal(signal.SIGCONT)
        maps = renamed = 0
        while renamed < 12:
            serial, _, renamed = map(int, reader.stdout.readline().split())
            maps += 1
            assert serial > last
            last = serial
    finally:
        reader.kill()
        reader.wait()
        reader.stdout.close()
    assert host.stop() == 0
    counters = (host.folder / "host.log").read_text().rsplit("counters", 1)[1]
    assert "late=0" not in counters, counters
    assert maps < 12, f"{maps} maps waited for a reader that stood still"


def test_restart_and_kill(host, key):
    a, b = join(host, key, "a"), join(host, key, "b")
    serial = a.sync().next().NetworkMap.Serial
    host.stop(signal.SIGKILL)
    host.start()
    assert host.admin("account", "show")["connected"] == 0  # nobody is connected to a new server
    a.connect(host.target)
    s = a.sync()
    m = s.next()
    assert m.NetworkMap.Serial >= serial and peers(m) == ["b.netbird.selfhosted"]
    assert host.stop() == 0
    assert s.ended()[0] == Code.OK  # a stop is the end of the stream, not an error
    b.close()


def test_ephemeral_peers_are_deleted(tmp_path):
    host = Host(tmp_path, 1)
    key = host.admin("setup-key", "create", name="e", reusable=True, ephemeral=True)["key"]
    stay = host.admin("setup-key", "create", name="s", reusable=True)["key"]
    a, e, gone = join(host, stay, "a"), join(host, key, "e"), join(host, key, "gone")
    sa, se = a.sync(), e.sync()
    se.next()
    m = sa.until(lambda m: len(m.NetworkMap.remotePeers) == 1, 10)  # `gone` never connected
    assert m.NetworkMap.remotePeers[0].wgPubKey == e.text_key
    se.call.cancel()
    sa.until(lambda m: not m.NetworkMap.remotePeers, 10)
    assert [p["name"] for p in host.admin("peer", "list")["peers"]] == ["a"]
    gone.close()
    assert host.stop() == 0


def test_admission_gate(tmp_path):
    host = Host(tmp_path, 600, 1)
    key = host.admin("setup-key", "create", name="k", reusable=True)["key"]
    a = join(host, key, "a")
    # A Sync that sends nothing holds the one place.
    release = []

    def silent():
        while not release:
            time.sleep(0.02)
        return
        yield

    held = a.channel.stream_stream(SERVICE + "Sync")(silent())
    time.sleep(0.3)
    assert a.sync().ended()[0] == Code.RESOURCE_EXHAUSTED
    held.cancel()
    release.append(True)
    time.sleep(0.3)
    assert a.sync().next().NetworkMap.Serial > 0
    assert host.stop() == 0


@pytest.mark.parametrize("name", ["v0_20_0", "v0_40_0", "v0_60_0"])
def test_frozen_sync_requests(host, key, name):
    plain = (ROOT / "tests/vectors/sync_request" / f"{name}.bin").read_bytes()
    a, b = join(host, key, "a"), join(host, key, "b")
    m = a.sync(plain=plain).next()
    assert m.HasField("NetworkMap") and m.Version == 0
    assert peers(m) == ["b.netbird.selfhosted"] and m.NetworkMap.peerConfig.address
    assert len(m.NetworkMap.FirewallRules) > 0
    b.close()


def test_job_stays_silent(host, key):
    a = join(host, key, "a")
    done = []

    def hello():
        yield a.seal(pb.JobRequest(ID=b"hello").SerializeToString())
        while not done:
            time.sleep(0.02)

    job = Stream(a.channel.stream_stream(SERVICE + "Job")(hello()), a.open)
    job.quiet(0.5)
    assert job.status is None
    done.append(True)
    job.call.cancel()
    refused(lambda: a.raw("Login", b""), Code.INVALID_ARGUMENT)


def test_admin_answers(host, key):
    def error(noun, verb, **args):
        answer = host.admin_raw({"noun": noun, "verb": verb, "args": args})
        assert not answer["ok"] and answer["error"]
        return answer["code"]

    assert error("setup-key", "create") == "invalid"
    assert error("setup-key", "create", name="x", nonsense=1) == "invalid"
    assert error("setup-key", "create", name="x", groups=["none"]) == "not_found"
    assert error("setup-key", "create", name="x", usage_limit=2) == "invalid"
    assert error("setup-key", "revoke", key="none") == "not_found"
    assert error("peer", "fly") == "invalid"
    assert error("group", "delete", group="All") == "denied"
    assert error("group", "create", name="All") == "conflict"
    assert error("policy", "show", policy="none") == "not_found"
    rule = {"sources": ["All"], "destinations": ["All"]}
    for bad in ({"protocol": "gre"}, {"ports": ["0"], "protocol": "tcp"}, {"ports": ["9-8"], "protocol": "tcp"},
                {"ports": ["80"]}, {"action": "log"}, {"what": 1}, {"sources": "All"}):
        assert error("policy", "create", name="p", rules=[{**rule, **bad}]) == "invalid", bad
    assert host.admin_raw("not json")["code"] == "invalid"
    assert host.admin_raw("[1]")["code"] == "invalid"
    listed = host.admin("setup-key", "list")["setup_keys"]
    assert len(listed) == 1 and "key" not in listed[0]
    assert listed[0]["masked"] == key[:5] + "****" and listed[0]["state"] == "valid" and listed[0]["valid"]
    assert host.admin("setup-key", "create", name="n", reusable=True, expires=0)["expires"] is None
    shown = host.admin("policy", "show", policy="Default")
    assert host.admin("policy", "edit", policy="Default", rules=[
        {**shown["rules"][0], "sources": ["All"], "destinations": ["All"]}]) == shown
    assert (host.folder / "admin.sock").stat().st_mode & 0o777 == 0o600
