"""TURN against coturn: the client's allocation over UDP and TCP, with its permissions, channels and refreshes."""
import os
import pathlib
import re
import shutil

import pytest
from lnlab import LinnetAgent, programs_folder, wait_until
from lnlab.coturn import PORT, credentials, start_coturn, turn_pair

PROBE = pathlib.Path(os.environ.get("LINNET_BUILD") or programs_folder(), "tests/interop/turn_probe")
pytestmark = pytest.mark.skipif(shutil.which("turnserver") is None, reason="coturn is not installed")


def probe(lab, transport, user, password, *words):
    host = lab.public_host(f"probe{transport}", 70 + len(lab.hosts))
    uri = f"turn:{lab.server.address}:{PORT}?transport={transport}"
    return host.run(PROBE, uri, user, password, *words, check=False, timeout=60)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_datagrams_through_coturn(lab, transport):
    """Allocations live 4 s there: after 5 s only refreshed ones carry."""
    coturn = start_coturn(lab.server, "--no-tls", "--max-allocate-lifetime=4")
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


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_agents_meet_by_turn(lab, transport, monkeypatch):
    a, b = turn_pair(lab, transport, (LinnetAgent, LinnetAgent), trust=lambda ca: monkeypatch.setenv("SSL_CERT_FILE", ca))
    address = b.wait_address()
    wait_until(lambda: a.ping(address, count=1).returncode == 0, 30, "the first ping", every=0.2)
    assert a.ping(address, count=10).returncode == 0 and b.ping(a.wait_address(), count=3).returncode == 0
    kinds = [wait_until(lambda agent=agent, name=name: direct(agent, name), 10, "a pair to be selected")["iceCandidateType"]
             for agent, name in ((a, "hb"), (b, "ha"))]
    assert any("relay" in kind.values() for kind in kinds), kinds
