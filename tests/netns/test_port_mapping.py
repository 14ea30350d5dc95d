"""Our port at the gateway by PCP, NAT-PMP and UPnP, with miniupnpd as the judge: a symmetric NAT becomes reachable, and
the mapping goes when the agent goes. About 35 s."""
import re
import shutil
import time

import pytest
from lnlab import LinnetAgent, wait_until

# miniupnpd maps nothing with an address of documentation ranges outside: the router gets this one beside its own.
PUBLIC = "11.0.0.21"
TABLE = """
table inet filter {
  chain forward { type filter hook forward priority 0; policy accept; jump miniupnpd; }
  chain miniupnpd { }
  chain prerouting { type nat hook prerouting priority -100; policy accept; jump prerouting_miniupnpd; }
  chain postrouting { type nat hook postrouting priority 100; policy accept; jump postrouting_miniupnpd; }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
}
"""
CONF = """
ext_ifname=wan
ext_ip={public}
listening_ip=lan1
enable_natpmp={pmp}
enable_upnp={upnp}
secure_mode=yes
system_uptime=yes
uuid=5d2c2f1c-0c2e-4e3e-9f57-0d6e9a0f6b11
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
allow 1024-65535 10.0.0.0/8 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""
# A gateway that knows NAT-PMP only: answers PCP with its own version, forwards the rest to the real one.
OLD_GATEWAY = """
import socket, sys
front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
front.bind((sys.argv[1], 5351))
mapped, epoch = {}, 4711
while True:
    data, peer = front.recvfrom(100)
    if data[0] != 0:
        front.sendto(bytes([0, 0x80 | data[1], 0, 1]) + epoch.to_bytes(4, "big"), peer)
    elif data[1] == 0:
        front.sendto(bytes([0, 0x80, 0, 0]) + epoch.to_bytes(4, "big") + bytes([11, 0, 0, 21]), peer)
    else:
        life = int.from_bytes(data[8:12], "big")
        print("map" if life else "unmap", int.from_bytes(data[4:6], "big"), peer[0], flush=True)
        front.sendto(bytes([0, 0x81, 0, 0]) + epoch.to_bytes(4, "big") + data[4:6] + data[4:6] + data[8:12], peer)
"""


@pytest.fixture(autouse=True)
def judge():
    if shutil.which("miniupnpd") is None:
        pytest.skip("miniupnpd is not installed (Debian: miniupnpd-nftables)")


def gateway(host, pmp, upnp):
    router = host.router
    router.nft(TABLE)
    router.run("ip", "addr", "add", f"{PUBLIC}/32", "dev", "wan")
    conf = router.folder / "miniupnpd.conf"
    conf.write_text(CONF.format(public=PUBLIC, pmp="yes" if pmp else "no", upnp="yes" if upnp else "no"))
    host.run("ip", "route", "add", "239.0.0.0/8", "dev", "eth0")
    router.run("ip", "route", "add", "239.0.0.0/8", "dev", "lan1")
    process = router.start("miniupnpd", "-d", "-f", conf, "-P", router.folder / "miniupnpd.pid", log="miniupnpd.log")
    port = 5351 if pmp else 1900
    wait_until(lambda: f":{port}" in router.run("ss", "-lun").stdout, 10, f"miniupnpd to listen ({process.log})")


def mappings(host):
    return re.findall(r"dport (\d+) .*dnat .*to (\S+):51820",
                      host.router.run("nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd").stdout)


def log_line(agent, text, timeout=20):
    def found():
        lines = [line for line in agent.process.output().splitlines() if text in line]
        return lines[-1] if lines else None
    return wait_until(found, timeout, f"{text!r} in {agent.process.log}", every=0.1)


def pair(lab, server, a, env=None):
    """a behind a symmetric NAT, b behind a port-restricted one: relayed, if it were not for the mapping."""
    key = server.setup_key()
    agents = [LinnetAgent(a, env=env), LinnetAgent(lab.site("b", "port-restricted"))]
    agents[1].host.router.run("ip", "route", "add", PUBLIC, "via", a.outside)
    agents[0].up(server, key)
    return agents, key


@pytest.mark.parametrize("pmp,upnp,by", [(True, True, "PCP"), (False, True, "UPnP")], ids=["pcp", "upnp"])
def test_symmetric_nat_becomes_reachable(lab, server, pmp, upnp, by):
    host = lab.site("a", "symmetric")
    gateway(host, pmp, upnp)
    (a, b), key = pair(lab, server, host)
    line = log_line(a, "the gateway maps our port")
    assert f"by={by}" in line, line
    mapped = re.search(rf"to={PUBLIC}:(\d+)", line)[1]
    assert mappings(host) == [(mapped, "10.1.0.2")]
    b.up(server, key)
    assert b.ping(a.wait_address(), count=5).returncode == 0
    b.wait_direct(host.name, 30)
    a.wait_direct(b.host.name, 30)
    # By either address of the router: miniupnpd maps what leaves to the same port.
    assert b.peer(host.name)["iceCandidateEndpoint"]["remote"].endswith(f":{mapped}")
    a.down()
    wait_until(lambda: not mappings(host), 10, "the mapping to go with the agent")


def test_old_gateway(lab, server):
    """NAT-PMP, and a gateway that maps nothing in truth: the request, and the removal when the agent is stopped."""
    host = lab.site("a", "symmetric")
    old = host.router.start("/usr/bin/python3", "-c", OLD_GATEWAY, "10.1.0.1", log="old.log")
    wait_until(lambda: ":5351" in host.router.run("ss", "-lun").stdout, 10, "the old gateway")
    (a, _), _ = pair(lab, server, host)
    assert "by=NAT-PMP" in log_line(a, "the gateway maps our port")
    assert a.process.stop() == 0
    wait_until(lambda: "unmap 51820 10.1.0.2" in old.output(), 5, "the removal")
    assert "map 51820 10.1.0.2" in old.output().splitlines()


def test_switched_off(lab, server):
    host = lab.site("a", "symmetric")
    gateway(host, True, True)
    (a, b), key = pair(lab, server, host, env={"NB_DISABLE_NAT_MAPPER": "true"})
    b.up(server, key)
    assert b.ping(a.wait_address(), count=5).returncode == 0
    time.sleep(3)
    assert not mappings(host) and "maps our port" not in a.process.output()
    assert b.peer(host.name)["connectionType"] == "Relayed"

