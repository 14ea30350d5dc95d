#!/usr/bin/python3
"""Our messages read by Google's protobuf, and everybody's messages by our .proto files.

usage: check_wire.py PROTO_FOLDER WIRE_WRITE VECTORS_FOLDER    (prints TAP)

Skips when python3-protobuf or protoc is missing.
"""
import importlib
import os
import shutil
import subprocess
import sys
import tempfile

MODULES = ("clock", "management", "signalexchange", "daemon")
KEY = "AQIDAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


def expect(m, **values):
    """Fields by path (dots as __) and their values."""
    for path, value in values.items():
        got = m
        for part in path.split("__"):
            got = got[int(part)] if part.isdigit() else getattr(got, part)
        assert got == value, f"{path}: {got!r}, not {value!r}"


def present(m, *names):
    for name in names:
        assert m.HasField(name), f"{name} is absent"


def check_login(m):
    expect(m, setupKey="K", jwtToken="J", meta__hostname="h\u00e9", meta__goOS="linux",
           meta__networkAddresses__0__netIP="192.168.1.7/24", meta__files__0__exist=True,
           meta__files__0__processIsRunning=False, meta__flags__disableIPv6=True,
           meta__flags__blockLANAccess=True, meta__flags__disableDNS=False,
           meta__capabilities=[1, 2], meta__syncMessageVersion=0, dnsLabels=["db"],
           peerKeys__sshPubKey=b"ssh", peerKeys__wgPubKey=KEY.encode())
    present(m.meta, "environment")


def check_server_key(m):
    expect(m, key=KEY, expiresAt__seconds=-1, expiresAt__nanos=999999999)


def check_envelope(m):
    expect(m, wgPubKey=KEY, body=b"sealed")


def check_sync(m):
    present(m, "peerConfig", "sessionExpiresAt")
    present(m.netbirdConfig, "metrics")
    expect(m, netbirdConfig__signal__protocol=3, netbirdConfig__stuns__0__uri="stun:h:3478",
           sessionExpiresAt__seconds=0, remotePeersIsEmpty=False, remotePeers__0__wgPubKey=KEY)
    n = m.NetworkMap
    present(n.peerConfig, "sshConfig", "autoUpdate")
    expect(n, Serial=9, remotePeersIsEmpty=False, firewallRulesIsEmpty=False,
           routesFirewallRulesIsEmpty=True, peerConfig__address="100.64.0.1/16",
           peerConfig__address_v6=b"\xfd" + bytes(14) + b"\x02\x40",
           peerConfig__LazyConnectionEnabled=True, DNSConfig__ForwarderPort=22054,
           peerConfig__autoUpdate__version="disabled", sshAuth__UserIDClaim="sub",
           remotePeers__0__allowedIps=["100.64.0.2/32", "fd00::2/128"],
           remotePeers__0__sshConfig__sshPubKey=b"ssh", offlinePeers__0__fqdn="b.example",
           FirewallRules__0__PeerIP="100.64.0.2", FirewallRules__0__Direction=1,
           FirewallRules__0__Action=1, FirewallRules__0__Protocol=3,
           FirewallRules__0__PortInfo__range__start=8000,
           FirewallRules__0__PortInfo__range__end=8010, FirewallRules__0__Port="",
           FirewallRules__0__PolicyID=b"r1",
           FirewallRules__0__sourcePrefixes=[bytes((100, 64, 0, 2, 32))],
           FirewallRules__1__PeerIP="0.0.0.0", FirewallRules__1__Port="22",
           FirewallRules__1__sourcePrefixes=[bytes(5)])
    assert len(n.FirewallRules) == 2


def check_removal(m):
    expect(m, remotePeersIsEmpty=True, NetworkMap__Serial=42, NetworkMap__remotePeersIsEmpty=True,
           NetworkMap__firewallRulesIsEmpty=True, NetworkMap__routesFirewallRulesIsEmpty=False,
           NetworkMap__DNSConfig__ForwarderPort=22054)
    assert not m.HasField("sessionExpiresAt") and not m.NetworkMap.HasField("peerConfig")


def check_body(m):
    present(m, "relayServerAddress", "rosenpassConfig")
    expect(m, type=1, payload="u:p", wgListenPort=51820, relayServerAddress="",
           sessionId=bytes((1, 2, 3, 4, 5)), relayServerIP=bytes((203, 0, 113, 9)),
           rosenpassConfig__rosenpassServerAddr=":9999")


def check_signal_envelope(m):
    expect(m, key="a", remoteKey="b", body=b"sealed")


def check_settings(m):
    present(m, "optionalPreSharedKey", "mtu", "lazyConnectionEnabled", "disable_ipv6")
    expect(m, managementUrl="https://m", optionalPreSharedKey="", mtu=1280,
           lazyConnectionEnabled=False, disable_ipv6=True)
    assert not m.HasField("rosenpassEnabled")


def check_daemon_login(m):
    check_settings(m)
    expect(m, setupKey="K", profileName="p")
    assert not m.HasField("username")


def check_set_config(m):
    check_settings(m)
    expect(m, username="u", profileName="")


def check_status(m):
    present(m.fullStatus, "signalState", "sshServerState")
    expect(m, status="Connected", fullStatus__managementState__connected=True,
           fullStatus__localPeerState__IP="100.64.0.1/16", fullStatus__peers__0__reason="why",
           fullStatus__peers__0__lastWireguardHandshake__seconds=1,
           fullStatus__peers__0__lastWireguardHandshake__nanos=500000000,
           fullStatus__peers__0__latency__nanos=250000, fullStatus__lazyConnectionEnabled=True)
    assert not m.fullStatus.peers[0].HasField("connStatusUpdate")


CHECKS = {
    "management": [check_login, check_server_key, check_envelope, check_sync, check_removal],
    "signalexchange": [check_body, check_signal_envelope],
    "daemon": [check_daemon_login, check_set_config, check_status],
}


def known_only(m):
    """The bytes without what the .proto does not know."""
    m.DiscardUnknownFields()
    return m.SerializeToString(deterministic=True)


def read_ours(modules, program):
    left = {k: list(v) for k, v in CHECKS.items()}
    for line in subprocess.check_output([program], text=True).splitlines():
        module, message, text = line.split()
        data = b"" if text == "-" else bytes.fromhex(text)
        m = getattr(modules[module], message)()
        m.ParseFromString(data)
        left[module].pop(0)(m)
        assert known_only(m) == data, f"{module}.{message}: other bytes when written again"
    assert not any(left.values()), "messages are missing"


def read_recorded(modules, vectors):
    count = 0
    with open(os.path.join(vectors, "wire", "index.tsv"), encoding="utf-8") as f:
        rows = [line.rstrip("\n").split("\t") for line in f]
    for row in rows:
        module = "signalexchange" if row[0] == "signal" else row[0]
        with open(os.path.join(vectors, "wire", row[2]), "rb") as f:
            data = f.read()
        m = getattr(modules[module], row[1])()
        m.ParseFromString(data)
        before = m.ByteSize()
        known_only(m)
        assert m.ByteSize() == before == len(data), f"{row[2]}: fields that our .proto lacks"
        count += 1
    assert count > 150, "the index is short"


def main():
    proto, program, vectors = sys.argv[1:4]
    try:
        importlib.import_module("google.protobuf")
    except ImportError:
        print("1..0 # SKIP python3-protobuf is not installed")
        return 0
    if shutil.which("protoc") is None:
        print("1..0 # SKIP protoc is not installed")
        return 0
    with tempfile.TemporaryDirectory(prefix="linnet-wire-") as out:
        subprocess.check_call(["protoc", f"-I{proto}", f"--python_out={out}"] +
                              [f"{m}.proto" for m in MODULES])
        sys.path.insert(0, out)
        modules = {m: importlib.import_module(m + "_pb2") for m in MODULES}
        print("1..2")
        failed = 0
        for number, (name, run) in enumerate((
                ("what we write", lambda: read_ours(modules, program)),
                ("what was recorded", lambda: read_recorded(modules, vectors))), 1):
            try:
                run()
                print(f"ok {number} - {name}")
            except AssertionError as e:
                failed = 1
                print(f"not ok {number} - {name}\n# {e}")
        return failed


if __name__ == "__main__":
    sys.exit(main())
