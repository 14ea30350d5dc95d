#!/usr/bin/python3
"""The laboratory of quickstart.sh: two machines behind two NAT routers, seen by a newcomer."""
import json
import signal
import subprocess
import sys
import time

from lnlab import Lab, LabError, LinnetAgent, LinnetServer

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def title(text):
    print(f"\n== {text}", flush=True)


def iperf(lab, client, server, address):
    serving = server.start("iperf3", "-s", "-1", "-B", address, log="iperf3.log")
    time.sleep(0.3)
    done = client.run("iperf3", "-c", address, "-t", "5", "--json", check=False, timeout=30)
    serving.stop()
    if done.returncode != 0:
        raise LabError(f"iperf3 failed: {done.stdout[-300:]}{done.stderr[-300:]}")
    return json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"] / 1e9


def show(lab):
    title("A server, two NAT routers (port-restricted), two machines")
    a, b = lab.site("a"), lab.site("b")
    print(lab.describe())
    title("The server: linnet-server on embedded defaults")
    server = LinnetServer(lab.server)
    key = server.setup_key()
    print(f"listens at {server.url}, STUN on UDP 3478; a reusable setup key was made")
    title("Both machines: linnet up")
    agents = [LinnetAgent(a), LinnetAgent(b)]
    began = time.monotonic()
    ups = [agent.up_async(server, key) for agent in agents]
    addresses = [agent.wait_address() for agent in agents]
    first = agents[0].first_ping(addresses[1]).result() - began
    for agent, up in zip(agents, ups):
        up.popen.wait(20)
    agents[0].wait_direct("hb")
    agents[1].wait_direct("ha")
    print(f"first ping answered {first:.2f} s after `up`")
    for agent in agents:
        title(f"linnet status on {agent.host.name}")
        print(agent.cli("status", "--detail").stdout.rstrip())
    for agent, address in zip(agents, reversed(addresses)):
        title(f"ping from {agent.host.name} to {address}")
        done = agent.ping(address)
        print(done.stdout.strip())
        if done.returncode != 0:
            raise LabError(f"the ping from {agent.host.name} was not answered")
    title("iperf3 through the tunnel, 5 s")
    print(f"{iperf(lab, a, b, addresses[1]):.2f} Gbit/s, encrypted, direct")
    title("Down")
    for agent in agents:
        agent.down()
        left = agent.host.run("ip", "-o", "link", "show", "wt0", check=False)
        if left.returncode == 0:
            raise LabError(f"{agent.host.name} still has its interface after `down`")
    print("both agents are down, their interfaces are gone")


class Interrupted(BaseException):
    """A signal asked for the end; not an Exception, so that nothing on the way takes it for a failed step."""


def on_signal(number, frame):
    for each in SIGNALS:  # once is enough: the taking down is not interrupted
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(number)


def main():
    for each in SIGNALS:
        signal.signal(each, on_signal)
    try:
        with Lab("demo", out=sys.stdout) as lab:
            show(lab)
    except Interrupted as by:
        print("\ninterrupted; the laboratory has been taken down", file=sys.stderr)
        return 128 + by.args[0]
    except (LabError, OSError, subprocess.SubprocessError) as failed:
        print(f"lab: {failed}", file=sys.stderr)
        return 1
    print("\nThe laboratory has been taken down. All steps passed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
