"""TURN against coturn: the client's allocation over UDP and TCP, with its permissions, channels and refreshes."""
import base64
import hashlib
import hmac
import os
import pathlib
import re
import shutil
import time

import pytest
from lnlab import LinnetAgent, LinnetServer, programs_folder, wait_until

PORT, SECRET = 3479, "shared with coturn"
PROBE = pathlib.Path(os.environ.get("LINNET_BUILD") or programs_folder(), "tests/interop/turn_probe")
pytestmark = pytest.mark.skipif(shutil.which("turnserver") is None, reason="coturn is not installed")


def start_coturn(host, *words):
    process = host.start("turnserver", "-n", "-L", host.address, "-E", host.address, "-p", str(PORT), "--use-auth-secret",
                         "--static-auth-secret", SECRET, "--realm", "lab.example", "--fingerprint", "--no-cli", "--no-tls",
                         "--no-dtls", "--no-multicast-peers", "--verbose", "--pidfile", host.folder / "turn.pid", "--userdb",
                         host.folder / "turn.db", "--log-file", "stdout", *words, log="coturn.log")
    wait_until(lambda: f":{PORT}" in host.run("ss", "-ltn").stdout and f":{PORT}" in host.run("ss", "-lun").stdout, 15,
               "coturn to listen")
    return process


def credentials():
    user = str(int(time.time()) + 3600)
    return user, base64.b64encode(hmac.new(SECRET.encode(), user.encode(), hashlib.sha1).digest()).decode()


def probe(lab, transport, user, password, *words):
    host = lab.public_host(f"probe{transport}", 70 + len(lab.hosts))
    uri = f"turn:{lab.server.address}:{PORT}?transport={transport}"
    return host.run(PROBE, uri, user, password, *words, check=False, timeout=60)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_datagrams_through_coturn(lab, transport):
    """Allocations live 4 s there: after 5 s only refreshed ones carry."""
    coturn = start_coturn(lab.server, "--max-allocate-lifetime=4")
    done = probe(lab, transport, *credentials(), "200", "5")
    assert done.returncode == 0, done.stdout + coturn.output()[-2000:]
    assert done.stdout.count("relayed ") == 2
    assert "got 400 400 wrong 0 0" in done.stdout
    assert len(re.findall("refreshed, .*lifetime=4", coturn.output())) >= 2
    # Given back at the end, not left to their lifetime.
    wait_until(lambda: len(re.findall("refreshed, .*lifetime=0", coturn.output())) == 2, 3, "the allocations to be given back")


def test_coturn_refuses(lab):
    start_coturn(lab.server)
    done = probe(lab, "udp", credentials()[0], "wrong")
    assert done.returncode == 1 and "refused our credentials" in done.stdout


def direct(agent, name):
    peer = agent.peer(name)
    return peer if peer and peer["status"] == "Connected" and peer["connectionType"] == "P2P" else None


def turn_pair(lab, transport, classes, binaries=((), ())):
    """Two machines that have a way to coturn and none to each other, and a server without a relay."""
    coturn = lab.public_host("coturn", 60)
    # Checks of private addresses end somewhere, as they do where there is a default route: coturn gives up a whole
    # allocation when its own system refuses to send for it.
    coturn.run("ip", "link", "add", "sink", "arp", "off", "type", "veth", "peer", "name", "drain")
    coturn.run("ip", "link", "set", "drain", "up")
    coturn.run("ip", "link", "set", "sink", "arp", "off", "up")
    coturn.run("ip", "route", "add", "default", "dev", "sink")
    start_coturn(coturn)
    server = LinnetServer(lab.server, {"server": {
        "listenAddress": ":80", "exposedAddress": f"http://{lab.server.address}:80", "stunPorts": [3478],
        "logLevel": "debug", "logFile": "console", "dataDir": str(lab.server.folder / "data"),
        # A relay that does not exist: nobody has one.
        "relays": {"addresses": ["rel://198.51.100.99:1"], "secret": "nobody-listens-there"}},
        "linnet": {"turn": {"uris": [f"turn:{coturn.address}:{PORT}?transport={transport}"], "secret": SECRET}}})
    key = server.setup_key()
    hosts = [lab.site(name, "port-restricted") for name in "ab"]
    for host, other in zip(hosts, reversed(hosts)):
        host.router.run("nft", f"add table inet apart; add chain inet apart others {{ type filter hook forward priority 0; }}; "
                               f"add rule inet apart others ip daddr {other.outside} drop; "
                               f"add rule inet apart others ip saddr {other.outside} drop")
    agents = [cls(host, *extra) for cls, host, extra in zip(classes, hosts, binaries)]
    for agent in agents:
        agent.up(server, key)
    return agents


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_agents_meet_by_turn(lab, transport):
    a, b = turn_pair(lab, transport, (LinnetAgent, LinnetAgent))
    address = b.wait_address()
    wait_until(lambda: a.ping(address, count=1).returncode == 0, 30, "the first ping", every=0.2)
    assert a.ping(address, count=10).returncode == 0 and b.ping(a.wait_address(), count=3).returncode == 0
    kinds = [wait_until(lambda agent=agent, name=name: direct(agent, name), 10, "a pair to be selected")["iceCandidateType"]
             for agent, name in ((a, "hb"), (b, "ha"))]
    assert any("relay" in kind.values() for kind in kinds), kinds
