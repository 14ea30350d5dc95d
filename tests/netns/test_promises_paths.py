"""More of what the user is promised (spec signal-and-connection 5.18): which way packets take, and what status says."""
import json
import re
import time

from lnlab import LinnetAgent, wait_until


def join(server, hosts, **kw):
    key = server.setup_key()
    agents = [LinnetAgent(host, **kw) for host in hosts]
    for agent in agents:
        agent.up(server, key)
    return agents


def direct(a, b):
    a.wait_direct(b.host.name)
    b.wait_direct(a.host.name)


def counter(host, name):
    text = host.run("nft", "-j", "list", "counter", "inet", "promise", name).stdout
    return next(x["counter"]["packets"] for x in json.loads(text)["nftables"] if "counter" in x)


def test_10_25_and_30_one_lan_is_not_left(lab, server):
    """Two machines behind one router: host candidates, and neither router nor relay sees a packet of the tunnel."""
    first = lab.site("a")
    a, b = join(server, [first, lab.site("b", behind=first)])
    assert a.ping(b.wait_address(), count=5).returncode == 0
    direct(a, b)
    peer = a.peer(b.host.name)
    assert peer["iceCandidateType"] == {"local": "host", "remote": "host"}
    assert peer["iceCandidateEndpoint"]["remote"] == f"{b.host.address}:51820"
    # WireGuard's data (type 4) on the way out of the router, and whatever the relay's port brings in full packets.
    first.router.nft("table inet promise { counter tunnel { }; counter lan { }; chain f { type filter hook forward priority 0; "
                     "oifname lan* udp length > 40 @th,64,32 0x04000000 counter name lan; "
                     "oifname wan udp length > 40 @th,64,32 0x04000000 counter name tunnel; "
                     "oifname wan tcp dport 80 meta length > 900 counter name tunnel; }; }")
    assert a.host.run("ping", "-f", "-c", "500", "-s", "1000", b.address()).returncode == 0
    assert counter(first.router, "lan") >= 1000  # the rule does know such a packet
    assert counter(first.router, "tunnel") == 0


def test_24_the_relay_sees_nothing_but_ciphertext(lab, server):
    """A ping with a pattern is answered by the relay; the pattern is nowhere in what the relay's machine saw."""
    a, b = join(server, [lab.site(name, "udp-blocked") for name in "ab"])
    assert a.ping(b.wait_address(), count=5).returncode == 0
    seen, inside = lab.server.folder / "relay.pcap", a.host.folder / "tunnel.pcap"
    captures = [lab.server.start("tcpdump", "-U", "-i", "any", "-w", str(seen), "tcp", "port", "80", log="tcpdump.log"),
                a.host.start("tcpdump", "-U", "-i", "wt0", "-w", str(inside), log="tcpdump.log")]
    wait_until(lambda: all("listening on" in tcpdump.output() for tcpdump in captures), 10, "tcpdump")
    assert a.host.run("ping", "-c", "20", "-i", "0.05", "-s", "400", "-p", "6c696e6e65742121", b.address()).returncode == 0
    wait_until(lambda: min(seen.stat().st_size, inside.stat().st_size) > 20 * 400, 10, "the captures")
    for tcpdump in captures:
        tcpdump.stop()
    assert (a.peer(b.host.name) or {})["connectionType"] == "Relayed"
    assert b"linnet!!" in inside.read_bytes() and b"linnet!!" not in seen.read_bytes()


def test_23_35_and_37_the_relay_carries_at_once(lab, server):
    """No UDP for the first five seconds: pings pass by the relay within two, and directly when UDP does."""
    hosts = [lab.site(name) for name in "ab"]
    for host in hosts:
        host.router.nft("table inet promise { chain f { type filter hook forward priority 0; "
                        "meta l4proto udp drop; }; }")
    key = server.setup_key()
    a, b = (LinnetAgent(host) for host in hosts)
    b.up(server, key)
    began = time.monotonic()
    a.up(server, key)
    ping = a.first_ping(b.address())
    assert ping.result() - began < 2
    time.sleep(max(0, 5 - (time.monotonic() - began)))
    assert (a.peer(b.host.name) or {})["connectionType"] == "Relayed"
    for host in hosts:
        host.router.run("nft", "delete", "table", "inet", "promise")
    a.wait_direct(b.host.name, timeout=60)
    b.wait_direct(a.host.name, timeout=60)


def test_a_path_at_rest_is_asked_seldom_and_left_at_once(lab, server):
    """After a minute without traffic few checks pass; when UDP has died meanwhile, the first packets find out."""
    hosts = [lab.site(name) for name in "ab"]
    a, b = join(server, hosts)
    assert a.ping(b.wait_address(), count=5).returncode == 0
    direct(a, b)
    hosts[0].router.nft("table inet promise { counter stun { }; chain f { type filter hook forward priority 0; "
                        "udp length > 28 @th,96,32 0x2112a442 counter name stun; }; }")
    before = counter(hosts[0].router, "stun")
    time.sleep(4)
    assert counter(hosts[0].router, "stun") - before >= 4  # the rule does know checks: four pass in two seconds
    time.sleep(31)
    before = counter(hosts[0].router, "stun")
    time.sleep(25)
    assert counter(hosts[0].router, "stun") - before <= 12  # two checks of each side, their answers, and a few for the router
    for host in hosts:
        host.router.nft("table inet died { chain f { type filter hook forward priority 0; meta l4proto udp drop; }; }")
    said = a.host.run("ping", "-n", "-c", "12", "-i", "0.25", "-W", "1", b.address(), check=False).stdout
    answered = [int(n) for n in re.findall(r"icmp_seq=(\d+)", said)]
    assert answered and answered[0] <= 4 and len(answered) >= 8, said
    for agent, other in ((a, b), (b, a)):
        wait_until(lambda: (agent.peer(other.host.name) or {})["connectionType"] == "Relayed", 5, "the relay to carry")  # noqa: B023


def test_51_and_52_one_port_is_all_it_takes(lab, server):
    """One UDP socket each for STUN, ICE and WireGuard; with only that port let in, the way is direct."""
    hosts = [lab.site("a", "none"), lab.site("b")]
    hosts[0].nft("table inet promise { chain i { type filter hook input priority 0; policy drop; iifname lo accept; "
                 "iifname \"wt*\" accept; meta l4proto != udp accept; udp dport 51820 accept; }; }")
    a, b = join(server, hosts)
    assert b.ping(a.wait_address(), count=5).returncode == 0
    direct(a, b)
    for agent in (a, b):
        # The helper that looks for gateways (UPnP) is a process of its own.
        lines = [line for line in agent.host.run("ss", "-Hulnp").stdout.splitlines() if '"linnetd"' in line]
        assert {line.split()[3].rsplit(":", 1)[1] for line in lines} == {"51820"}, lines


def test_56_and_58_status_names_what_is_away(lab, server):
    """The words for a direct pair, and which services are gone, with a reason."""
    a, b = join(server, [lab.site(name) for name in "ab"])
    assert a.ping(b.wait_address(), count=5).returncode == 0
    direct(a, b)
    text = a.cli("status", "--detail").stdout
    assert "Connection type: P2P" in text and "Management: Connected" in text and "Signal: Connected" in text
    server.process.stop()
    text = wait_until(lambda: (lambda out: out if "Management: Disconnected" in out and "Signal: Disconnected" in out else None)(
        a.cli("status", "--detail").stdout), 20, "both services to be said away")
    for service in ("Management", "Signal"):
        assert re.search(rf"{service}: Disconnected, reason: \S", text), text
    relays = a.status()["relays"]["details"]
    assert any(not relay["available"] and relay["error"] for relay in relays if relay["uri"].startswith("rel"))
    assert a.ping(b.address()).returncode == 0
