"""TURN with NetBird's own agent: our server hands it credentials of coturn, and no relay."""
import shutil

import pytest
from lnlab import LinnetAgent, NetbirdAgent, wait_until
from lnlab.coturn import turn_pair

pytestmark = pytest.mark.skipif(shutil.which("turnserver") is None, reason="coturn is not installed")


def relayed_by_turn(agent, other):
    """The way of the status goes over an address of the TURN server on either side."""
    peer = agent.peer(other.host.name) or {}
    kinds = (peer.get("iceCandidateType") or {}).values()
    return peer.get("status") == "Connected" and not peer.get("relayAddress") and "relay" in kinds


@pytest.mark.parametrize("transport", ["udp", "tls"])
def test_mixed_pair_meets_by_turn(lab, netbird, monkeypatch, transport):
    ours, theirs = turn_pair(lab, transport, (LinnetAgent, NetbirdAgent), ((), (netbird,)),
                             trust=lambda authority: monkeypatch.setenv("SSL_CERT_FILE", authority))
    address = theirs.wait_address(30)
    wait_until(lambda: ours.ping(address, count=1).returncode == 0, 60, "the first ping", every=0.5)
    for agent, other in ((ours, theirs), (theirs, ours)):
        wait_until(lambda: relayed_by_turn(agent, other), 20, "the way by TURN in the status")
        assert agent.ping(other.wait_address(), count=5).returncode == 0
