"""A server with a certificate of a private authority: agents, a foreign client, and who does not know the authority."""
import os
import sys

import pytest
from lnlab import LinnetAgent, LinnetServer, NetbirdAgent, wait_until
from lnlab.authority import certificate
from lnlab.topology import SERVER

URL = f"https://{SERVER}:443"
# python3-grpcio with the authority as its only root: calls that need no key.
CALLS = """
import sys, grpc
root = open(sys.argv[2], "rb").read()
with grpc.secure_channel(sys.argv[1], grpc.ssl_channel_credentials(root)) as channel:
    for method in ("GetServerKey", "isHealthy"):
        call = channel.unary_unary("/management.ManagementService/" + method)
        print(method, len(call(b"", timeout=5)))
"""


@pytest.fixture
def ca(lab):
    return certificate(lab.server.folder, SERVER)


@pytest.fixture
def secure(lab, ca):
    _, cert, key = ca
    server = LinnetServer(lab.server, {"server": {
        "listenAddress": ":443", "exposedAddress": URL, "stunPorts": [3478], "logLevel": "debug", "logFile": "console",
        "dataDir": str(lab.server.folder / "data"), "authSecret": "unused-without-a-relay",
        "tls": {"certFile": str(cert), "keyFile": str(key)}}})
    server.url = URL
    return server


def test_agents_join_over_https(lab, secure, ca):
    """OpenSSL's SSL_CERT_FILE gives linnetd the authority; both services and the tunnel work behind it."""
    key = secure.setup_key()
    roots = {"SSL_CERT_FILE": str(ca[0])}
    a, b = [LinnetAgent(lab.site(name), env=roots) for name in "ab"]
    for agent in (a, b):
        agent.up(secure, key)
    assert a.ping(b.wait_address(), count=5).returncode == 0
    a.wait_direct("hb")
    status = a.status()
    assert status["management"]["connected"] and status["management"]["url"].startswith("https://")
    assert status["signal"]["connected"]


def test_an_unknown_authority_is_refused(lab, secure):
    agent = LinnetAgent(lab.site("a"))
    refused = agent.host.start(*agent.up_argv(secure, secure.setup_key()), log="up.log")
    wait_until(lambda: "certificate" in agent.process.output() + refused.output(), 20, "the reason in words")
    assert not agent.status().get("management", {}).get("connected")
    refused.stop()


def test_a_foreign_client(secure, ca):
    pytest.importorskip("grpc")
    done = secure.host.run(sys.executable, "-c", CALLS, f"{SERVER}:443", ca[0])
    assert "GetServerKey" in done.stdout and "isHealthy" in done.stdout


@pytest.mark.skipif("NETBIRD_BIN" not in os.environ, reason="NETBIRD_BIN names no agent")
def test_netbirds_agent_joins_over_https(lab, secure, ca, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(ca[0]))  # of the agent's process; Go reads it too
    agent = NetbirdAgent(lab.site("n"), os.environ["NETBIRD_BIN"])
    agent.up(secure, secure.setup_key())
    agent.wait_address()
