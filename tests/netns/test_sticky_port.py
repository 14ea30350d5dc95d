"""A busy WireGuard port is replaced by one of the kernel's choice, and by the same one after every restart."""
import json
import signal

from lnlab import LinnetAgent, wait_until


def hold(host, port):
    """Somebody else on the port; returns the process."""
    script = f"import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', {port})); time.sleep(600)"
    process = host.start("python3", "-c", script, log=f"holder{port}.log")
    wait_until(lambda: f":{port} " in host.run("ss", "-uln").stdout, 5, "the port to be taken")
    return process


def port(agent):
    return agent.status()["wireguardPort"]


def restart(agent, number=signal.SIGTERM):
    agent.process.stop(number=number)
    agent.start()
    wait_until(lambda: agent.status().get("daemonStatus") == "Connected", 15, "the network to be up again")


def test_the_same_port_again(lab, server):
    key = server.setup_key()
    a = LinnetAgent(lab.site("a"))
    holder = hold(a.host, 51820)
    a.up(server, key)
    first = port(a)
    assert first not in (0, 51820)
    note = a.state / "default.port.json"
    assert json.loads(note.read_text()) == {"wanted": 51820, "port": first}
    for number in (signal.SIGTERM, signal.SIGKILL):
        restart(a, number)
        assert port(a) == first
    # Also when the wanted one is free again: two networks of one host would take turns otherwise.
    holder.stop()
    restart(a)
    assert port(a) == first
    # Taken as well: the wanted one is next, and nothing is to be remembered.
    a.down()
    other = hold(a.host, first)
    a.up(server, key)
    assert port(a) == 51820 and not note.exists()
    other.stop()
    # Another wish ends it.
    hold(a.host, 51900)
    a.down()
    a.host.run(*a.up_argv(server, key), "--wireguard-port", "51900", timeout=60)
    assert json.loads(note.read_text())["wanted"] == 51900
    a.down()
    a.host.run(*a.up_argv(server, key), "--wireguard-port", "51901", timeout=60)
    assert port(a) == 51901
