"""linnetd and a peer made of grpcio, PyNaCl and aioice meet through our servers, behind two NATs."""
import json
import pathlib
import shutil
import subprocess
import sys

import pytest
from lnlab import LinnetAgent, LinnetServer, wait_until

for module in ("aioice", "grpc", "nacl"):
    pytest.importorskip(module)

PEER = pathlib.Path(__file__).resolve().parent / "foreign_peer.py"


class Foreign:
    """foreign_peer.py in a host; ends with its standard input."""

    def __init__(self, host, server, key, role):
        self.log = host.folder / "foreign.log"
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(host.argv(sys.executable, PEER, server.url, key, role),
                                            stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT)

    def events(self, name):
        found = []
        for line in self.log.read_text().splitlines():
            if line.startswith("{"):
                event = json.loads(line)
                if event["event"] == name:
                    found.append(event)
        return found

    def wait(self, name, seconds=40):
        def there():
            found = self.events(name)
            assert found or self.process.poll() is None, self.log.read_text()
            return found
        return wait_until(there, seconds, f"the foreign peer to say {name}")[0]

    def close(self):
        self.process.stdin.close()
        try:
            assert self.process.wait(20) == 0, self.log.read_text()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


@pytest.fixture
def foreign(lab, server):
    made = []

    def make(host, key, role):
        made.append(Foreign(host, server, key, role))
        return made[-1]
    yield make
    for each in made:
        if each.process.poll() is None:
            each.close()


@pytest.mark.parametrize("role", ["controlling", "controlled"])
def test_ice_through_our_signal(lab, server, foreign, role):
    key = server.setup_key()
    ours = LinnetAgent(lab.site("a"))
    ours.up(server, key)
    peer = foreign(lab.site("b"), key, role)
    address = peer.wait("joined")["address"].split("/")[0]
    peer.wait("connected")
    # Both kinds of candidates came through signal, in the form of the page.
    candidates = [event["payload"] for event in peer.events("signal") if event["type"] == 2]
    assert {line.split()[7] for line in candidates} >= {"host", "srflx"}, candidates
    # Something for the peer makes WireGuard speak, whoever is the one to begin: mac1 is over its key.
    ours.ping(address, count=2)
    wait_until(lambda: any(e["initiation_for_us"] for e in peer.events("datagram")), 15, "a WireGuard initiation")
    detail = ours.cli("status", "--detail").stdout
    assert "foreign" in detail, detail
    peer.close()
    # It has logged out: it leaves our agent's map, and the agent does not mind.
    wait_until(lambda: ours.peer("foreign") is None, 20, "the foreign peer to leave the map")
    assert ours.process.alive()


def test_tshark_reads_our_tunnel(lab):
    """WireGuard, STUN and nothing else on the wire between two agents, and no packet malformed."""
    if not (shutil.which("tshark") and shutil.which("tcpdump")):
        pytest.skip("tshark or tcpdump is missing")
    # A relay nobody can reach: the handshake has to go by the wire that is captured.
    server = LinnetServer(lab.server, {"server": {
        "listenAddress": ":80", "exposedAddress": "http://198.51.100.10:80", "stunPorts": [3478], "logFile": "console",
        "dataDir": str(lab.server.folder / "data"),
        "relays": {"addresses": ["rel://198.51.100.99:1"], "secret": "nobody-listens-there"}}})
    key = server.setup_key()
    hosts = [lab.site(name) for name in "ab"]
    pcap = hosts[0].folder / "tunnel.pcap"
    capture = hosts[0].start("tcpdump", "-ni", "eth0", "-U", "-w", pcap, "udp", log="tcpdump.log")
    wait_until(lambda: "listening on" in capture.output(), 10, "tcpdump")
    # Nor is the gateway asked for a port.
    a, b = (LinnetAgent(host, env={"NB_DISABLE_NAT_MAPPER": "true"}) for host in hosts)
    for agent in (a, b):
        agent.up(server, key)
    assert a.ping(b.wait_address(), count=10).returncode == 0
    a.wait_direct("hb")
    a.down()
    capture.stop()
    fields = ("_ws.col.Protocol", "wg.type", "stun.type", "_ws.malformed", "_ws.expert.severity", "_ws.expert.message")
    done = subprocess.run(["tshark", "-r", pcap, "-T", "fields", "-E", "separator=|", *[x for f in fields for x in ("-e", f)]],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert {row[0] for row in rows} <= {"WireGuard", "STUN"}, {row[0] for row in rows}
    assert {"1", "2", "4"} <= {row[1] for row in rows}, "initiation, response and data"
    assert {"0x0001", "0x0101"} <= {row[2] for row in rows}, "STUN requests and answers"
    for row in rows:
        # What tshark has to say: it has no name for the pair id of the protocol (0x8100), and chats about keepalives.
        known = row[5] == "" or "0x8100" in row[5] or "Keepalive" in row[5]
        assert row[3] == "" and known, row
