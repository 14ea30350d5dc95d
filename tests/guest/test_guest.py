"""Kernel WireGuard, in a guest with Debian's kernel (the development kernel has no module).

One boot runs all scenarios of guest_scenarios.sh, which print facts; each test judges a few of them. The guest
is emulated, so throughput is only ever compared within one run.
"""
import os
import pathlib

import pytest

import guest_image

LIMIT = 420  # seconds; about 70 on an idle machine


def programs():
    for folder in (os.environ.get("LINNET_REL"), os.environ.get("LINNET_BIN"), guest_image.ROOT / "build/rel",
                   guest_image.ROOT / "build/dev"):
        if folder and all(pathlib.Path(folder, name).exists() for name in guest_image.PROGRAMS):
            return pathlib.Path(folder).resolve()
    return None


@pytest.fixture(scope="session", name="facts")
def fixture_facts():
    """{(scenario, name): value}; a missing one means that the guest did not come so far."""
    folder = programs()
    if folder is None:
        pytest.skip("the programs are not built")
    try:
        log = guest_image.boot(folder, LIMIT)
    except guest_image.NoGuest as e:
        pytest.skip(f"no guest: {e}")
    facts = {}
    for line in log.splitlines():
        words = line.split(None, 3)
        if len(words) >= 3 and words[0] == "@@":
            facts[words[1], words[2]] = words[3] if len(words) > 3 else ""
    assert ("guest", "end") in facts, f"the guest did not come to its end:\n{log[-4000:]}"
    return facts


def number(facts, scenario, name):
    return float(facts[scenario, name])


def carried(facts, scenario):
    return sum(number(facts, scenario, f"mbits_{i}") for i in (1, 2, 3))


def assert_nothing_left(facts, scenario, host):
    for what in ("links", "tables", "routes", "rules", "raw"):
        assert facts[scenario, f"left_{what}_{host}"] == "0", what


def test_module_is_loaded_when_it_is_needed(facts):
    assert facts["modules", "before"] == "0"
    assert facts["modules", "after"] == "1"


def test_status_says_which_kind(facts):
    assert facts["mixed", "type_a"] == "Kernel"
    assert facts["mixed", "json_a"] == "1"
    assert facts["mixed", "type_b"] == "Userspace"
    assert facts["kernel", "type_b"] == "Kernel"


def test_kernel_and_user_space_through_two_nats(facts):
    assert number(facts, "mixed", "first_ping_ms") < 5000
    assert facts["mixed", "ping_back"] == "ok"
    assert facts["mixed", "direct"] == "1"
    assert facts["mixed", "handshakes"] == "1"
    assert number(facts, "mixed", "mbits") > 5


def test_both_in_the_kernel_through_two_nats(facts):
    assert number(facts, "kernel", "first_ping_ms") < 5000
    assert facts["kernel", "ping_back"] == "ok"


def test_carries_what_wg_by_hand_carries(facts):
    """The same path, three times in turn, in the guest's own time; equal runs differ by a few per cent."""
    assert carried(facts, "kernel") >= 0.95 * carried(facts, "hand")


def test_narrow_path(facts):
    """The kernel's messages may be cut: what fits the interface arrives, what does not is told at home."""
    assert facts["narrow", "mtu"] == "1280"
    for what in ("full_ab", "full_ba", "told"):
        assert facts.get(("narrow", what)) == "ok", what
    assert facts["narrow", "tcp_ab"] == facts["narrow", "tcp_ba"] == "200000"
    assert number(facts, "narrow", "fragments") > 0  # or the path was not narrow


@pytest.mark.parametrize("kind", ["icmp", "udp", "tcp"])
def test_first_packet_to_a_sleeping_peer(facts, kind):
    """Late, and neither lost nor doubled: as many arrive as were sent, without anybody trying again."""
    assert facts.get(("lazy", f"asleep_{kind}")) == "ok"
    assert facts.get(("lazy", f"arrived_{kind}")) == "ok"
    assert facts["lazy", f"got_{kind}"] == facts["lazy", f"sent_{kind}"]
    if kind != "tcp":  # which tries again by itself
        assert facts["lazy", f"sent_{kind}"] == "1"
    else:
        assert facts["lazy", "said_tcp"] == "5"


def test_routes_into_the_tunnel_do_not_capture_it(facts):
    """The kernel's device and our raw sockets beside it bear the mark."""
    assert facts["marks", "fwmark"] == "0x1bd00"
    assert facts["marks", "captured"] == "1"
    for what in ("way_round", "ping", "again"):
        assert facts.get(("marks", what)) == "ok", what


def test_quiet_peers_fall_asleep(facts):
    """The kernel counts bytes only; ours concludes from them, and the other side hears GO_IDLE."""
    for what in ("a", "b", "woken"):
        assert facts.get(("idle", what)) == "ok", what


def test_down_leaves_nothing(facts):
    assert_nothing_left(facts, "mixed", "b")
    assert_nothing_left(facts, "kernel", "a")
    assert_nothing_left(facts, "kernel", "b")


def test_killed_daemon_takes_its_link_over(facts):
    assert facts["killed", "link_stays"] == "1"
    assert facts.get(("killed", "ping")) == "ok"


def test_deleted_link_comes_back(facts):
    assert facts.get(("deleted", "ping")) == "ok"


def test_lossy_path(facts):
    assert number(facts, "lossy", "first_ping_ms") < 15000


def test_relay_where_no_udp_goes(facts):
    assert number(facts, "relay", "first_ping_ms") < 15000
    assert facts["relay", "ping_back"] == "ok"
    assert facts["relay", "relayed"] == "1"
    assert facts["relay", "endpoint"] == "1"
    assert number(facts, "relay", "mbits") > 2


def test_relay_with_ports_instead_of_addresses(facts):
    assert number(facts, "redirect", "first_ping_ms") < 15000
    assert facts["redirect", "ping_back"] == "ok"
    if "built without" in facts["redirect", "fell_back"]:
        pytest.skip("linnetd was built without libbpf; it fell back")
    assert facts["redirect", "fell_back"] == ""
    assert facts["redirect", "program"] == "1"
    assert facts["redirect", "endpoint"] == "1"
    assert number(facts, "redirect", "mbits") > 2
    assert facts["redirect", "left"] == "0"


def test_relay_is_left_when_udp_goes(facts):
    assert facts.get(("relay", "upgraded")) == "ok"
    assert facts["relay", "endpoint_after"] == "1"
    assert number(facts, "relay", "lost") <= 3


def test_first_packet_wakes_and_is_not_lost(facts):
    """The kernel would try again after five seconds; the caught initiation leaves at once."""
    assert facts["driver", "ready_c"] == "ok" and facts["driver", "ready_d"] == "ok"
    assert facts["wake", "wanted"] == "ok"
    assert number(facts, "wake", "ping_ms") < 4500
    assert facts["wake", "handshake"] == "ok"
    assert facts["wake", "stats"] == "ok"


def test_peer_that_moves_is_followed(facts):
    assert facts.get(("roam", "ping")) == "ok"
    assert facts["roam", "event"] == "ok"


def test_stun_shares_the_port(facts):
    assert facts["stun", "v4"] == "ok"
    assert facts["stun", "v6"] == "ok"
    assert facts["stun", "back"] == "ok"
    assert facts["stun", "only"] == "1"  # not what has another shape
    assert facts["stun", "checksum_errors"] == "0"


def test_a_thousand_peers(facts):
    assert facts["many", "peers"] == "1001"
    assert facts.get(("many", "ping")) == "ok"
    assert facts["many", "stats_last"] == "ok"
    assert facts["many", "wanted_last"] == "ok"


def test_driver_leaves_nothing(facts):
    assert facts["driver", "left"] == "0"
