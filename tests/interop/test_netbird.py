"""NetBird's own programs beside ours: agents on our server, our agent on theirs, mixed pairs.

NETBIRD_BIN names the agent, NETBIRD_SERVER_BIN the combined server; what is not named is skipped.
"""
import base64
import json

import pytest
from lnlab import LinnetAgent, NetbirdAgent, NetbirdServer, wait_until

nacl_public = pytest.importorskip("nacl.public")


def direct(a, b):
    """Their double initiation (spec signal-and-connection 5.6) may cost a pair of theirs 5 s: wait for the first ping."""
    wait_until(lambda: a.ping(b.wait_address(30), count=1).returncode == 0, 30, "a first ping")
    a.wait_direct(b.host.name, 30)
    b.wait_direct(a.host.name, 30)
    assert a.ping(b.wait_address()).returncode == 0
    assert b.ping(a.wait_address()).returncode == 0


def ours_with_key_order(host, server, key, theirs, ours_controls):
    """Our agent with a fresh identity whose key text is above (or below) theirs: the controller's is."""
    other = theirs.status()["publicKey"]
    while True:
        secret = nacl_public.PrivateKey.generate()
        mine = base64.b64encode(bytes(secret.public_key)).decode()
        if (mine > other) == ours_controls:
            break
    profile = host.folder / "state" / "default.json"
    profile.parent.mkdir(mode=0o700)
    profile.write_text(json.dumps({"PrivateKey": base64.b64encode(bytes(secret)).decode()}))
    profile.chmod(0o600)
    ours = LinnetAgent(host)
    ours.up(server, key)
    assert ours.status()["publicKey"] == mine
    return ours


def test_two_netbird_agents_on_our_server(lab, server, netbird):
    key = server.setup_key()
    agents = [NetbirdAgent(lab.site(name), netbird) for name in "ab"]
    for agent in agents:
        agent.up(server, key)
    status = agents[0].status()
    assert status["management"]["connected"] and status["signal"]["connected"]
    direct(*agents)


@pytest.mark.parametrize("ours_controls", [True, False], ids=["ours-controls", "theirs-controls"])
def test_mixed_pair_on_our_server(lab, server, netbird, ours_controls):
    key = server.setup_key()
    theirs = NetbirdAgent(lab.site("b"), netbird)
    theirs.up(server, key)
    direct(ours_with_key_order(lab.site("a"), server, key, theirs, ours_controls), theirs)


@pytest.mark.parametrize("ours_controls", [True, False], ids=["ours-controls", "theirs-controls"])
def test_mixed_pair_on_their_server(lab, netbird, netbird_server, ours_controls):
    server = NetbirdServer(lab.server, netbird_server)
    key = server.setup_key()
    theirs = NetbirdAgent(lab.site("b"), netbird)
    theirs.up(server, key)
    direct(ours_with_key_order(lab.site("a"), server, key, theirs, ours_controls), theirs)


def test_two_of_ours_on_their_server(lab, netbird_server):
    server = NetbirdServer(lab.server, netbird_server)
    key = server.setup_key()
    agents = [LinnetAgent(lab.site(name)) for name in "ab"]
    for agent in agents:
        agent.up(server, key)
    direct(*agents)


def test_their_command_line_drives_our_daemon(lab, server, netbird):
    ours = LinnetAgent(lab.site("a"))
    env = ["env", f"HOME={ours.host.folder}", netbird, "--daemon-addr", f"unix://{ours.socket}"]
    done = ours.host.run(*env, "up", "--management-url", server.url, "--setup-key", server.setup_key(), check=False,
                         timeout=90)
    assert done.returncode == 0, done.stderr + done.stdout
    status = json.loads(ours.host.run(*env, "status", "--json").stdout)
    assert status["daemonStatus"] == "Connected" and status["netbirdIp"] == ours.status()["netbirdIp"]
    assert "Management: Connected" in ours.host.run(*env, "status", "-d").stdout
    assert ours.host.run(*env, "down", check=False).returncode == 0
    assert ours.host.run("ip", "link", "show", "wt0", check=False).returncode != 0


def test_policy_change_reaches_a_netbird_agent(lab, server, netbird):
    key = server.setup_key()
    theirs, ours = NetbirdAgent(lab.site("a"), netbird), LinnetAgent(lab.site("b"))
    theirs.up(server, key)
    ours.up(server, key)
    wait_until(lambda: theirs.peer("hb"), 15, "our peer at their agent")
    server.admin("policy", "disable", "Default")
    wait_until(lambda: theirs.peer("hb") is None, 15, "the peer to go")
    server.admin("policy", "enable", "Default")
    wait_until(lambda: theirs.peer("hb"), 15, "the peer to come back")
    server.admin("peer", "delete", "hb")
    wait_until(lambda: theirs.peer("hb") is None, 15, "the deleted peer to go")


def test_go_idle_is_heard_by_a_netbird_agent(lab, server, netbird):
    """Ours has the shorter patience: theirs sleeps because we say so, and either side's first ping wakes the pair."""
    key = server.setup_key()
    theirs = NetbirdAgent(lab.site("b"), netbird)
    ours = LinnetAgent(lab.site("a"), env={"NB_LAZY_CONN_INACTIVITY_THRESHOLD": "5s", "NB_WG_KERNEL_DISABLED": "true"})
    for agent in (theirs, ours):
        agent.up(server, key)
    direct(ours, theirs)
    for sender, other in ((theirs, ours), (ours, theirs)):
        wait_until(lambda: ours.peer("hb")["status"] == "Idle" and theirs.peer("ha")["status"] == "Idle", 30, "both to sleep")
        wait_until(lambda: sender.ping(other.address(), count=1).returncode == 0, 15, "a ping that wakes them")
