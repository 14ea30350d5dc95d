"""Our ICE agent against aioice, over loopback: both roles, both families, and what must not connect."""
import asyncio
import os
import pathlib
import shutil
import subprocess

import pytest

aioice = pytest.importorskip("aioice")
import aioice.ice  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 20


def driver():
    named = os.environ.get("LINNET_BUILD")
    for folder in [named] if named else [ROOT / "build/dev", ROOT / "build/asan", ROOT / "build/rel"]:
        path = pathlib.Path(folder, "tests/interop/ice_peer")
        if path.exists():
            return str(path)
    pytest.skip("tests/interop/ice_peer is not built")


class Ours:
    """The driver of tests/interop/ice_peer.c."""

    def __init__(self, process):
        self.process = process
        self.seen = []

    @classmethod
    async def start(cls, role, address, fail_after=12000, pcap=None):
        args = [driver(), role, address, str(fail_after)] + ([str(pcap)] if pcap else [])
        ours = cls(await asyncio.create_subprocess_exec(
            *args, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
        _, ours.ufrag, ours.pwd = (await ours.wait("cred")).split()
        ours.cand = (await ours.wait("cand")).split(" ", 1)[1]
        return ours

    def tell(self, line):
        self.process.stdin.write(line.encode() + b"\n")

    async def wait(self, word):
        async def read():
            while True:
                line = (await self.process.stdout.readline()).decode().strip()
                assert line, f"the driver ended before it said {word}: {self.seen}"
                self.seen.append(line)
                if line.split(" ")[0] == word:
                    return line
        return await asyncio.wait_for(read(), LIMIT)

    async def stop(self):
        self.tell("quit")
        report = [int(n) for n in (await self.wait("report")).split()[1:]]
        assert await asyncio.wait_for(self.process.wait(), LIMIT) == 0
        return dict(zip(("sent", "answered", "received", "refused", "keepalives", "lost"), report))


async def theirs(monkeypatch, ours, address, controlling, password=None):
    """An aioice connection that has gathered on loopback and knows our side."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: [address])
    conn = aioice.Connection(ice_controlling=controlling, components=1)
    await conn.gather_candidates()
    conn.remote_username = ours.ufrag
    conn.remote_password = password or ours.pwd
    await conn.add_remote_candidate(aioice.Candidate.from_sdp(ours.cand))
    await conn.add_remote_candidate(None)
    return conn


def introduce(ours, conn, extra="", password=None):
    ours.tell(f"cred {conn.local_username} {password or conn.local_password}")
    for c in conn.local_candidates:
        ours.tell(f"cand {c.to_sdp()}{extra}")


async def exchange(ours, conn):
    """Data both ways over the selected pair."""
    await conn.send(b"from aioice")
    assert await ours.wait("data") == "data from aioice"
    ours.tell("send from linnet")
    assert await asyncio.wait_for(conn.recv(), LIMIT) == b"from linnet"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("role", ["controlling", "controlled"])
def test_connects(monkeypatch, role, address):
    async def run():
        ours = await Ours.start(role, address)
        conn = await theirs(monkeypatch, ours, address, controlling=role != "controlling")
        introduce(ours, conn)
        await asyncio.wait_for(conn.connect(), LIMIT)
        assert (await ours.wait("selected")).startswith("selected host host")
        await exchange(ours, conn)
        await conn.close()
        assert (await ours.stop())["refused"] == 0
    asyncio.run(run())


@pytest.mark.parametrize("role", ["controlling", "controlled"])
def test_pair_ids_disturb_nobody(monkeypatch, role):
    """With a cid known we send attribute 0x8100, in requests and answers."""
    async def run():
        ours = await Ours.start(role, "127.0.0.1")
        conn = await theirs(monkeypatch, ours, "127.0.0.1", controlling=role != "controlling")
        introduce(ours, conn, extra=f" ufrag {conn.local_username} cid {'c' * 32}")
        await asyncio.wait_for(conn.connect(), LIMIT)
        await ours.wait("selected")
        await exchange(ours, conn)
        await conn.close()
        await ours.stop()
    asyncio.run(run())


def test_checks_before_credentials(monkeypatch):
    """aioice checks us before we know its credentials; we answer, and connect when they come."""
    async def run():
        ours = await Ours.start("controlled", "127.0.0.1")
        conn = await theirs(monkeypatch, ours, "127.0.0.1", controlling=True)
        connecting = asyncio.ensure_future(conn.connect())
        await asyncio.sleep(1)
        ours.tell(f"cred {conn.local_username} {conn.local_password}")
        await asyncio.wait_for(connecting, LIMIT)
        assert "prflx" in await ours.wait("selected")
        await exchange(ours, conn)
        await conn.close()
        await ours.stop()
    asyncio.run(run())


@pytest.mark.parametrize("role", ["controlling", "controlled"])
def test_role_conflict(monkeypatch, role):
    async def run():
        ours = await Ours.start(role, "127.0.0.1")
        conn = await theirs(monkeypatch, ours, "127.0.0.1", controlling=role == "controlling")
        introduce(ours, conn)
        await asyncio.wait_for(conn.connect(), LIMIT)
        await ours.wait("selected")
        await exchange(ours, conn)
        await conn.close()
        await ours.stop()
    asyncio.run(run())


def test_keepalives_and_the_end(monkeypatch):
    """Longer than our six seconds of patience while aioice answers; then it goes away."""
    async def run():
        ours = await Ours.start("controlling", "127.0.0.1")
        conn = await theirs(monkeypatch, ours, "127.0.0.1", controlling=False)
        introduce(ours, conn)
        await asyncio.wait_for(conn.connect(), LIMIT)
        await ours.wait("selected")
        await asyncio.sleep(7)
        assert "disconnected" not in ours.seen
        await exchange(ours, conn)
        await conn.close()
        await ours.wait("disconnected")
        report = await ours.stop()
        assert report["keepalives"] >= 3
    asyncio.run(run())


def test_wrong_password_of_ours(monkeypatch):
    """Our checks do not verify there: nobody answers, and we give up when the time is over."""
    async def run():
        ours = await Ours.start("controlling", "127.0.0.1", fail_after=2000)
        conn = await theirs(monkeypatch, ours, "127.0.0.1", controlling=False)
        introduce(ours, conn, password="w" * 32)
        connecting = asyncio.ensure_future(conn.connect())
        await ours.wait("failed")
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        await conn.close()
        report = await ours.stop()
        assert report["answered"] == 0
        assert 4 <= report["sent"] <= 12  # at most five a second
    asyncio.run(run())


def test_wrong_password_of_theirs(monkeypatch):
    """Their checks are refused in silence; as the controlled side we then select nothing."""
    async def run():
        ours = await Ours.start("controlled", "127.0.0.1", fail_after=2000)
        conn = await theirs(monkeypatch, ours, "127.0.0.1", controlling=True, password="w" * 32)
        introduce(ours, conn)
        connecting = asyncio.ensure_future(conn.connect())
        await ours.wait("failed")
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        await conn.close()
        report = await ours.stop()
        assert report["refused"] > 0 and report["received"] == 0
        assert not any(line.startswith("selected") for line in ours.seen)
    asyncio.run(run())


def test_tshark_reads_our_messages(monkeypatch, tmp_path):
    if shutil.which("tshark") is None:
        pytest.skip("tshark is missing")
    pcap = tmp_path / "stun.pcap"

    async def run():
        ours = await Ours.start("controlling", "127.0.0.1", pcap=pcap)
        conn = await theirs(monkeypatch, ours, "127.0.0.1", controlling=True)
        introduce(ours, conn, extra=f" ufrag {conn.local_username} cid {'c' * 32}")
        await ours.wait("known")  # a check that came before the candidate would be answered without its id
        await asyncio.wait_for(conn.connect(), LIMIT)
        await ours.wait("selected")
        await conn.close()
        await ours.stop()
    asyncio.run(run())
    fields = ["frame.protocols", "ip.src", "stun.type", "stun.att.crc32.status", "stun.att.type",
              "_ws.malformed", "_ws.expert.message"]
    done = subprocess.run(
        ["tshark", "-r", str(pcap), "-T", "fields", "-E", "separator=|"]
        + [x for f in fields for x in ("-e", f)],
        capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines()]
    mine = [r for r in rows if r[1] == "127.0.0.1"]
    assert len(mine) >= 2  # a request and an answer
    for row in mine:
        assert row[0].endswith("stun"), row
        assert row[3] in ("1", "Good"), row
        assert row[5] == "", row
    types = {r[2] for r in mine}
    assert "0x0001" in types and "0x0101" in types, types
    # tshark has no name for upstream's attribute and says so; it is there, in both directions.
    assert all("0x8100" in r[6] for r in mine), mine
