"""The host gets other name servers, and the servers another address."""
import pathlib
import signal
import sys
import time

from lnlab import LinnetAgent, LinnetServer, wait_until

NAME = "vpn.lab.example"
OLD, NEW = "198.51.100.10", "198.51.100.11"
NAME_SERVER = pathlib.Path(__file__).resolve().parent / "lnlab" / "name_server.py"


def name_server(lab, name, last, address):
    host = lab.public_host(name, last)
    process = host.start(sys.executable, NAME_SERVER, host.address, f"{NAME}={address}", log="name_server.log")
    wait_until(lambda: "listening" in process.output(), 10, "the name server")
    return host.address, process


def ask(host, address):
    """In place: the file is bound over /etc/resolv.conf in the namespaces of this host."""
    pathlib.Path(f"/etc/netns/{host.netns}/resolv.conf").write_text(f"nameserver {address}\noptions timeout:1 attempts:1\n")


def closed(server, address):
    server.host.nft(f"table ip closed {{ chain c {{ type filter hook prerouting priority -10; ip daddr {address} drop; }}; }}")


def servers(agent):
    status = agent.status()
    return [status["management"]["connected"], status["signal"]["connected"],
            *(relay["available"] for relay in status["relays"]["details"])]


def test_servers_move_with_the_name_servers(lab):
    first, second = name_server(lab, "ns1", 60, OLD), name_server(lab, "ns2", 61, NEW)
    url = f"http://{NAME}:80"
    server = LinnetServer(lab.server, {"server": {
        "listenAddress": ":80", "exposedAddress": url, "stunPorts": [3478], "logLevel": "debug", "logFile": "console",
        "dataDir": str(lab.server.folder / "data"), "authSecret": "known-to-the-relay"}})
    server.url = url
    host, other = lab.site("a"), lab.site("b")
    ask(host, first[0])
    ask(other, second[0])  # knows the new address from the beginning
    key = server.setup_key()
    a, b = LinnetAgent(host), LinnetAgent(other)
    for agent in (a, b):
        agent.up(server, key)
    assert a.ping(b.wait_address(), count=3).returncode == 0
    wait_until(lambda: all(servers(a)), 10, "all servers")

    # What is up stays as it is; STUN servers are asked for by name again.
    asked = second[1].output().count(NAME)
    ask(host, second[0])
    wait_until(lambda: second[1].output().count(NAME) > asked, 3, "a question to the other name server")
    ask(host, first[0])
    time.sleep(1)
    log = a.process.output()
    assert log.count("management connected") == log.count("signal connected") == log.count("home relay connected") == 1

    # The old address is dead, and the first name server does not know the new one: everything waits for its next try,
    # the relay for many seconds by now, STUN for minutes.
    server.process.stop(number=signal.SIGKILL)
    closed(server, OLD)
    server.start()
    host.run("ip", "addr", "add", "10.1.0.99/24", "dev", "eth0")  # STUN is asked again
    wait_until(lambda: not any(servers(a)), 30, "everything to be missed")
    time.sleep(10)
    ask(host, second[0])
    began = time.monotonic()
    wait_until(lambda: all(servers(a)), 20, "all servers at their new address", every=0.1)
    assert time.monotonic() - began < 4
    assert a.ping(b.address(), count=3).returncode == 0
