"""A thousand relayed peers come back after a restart of their relay: soon, spread, and each once."""
import json
import os
import pathlib
import signal

import pytest
from lnlab import programs_folder, wait_until

CLIENTS, URL, SECRET = 1000, "rel://127.0.0.1:33080", "the crowd's"
CROWD = pathlib.Path(os.environ.get("LINNET_BUILD") or programs_folder(), "tests/interop/relay_crowd")


class Relay:
    def __init__(self, host, loops):
        self.host, self.loops = host, loops
        self.start()

    def start(self):
        self.process = self.host.start(
            "env", "LINNET_MAX_PER_SOURCE=1000000", programs_folder() / "linnet-server", "relay", "--listen", ":33080",
            "--relay-exposed-address", URL, "--auth-secret", SECRET, "--metrics-port", "9091", "--log-file", "console",
            "--relay-loops", str(self.loops), log="relay.log")
        wait_until(lambda: ":33080" in self.host.run("ss", "-ltn").stdout, 10, "the relay to listen")

    def metric(self, name):
        page = self.host.run("python3", "-c", "import urllib.request as u; "
                             "print(u.urlopen('http://127.0.0.1:9091/metrics', timeout=5).read().decode())").stdout
        return next(float(line.split()[-1]) for line in page.splitlines() if line.startswith(name))


@pytest.mark.skipif(not CROWD.exists(), reason=f"{CROWD} is not built")
@pytest.mark.parametrize("loops", [1, 3])
def test_a_thousand_peers_come_back(lab, loops):
    relay = Relay(lab.server, loops)
    crowd = lab.server.start(CROWD, "--url", URL, "--secret", SECRET, "--clients", str(CLIENTS), "--rounds", "3",
                             log="crowd.log")

    def lines(count):
        def printed():
            assert crowd.alive() or len(crowd.output().splitlines()) >= count, crowd.output()
            return len(crowd.output().splitlines()) >= count
        wait_until(printed, 40, f"{count} lines of the crowd", every=0.1)
        return crowd.output().splitlines()

    assert lines(1)[0] == "up"
    for count, number, spread in ((2, signal.SIGKILL, 1.0), (3, signal.SIGTERM, 3.0)):
        relay.process.stop(number=number)
        relay.start()
        back = json.loads(lines(count)[count - 1])
        print(f"after {number.name}: {back}")
        assert back["clients"] == CLIENTS and back["twice"] == 0
        assert back["all_pairs_s"] < 10
        assert back["last_s"] - back["first_s"] > spread * 0.8
        assert back["most_in_100_ms"] < CLIENTS // 3
        assert relay.metric('relay_peers{transport="ws"}') == CLIENTS
        assert relay.metric("relay_peer_authentication_time_milliseconds_count") == CLIENTS
        assert relay.metric("relay_peer_reconnections_total") == 0
    crowd.stop()
