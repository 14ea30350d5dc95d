# Functions for the scenarios: facts for the test, the two networks behind NAT, our programs in them.
#
#	a 10.1.0.2 -- na 198.51.1.2 ~ 198.51.1.1 (guest, 203.0.113.1: server) 198.51.2.1 ~ 198.51.2.2 nb -- 10.2.0.2 b
#
# busybox runs its own applets before it looks into PATH: these do not.
ip() { /usr/bin/ip "$@"; }
ping() { /usr/bin/ping "$@"; }
tc() { /usr/bin/tc "$@"; }
in_ns() { n=$1; shift; /usr/bin/ip netns exec "$n" "$@"; }

# fact SCENARIO NAME VALUE...
fact() { echo "@@ $*"; }
uptime_ms() { awk '{ printf "%d", $1 * 1000 }' /proc/uptime; }

# until SECONDS COMMAND...: tries it every 50 ms.
until_ok() {
	end=$(($(uptime_ms) + $1 * 1000)); shift
	while ! "$@" >/dev/null 2>&1; do
		[ "$(uptime_ms)" -lt "$end" ] || return 1
		usleep 50000
	done
}

# side NAME NUMBER: a host and its NAT router.
side() {
	ip netns add "$1"
	ip netns add "n$1"
	ip link add eth0 netns "$1" type veth peer name lan netns "n$1"
	ip link add "w$1" type veth peer name wan netns "n$1"
	for n in "$1" "n$1"; do in_ns "$n" ip link set lo up; done
	ip addr add "198.51.$2.1/24" dev "w$1"
	ip link set "w$1" up
	in_ns "n$1" ip addr add "198.51.$2.2/24" dev wan
	in_ns "n$1" ip addr add "10.$2.0.1/24" dev lan
	in_ns "n$1" ip link set wan up
	in_ns "n$1" ip link set lan up
	in_ns "n$1" ip route add default via "198.51.$2.1"
	in_ns "n$1" sysctl -qw net.ipv4.ip_forward=1
	in_ns "n$1" nft -f - <<-END
		table ip nat {
			chain post { type nat hook postrouting priority 100; oifname "wan" masquerade; }
			# An unwanted packet that is not dropped would take the port of the answer to it.
			chain in { type filter hook input priority 0; iifname "wan" ct state new drop; }
		}
	END
	in_ns "$1" ip addr add "10.$2.0.2/24" dev eth0
	in_ns "$1" ip link set eth0 up
	in_ns "$1" ip route add default via "10.$2.0.1"
}

lab() {
	ip link set lo up
	ip addr add 203.0.113.1/32 dev lo
	sysctl -qw net.ipv4.ip_forward=1
	side a 1
	side b 2
}

server() {
	cat >/run/server.yaml <<-END
		server:
		  listenAddress: ":80"
		  exposedAddress: "http://203.0.113.1:80"
		  stunPorts: [3478]
		  logFile: console
		  dataDir: /run/data
		  authSecret: "unused-without-a-relay"
	END
	linnet-server --config /run/server.yaml >/run/server.log 2>&1 &
	until_ok 30 linnet-server admin --config /run/server.yaml account show || cat /run/server.log
	key=$(linnet-server admin --config /run/server.yaml setup-key create --name lab --reusable --expires 24h --json |
		tr ',{}' '\n\n\n' | sed -n 's/^ *"key": *"\([^"]*\)".*/\1/p')
}

# daemon NAME [VAR=VALUE...]: linnetd in a namespace; its process is in pid_NAME.
daemon() {
	n=$1; shift
	mkdir -p "/run/$n"
	/usr/bin/ip netns exec "$n" env HOME="/run/$n" "$@" linnetd --daemon-addr "unix:///run/$n/sock" --state-dir "/run/$n/state" \
		--log-level debug --log-file console >>"/run/$n/log" 2>&1 &
	eval "pid_$n=$!"
	until_ok 20 cli "$n" status || cat "/run/$n/log"
}

cli() { c=$1; shift; in_ns "$c" env HOME="/run/$c" linnet --daemon-addr "unix:///run/$c/sock" "$@"; }
up() { cli "$1" up --management-url http://203.0.113.1:80 --setup-key "$key" --hostname "$1" >/dev/null || cat "/run/$1/log"; }
address() { cli "$1" status --json | tr ',{}' '\n\n\n' | sed -n 's|^ *"netbirdIp": *"\([^"/]*\)/.*|\1|p'; }
interface_type() { cli "$1" status | sed -n 's/^Interface type: //p'; }

# first_ping SCENARIO FROM ADDRESS: milliseconds until an answer came.
first_ping() {
	start=$(uptime_ms)
	until_ok 40 in_ns "$2" ping -c 1 -W 1 "$3"
	fact "$1" first_ping_ms $(($(uptime_ms) - start))
}

# mbits FROM TO ADDRESS SECONDS: what TCP carries.
mbits() {
	in_ns "$2" iperf3 -s -1 -B "$3" >/dev/null 2>&1 &
	usleep 300000
	in_ns "$1" iperf3 -c "$3" -t "$4" -f m 2>&1 | awk '/receiver/ { r = $7 } END { print r + 0 }'
}

# carry FROM TO ADDRESS BYTES: how many of them TCP has brought.
carry() {
	[ -p /run/quiet ] || mkfifo /run/quiet
	in_ns "$2" nc -l -p 7000 <>/run/quiet >/run/carried & # an input that ends would end the connection
	pid_nc=$!
	until_ok 5 in_ns "$2" grep -q ':1B58 .* 0A ' /proc/net/tcp /proc/net/tcp6
	head -c "$4" /dev/zero | in_ns "$1" nc -w 20 "$3" 7000
	until_ok 20 finished "$pid_nc" || kill "$pid_nc"
	wc -c </run/carried
}
finished() { ! kill -0 "$1"; }

# IP packets that the router of host a had to cut.
fragments() { in_ns na awk '/^Ip:/ { for (i = 1; i <= NF; i++) if ($i == "FragCreates") c = i; else if (c) v = $c } END { print v }' /proc/net/snmp; }

# count_packets NAME: what applications send into the tunnel and get from it; seen NAME KIND tells how many.
count_packets() {
	in_ns "$1" nft -f - <<-END
		table inet seen {
			counter seen_icmp { }
			counter seen_udp { }
			counter seen_tcp { }
			chain out {
				type filter hook output priority 0;
				oifname != "wt0" return
				icmp type echo-request counter name "seen_icmp"
				udp dport 7001 counter name "seen_udp"
				tcp dport 7000 tcp flags & (syn | ack) == syn counter name "seen_tcp"
			}
			chain in {
				type filter hook input priority 0;
				iifname != "wt0" return
				icmp type echo-request counter name "seen_icmp"
				udp dport 7001 counter name "seen_udp"
				tcp dport 7000 tcp flags & (syn | ack) == syn counter name "seen_tcp"
			}
		}
	END
}
seen() { in_ns "$1" nft list counter inet seen "seen_$2" | sed -n 's/.*packets \([0-9]*\) .*/\1/p'; }
more() { [ "$(seen "$1" "$2")" -gt "$3" ]; }
asleep() { in_ns "$1" wg show wt0 endpoints | grep -q '127\.64\.'; }

direct() { cli a status --detail | grep -q 'Connection type: P2P'; }
way_round() { in_ns a ip route get 198.51.2.2 mark 0x1bd00 | grep -q 'dev eth0'; }

# left SCENARIO NAME: what a network that is down has left behind (nothing, it is hoped).
left() {
	fact "$1" "left_links_$2" "$(in_ns "$2" ip -o link show | grep -c wt)"
	fact "$1" "left_tables_$2" "$(in_ns "$2" nft list tables | grep -c .)"
	fact "$1" "left_routes_$2" "$(in_ns "$2" ip route show table all | grep -c wt0)"
	fact "$1" "left_rules_$2" "$(in_ns "$2" ip rule show | grep -c fwmark)"
	fact "$1" "left_raw_$2" "$(in_ns "$2" cat /proc/net/raw /proc/net/raw6 | grep -c ' 0*:0011\|:0011 ')"
}
