"""NetBird's agent (NETBIRD_BIN) ends with the same peers and the same packet filter from both forms of the map."""
import json
import re

from lnlab import NetbirdAgent, wait_until

import pytest

HOSTS = ("a", "b", "c")


def rewrite(server, version):
    config = json.loads(server.config.read_text())
    config["server"]["supportedSyncMessageVersions"] = version
    server.config.write_text(json.dumps(config))


def peers_of(agent):
    return sorted((p["fqdn"], p["netbirdIp"]) for p in agent.status()["peers"]["details"] or [])


def filter_of(agent):
    """The rules without the handles and counters, which are of the run; sets with their elements sorted."""
    text = agent.host.run("nft", "-j", "list", "ruleset").stdout
    lines = []
    for item in json.loads(text)["nftables"]:
        for kind, value in item.items():
            if kind == "metainfo":
                continue
            value.pop("handle", None)
            if isinstance(value.get("elem"), list):
                value["elem"] = sorted(value["elem"], key=json.dumps)
            line = json.dumps({kind: value}, sort_keys=True)
            lines.append(re.sub(r'"(bytes|packets)": \d+', r'"\1": 0', line))
    # Sets get names of chance: a rule is told by what it matches.
    return sorted(re.sub(r"nb-?[0-9a-f]{8,}|set-?\d+|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{16,}", "NAME", s)
                  for s in lines)


def policies(server, agents):
    """In place of everybody with everybody: ports one way, a drop, a protocol and a range both ways."""
    server.admin("policy", "delete", "Default")
    for group, agent in zip(("left", "right", "both"), agents):
        server.admin("group", "create", group)
        server.admin("group", "add-peer", group, agent.host.name)
    def policy(name, source, destination, *more):
        server.admin("policy", "create", "--name", name, "--source", source, "--destination", destination, *more)

    policy("web", "left", "right", "--one-way", "--protocol", "tcp", "--port", "80", "--port", "443")
    policy("no", "both", "left", "--action", "drop", "--protocol", "udp", "--port", "53")
    policy("ping", "left", "both", "--protocol", "icmp")
    policy("range", "right", "both", "--protocol", "tcp", "--port", "8000-8010")


def state(server, agents):
    names = {name: agent for name, agent in zip(HOSTS, agents)}
    return {name: (peers_of(agent), filter_of(agent)) for name, agent in names.items()}


def forms(server):
    return set(re.findall(r"map sent.*form=\"?(\w+)", server.process.output()))


def settled(server, agents):
    last = [None]

    def same_twice():
        now = state(server, agents)
        was, last[0] = last[0], now
        return now if now == was and all(n[0] for n in now.values()) else None

    return wait_until(same_twice, 40, "the agents to settle", every=1.5)


@pytest.mark.parametrize("rules", ["default", "several"])
def test_both_forms_say_the_same(lab, server, netbird, rules):
    assert server.process.stop() == 0
    rewrite(server, 0)
    server.start()
    key = server.setup_key()
    agents = [NetbirdAgent(lab.site(name), netbird) for name in HOSTS]
    for agent in agents:
        agent.up(server, key)
    if rules == "several":
        policies(server, agents)
    plain = settled(server, agents)
    assert forms(server) == {"plain"}
    assert any(agents[2].wait_address() in line for line in plain["a"][1]), "the filter names the third agent"
    assert server.process.stop() == 0
    rewrite(server, 1)
    server.start()
    wait_until(lambda: all(a.status()["management"]["connected"] for a in agents), 40, "the agents to come back")
    components = settled(server, agents)
    assert "components" in forms(server)
    for name in HOSTS:
        assert components[name][0] == plain[name][0], name
        assert components[name][1] == plain[name][1], name
    # And a change reaches them in the new form.
    extra = NetbirdAgent(lab.site("d"), netbird)
    extra.up(server, key)
    if rules == "default":
        wait_until(lambda: all(len(peers_of(a)) == 3 for a in agents), 20, "the new peer to be seen")
