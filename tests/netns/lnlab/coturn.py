"""TURN servers of a lab: Debian's coturn, and two machines that have no other way to each other."""
import base64
import hashlib
import hmac
import time

from .authority import certificate
from .programs import LinnetServer
from .topology import wait_until

PORT, TLS_PORT, SECRET = 3479, 5349, "shared with coturn"


def start_coturn(host, *words):
    process = host.start("turnserver", "-n", "-L", host.address, "-E", host.address, "-p", str(PORT), "--use-auth-secret",
                         "--static-auth-secret", SECRET, "--realm", "lab.example", "--fingerprint", "--no-cli", "--no-dtls",
                         "--no-multicast-peers", "--verbose", "--pidfile", host.folder / "turn.pid", "--userdb",
                         host.folder / "turn.db", "--log-file", "stdout", *(words or ["--no-tls"]), log="coturn.log")
    wait_until(lambda: f":{PORT}" in host.run("ss", "-ltn").stdout and f":{PORT}" in host.run("ss", "-lun").stdout, 15,
               "coturn to listen")
    return process


def credentials():
    user = str(int(time.time()) + 3600)
    return user, base64.b64encode(hmac.new(SECRET.encode(), user.encode(), hashlib.sha1).digest()).decode()


def turn_pair(lab, transport, classes, binaries=((), ()), trust=None):
    """Two machines that have a way to coturn and none to each other, and a server without a relay.

    transport: udp, tcp, or tls; then trust(file) makes the agents believe the authority.
    """
    coturn = lab.public_host("coturn", 60)
    # Checks of private addresses end somewhere, as they do where there is a default route: coturn gives up a whole
    # allocation when its own system refuses to send for it.
    coturn.run("ip", "link", "add", "sink", "arp", "off", "type", "veth", "peer", "name", "drain")
    coturn.run("ip", "link", "set", "drain", "up")
    coturn.run("ip", "link", "set", "sink", "arp", "off", "up")
    coturn.run("ip", "route", "add", "default", "dev", "sink")
    uri = f"turn:{coturn.address}:{PORT}?transport={transport}"
    if transport == "tls":
        authority, cert, key = certificate(coturn.folder, coturn.address)
        trust(str(authority))
        start_coturn(coturn, "--tls-listening-port", str(TLS_PORT), "--cert", cert, "--pkey", key)
        uri = f"turns:{coturn.address}:{TLS_PORT}?transport=tcp"
    else:
        start_coturn(coturn)
    server = LinnetServer(lab.server, {"server": {
        "listenAddress": ":80", "exposedAddress": f"http://{lab.server.address}:80", "stunPorts": [3478],
        "logLevel": "debug", "logFile": "console", "dataDir": str(lab.server.folder / "data"),
        # A relay that does not exist: nobody has one.
        "relays": {"addresses": ["rel://198.51.100.99:1"], "secret": "nobody-listens-there"}},
        "linnet": {"turn": {"uris": [uri], "secret": SECRET}}})
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
