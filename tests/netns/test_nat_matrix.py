"""Every kind of NAT against every kind, with each side in control, over IPv4 and over IPv6 (spec signal-and-connection 7).

One laboratory has sixteen machines: each kind once with a lesser key and once with a greater one, so that the sixty-four
pairs between the two rows are all pairs of kinds in both key orders. In each of eight rounds every machine may talk to one
other, by a policy made in that moment. A pair has settled when both agents say "P2P", or when both say "Relayed" and have
given up negotiating; then pings are counted on the wire of both machines: as WireGuard data over UDP, or as TCP to the relay.

The laboratories mostly wait (a failed negotiation takes 12 s), so IPv4, IPv6 and the scenarios run side by side: about 170 s.
"""
import base64
import concurrent.futures
import json
import os
import pathlib
import time

import pytest
from lnlab import Lab, LabError, LinnetAgent, LinnetServer, wait_until

nacl_public = pytest.importorskip("nacl.public")

ROOT = pathlib.Path(__file__).resolve().parents[2]
SETTLE = 40
NEGOTIATION = 14  # one has 12 s; after that the next may have begun
# A chain of NATs counts as its worst mapping and its worst filter: RFC 4787's names by letter, spec 7.1.
LETTER = {"none": "O", "full-cone": "F", "address-restricted": "A", "port-restricted": "P", "symmetric": "S",
          "carrier-grade": "P", "hairpin": "F", "udp-blocked": "B"}
KINDS = list(LETTER)
WIRE = """
table inet wire {{
  counter direct4 {{ }}
  counter direct6 {{ }}
  counter relay {{ }}
  chain seen {{
    meta nfproto ipv4 meta l4proto udp @th,64,32 0x04000000 counter name direct4
    meta nfproto ipv6 meta l4proto udp @th,64,32 0x04000000 counter name direct6
    ip daddr {server} tcp dport 80 counter name relay
  }}
  chain out {{ type filter hook output priority 50; oifname != {{ "lo", "wt0" }} jump seen; }}
}}
"""
PINGS = 5


def expected(a, b, ipv6):
    """D or R by the letters of both sides (spec 7.2)."""
    letters = {LETTER[a], LETTER[b]}
    if "B" in letters:
        return "R"
    if ipv6:
        return "D"
    return "R" if letters in ({"S"}, {"P", "S"}) else "D"


class Side:
    """A machine with its agent."""

    def __init__(self, lab, server, name, kind, secret, **words):
        self.kind, self.host = kind, lab.site(name, kind, **words)
        profile = self.host.folder / "state" / "default.json"
        profile.parent.mkdir(mode=0o700)
        profile.write_text(json.dumps({"PrivateKey": base64.b64encode(bytes(secret)).decode(),
                                       "DisableAutoConnect": True}))  # it does not know its server yet
        profile.chmod(0o600)
        self.host.nft(WIRE.format(server=server.url.split("//")[1].split(":")[0]))

    def join(self, server, key):
        self.agent = LinnetAgent(self.host)
        self.agent.up(server, key)
        self.address = self.agent.wait_address()

    def wire(self):
        """Bytes since the last call: direct over IPv4 and over IPv6, to the relay. Packets would not do: late ones leave
        together, as one that is cut behind this point (UDP GSO)."""
        shown = json.loads(self.host.run("nft", "-j", "reset", "counters", "table", "inet", "wire").stdout)
        counters = {c["counter"]["name"]: c["counter"]["bytes"] for c in shown["nftables"] if "counter" in c}
        return counters["direct4"], counters["direct6"], counters["relay"]


def look(side, other, at):
    """The path if it is decided: P2P, or Relayed with a negotiation that has ended (or has had time to); else None."""
    peer = side.agent.peer(other.host.name + ".")
    if peer is None or peer["status"] != "Connected":
        return None
    if peer["connectionType"] == "P2P":
        return peer
    return None if at < NEGOTIATION and "negotiat" in peer.get("reason", "negotiating") else peer


def both_settled(a, b):
    """Looks seldom: each look is a process, and there are dozens of agents."""
    began = time.monotonic()
    for at in [1, 3, 12.4, *range(NEGOTIATION, SETTLE)]:
        time.sleep(max(0, began + at - time.monotonic()))
        seen = look(a, b, at), look(b, a, at)
        if all(seen) and seen[0]["connectionType"] == seen[1]["connectionType"]:
            return seen
    raise LabError(f"not settled within {SETTLE} s: {[s.agent.peer(o.host.name + '.') for s, o in ((a, b), (b, a))]}")


def way_on_the_wire(a, b):
    """Which way five answered large pings each way went."""
    for side in (a, b):
        side.wire()
    for side, other in ((a, b), (b, a)):
        # With -w it goes on until so many are answered; without, a late answer is one it does not wait for.
        done = side.host.run("ping", "-n", "-q", "-c", PINGS, "-w", "10", "-i", "0.1", "-s", "1000", other.address, check=False)
        if done.returncode != 0:
            raise LabError(f"a ping was not answered: {done.stdout}")
    direct4, direct6, relay = zip(a.wire(), b.wire())
    enough = 2 * PINGS * 1000
    if min(direct4) >= enough and max(direct6) == 0:
        return "UDP over IPv4"
    if min(direct6) >= enough and max(direct4) == 0:
        return "UDP over IPv6"
    if min(relay) >= enough and max(direct4 + direct6) == 0:
        return "TCP to the relay"
    return f"unclear: bytes over IPv4 {direct4}, IPv6 {direct6}, relay {relay}; {done.stdout}"


def try_pair(server, a, b):
    """One row of the results."""
    row = {"a": a.kind, "b": b.kind, "controls": "b"}
    policy = f"{a.host.name}-{b.host.name}"
    try:
        ping = a.agent.first_ping(b.address, SETTLE)
        began = time.monotonic()
        server.admin("policy", "create", "--name", policy, "--source-peer", a.host.name, "--destination-peer", b.host.name)
        row["first_ping_s"] = round(ping.result() - began, 3)
        peers = both_settled(a, b)
        row["settled_s"] = round(time.monotonic() - began, 1)
        row["outcome"] = "D" if peers[0]["connectionType"] == "P2P" else "R"
        row["types"] = [f"{p['iceCandidateType']['local']}/{p['iceCandidateType']['remote']}" for p in peers]
        row["reasons"] = [p["reason"] for p in peers]
        row["wire"] = way_on_the_wire(a, b)
    except LabError as failed:
        row["outcome"], row["error"] = "-", str(failed)
    finally:
        server.admin("policy", "delete", policy, check=False)
    return row


def key_rows(n):
    """Two rows of n keys; every key of the second is greater, as text, than every one of the first: it controls."""
    keys = sorted((nacl_public.PrivateKey.generate() for _ in range(2 * n)),
                  key=lambda k: base64.b64encode(bytes(k.public_key)).decode())
    return keys[:n], keys[n:]


def join_all(server, sides):
    server.admin("policy", "disable", "Default")
    key = server.setup_key()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda side: side.join(server, key), sides))


def run_matrix(lab, ipv6):
    server = LinnetServer(lab.server)
    lesser, greater = key_rows(len(KINDS))
    row_a = [Side(lab, server, f"a{i}", kind, lesser[i], ipv6=ipv6) for i, kind in enumerate(KINDS)]
    row_b = []
    for i, kind in enumerate(KINDS):
        # Two machines of a hairpinning router share it; nothing else would show that it does.
        shared = {"behind": row_a[i].host, "isolated": True} if kind == "hairpin" else {}
        row_b.append(Side(lab, server, f"b{i}", kind, greater[i], ipv6=ipv6, **shared))
    join_all(server, row_a + row_b)
    rows = []
    with concurrent.futures.ThreadPoolExecutor(len(KINDS)) as pool:
        for shift in range(len(KINDS)):
            pairs = [(a, row_b[(i + shift) % len(KINDS)]) for i, a in enumerate(row_a)]
            rows += pool.map(lambda pair: try_pair(server, *pair), pairs)
    for row in rows:
        row["expected"] = expected(row["a"], row["b"], ipv6)
    return rows


# Two machines of one router or carrier, and a carrier that maps per destination: name, kinds, shared words, outcome.
SCENARIOS = [
    ("same router, routed networks", ("port-restricted", "port-restricted"), {}, "D"),
    ("same router, isolated networks, no hairpin", ("port-restricted", "port-restricted"), {"isolated": True}, "R"),
    ("same carrier, no hairpin", ("carrier-grade", "carrier-grade"), {"isolated": True}, "R"),
    ("same carrier, hairpin", ("carrier-grade-hairpin", "carrier-grade-hairpin"), {"isolated": True}, "D"),
    ("carrier per destination, open", ("carrier-grade-symmetric", "none"), None, "D"),
    ("carrier per destination, port-restricted", ("carrier-grade-symmetric", "port-restricted"), None, "R"),
]


def run_scenarios(lab, _):
    server = LinnetServer(lab.server)
    lesser, greater = key_rows(len(SCENARIOS))
    pairs = []
    for i, (_, kinds, shared, _) in enumerate(SCENARIOS):
        a = Side(lab, server, f"a{i}", kinds[0], lesser[i])
        words = {"behind": a.host, **shared} if shared is not None else {}
        pairs.append((a, Side(lab, server, f"b{i}", kinds[1], greater[i], **words)))
    join_all(server, [side for pair in pairs for side in pair])
    with concurrent.futures.ThreadPoolExecutor(len(pairs)) as pool:
        rows = list(pool.map(lambda pair: try_pair(server, *pair), pairs))
    for row, (name, _, _, outcome) in zip(rows, SCENARIOS):
        row["scenario"], row["expected"] = name, outcome
    return rows


def table(rows):
    """Rows: the side with the lesser key. Outcome and seconds to the first ping; ! where it is not what is expected."""
    cells = {(row["a"], row["b"]): row for row in rows}
    lines = [" " * 19 + "".join(f"{kind[:13]:>14}" for kind in KINDS)]
    for a in KINDS:
        line = f"{a:19}"
        for b in KINDS:
            row = cells[a, b]
            mark = " " if row["outcome"] == row["expected"] else "!"
            line += f"{row['outcome']}{mark} {row.get('first_ping_s', 0):6.2f}".rjust(14)
        lines.append(line)
    return "\n".join(lines)


PARTS = {"ipv4": (run_matrix, False), "ipv6": (run_matrix, True), "scenarios": (run_scenarios, False)}


def run_part(name):
    work, ipv6 = PARTS[name]
    with Lab(f"{name[0]}{name[-1]}") as lab:
        rows = work(lab, ipv6)
        lab.keep = any(row["outcome"] != row["expected"] for row in rows)
    return rows, lab.findings


@pytest.fixture(scope="module")
def results():
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    with concurrent.futures.ThreadPoolExecutor(len(PARTS)) as pool:
        done = dict(zip(PARTS, pool.map(run_part, PARTS)))
    folder = ROOT / "build/results"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "nat-matrix.json").write_text(json.dumps({name: rows for name, (rows, _) in done.items()}, indent=1) + "\n")
    return done


def as_expected(rows, findings):
    wrong = [row for row in rows if row["outcome"] != row["expected"]]
    assert not wrong, json.dumps(wrong, indent=1)
    for row in rows:
        assert (row["wire"] == "TCP to the relay") == (row["outcome"] == "R"), json.dumps(row, indent=1)
        assert not row["wire"].startswith("unclear"), json.dumps(row, indent=1)
    assert not findings, "\n".join(findings)


def test_matrix_ipv4(results, capsys):
    rows, findings = results["ipv4"]
    with capsys.disabled():
        print(f"\nIPv4, outcome and seconds to the first ping; columns control\n{table(rows)}")
    assert len(rows) == len(KINDS) ** 2
    as_expected(rows, findings)
    assert all(row["wire"] != "UDP over IPv6" for row in rows)


def test_matrix_ipv6(results, capsys):
    rows, findings = results["ipv6"]
    with capsys.disabled():
        print(f"\nIPv4 and IPv6 behind stateful firewalls\n{table(rows)}")
    assert len(rows) == len(KINDS) ** 2
    as_expected(rows, findings)
    for row in rows:  # where IPv4 leads nowhere; elsewhere the first good answer wins
        if row["outcome"] == "D" and expected(row["a"], row["b"], False) == "R":
            assert row["wire"] == "UDP over IPv6", row


def test_scenarios(results, capsys):
    rows, findings = results["scenarios"]
    with capsys.disabled():
        print("\n" + "\n".join(f"{row['scenario']:45}{row['outcome']} {row.get('first_ping_s', 0):6.2f}" for row in rows))
    as_expected(rows, findings)
    assert rows[0]["types"] == ["host/host", "host/host"]
