# What the guest does, once; test_guest.py judges the facts it prints.
. /root/guest_lab.sh

lab
server
fact modules before "$(grep -c '^wireguard' /proc/modules)"

# --- linnetd in the kernel, linnetd in user space -----------------------------------------------
daemon a
daemon b NB_WG_KERNEL_DISABLED=true
up a
up b
fact modules after "$(grep -c '^wireguard' /proc/modules)"
fact mixed type_a "$(interface_type a)"
fact mixed type_b "$(interface_type b)"
fact mixed json_a "$(cli a status --json | grep -c '"usesKernelInterface": *true')"
addr_a=$(address a)
addr_b=$(address b)
first_ping mixed a "$addr_b"
in_ns b ping -c 3 -i 0.2 -W 2 "$addr_a" >/dev/null && fact mixed ping_back ok
fact mixed mbits "$(mbits a b "$addr_b" 1)"
fact mixed direct "$(cli a status --detail | grep -c 'Connection type: P2P')"
sleep 1
fact mixed handshakes "$(in_ns a wg show wt0 latest-handshakes | awk '$2 > 0' | grep -c .)"
cli b down >/dev/null
left mixed b
kill "$pid_b"
wait "$pid_b"

# --- both in the kernel, and the kernel's own tool beside them on the same path -----------------
daemon b
up b
fact kernel type_b "$(interface_type b)"
first_ping kernel a "$addr_b"
fact kernel ping_back "$(in_ns b ping -c 3 -i 0.2 -W 2 "$addr_a" >/dev/null && echo ok)"

umask 077
for n in a b; do
	wg genkey >"/run/$n/wg.key"
	wg pubkey <"/run/$n/wg.key" >"/run/$n/wg.pub"
	in_ns "$n" ip link add wg0 mtu 1280 type wireguard
done
in_ns a wg set wg0 private-key /run/a/wg.key listen-port 51999 peer "$(cat /run/b/wg.pub)" allowed-ips 10.9.0.2/32 \
	endpoint 198.51.2.2:51999 persistent-keepalive 1
in_ns b wg set wg0 private-key /run/b/wg.key listen-port 51999 peer "$(cat /run/a/wg.pub)" allowed-ips 10.9.0.1/32 \
	endpoint 198.51.1.2:51999 persistent-keepalive 1
in_ns a ip addr add 10.9.0.1/24 dev wg0
in_ns b ip addr add 10.9.0.2/24 dev wg0
in_ns a ip link set wg0 up
in_ns b ip link set wg0 up
until_ok 30 in_ns a ping -c 1 -W 1 10.9.0.2
# in turn, so that neither of them has the better half of the time
for round in kernel:1 hand:1 hand:2 kernel:2 kernel:3 hand:3; do
	case $round in
	kernel:*) fact kernel "mbits_${round#*:}" "$(mbits a b "$addr_b" 1)" ;;
	hand:*) fact hand "mbits_${round#*:}" "$(mbits a b 10.9.0.2 1)" ;;
	esac
done
in_ns a ip link del wg0
in_ns b ip link del wg0

# --- a path of 1,100 bytes between the routers ---------------------------------------------------
ip link set wa mtu 1100
in_ns na ip link set wan mtu 1100
fact narrow mtu "$(in_ns a cat /sys/class/net/wt0/mtu)"
cut_before=$(fragments)
in_ns a ping -M do -s 1252 -c 3 -i 0.2 -W 2 "$addr_b" >/dev/null && fact narrow full_ab ok
in_ns b ping -M do -s 1252 -c 3 -i 0.2 -W 2 "$addr_a" >/dev/null && fact narrow full_ba ok
in_ns a ping -M do -s 1253 -c 1 -W 1 "$addr_b" 2>&1 | grep -q 'mtu *= *1280' && fact narrow told ok
fact narrow tcp_ab "$(carry a b "$addr_b" 200000)"
fact narrow tcp_ba "$(carry b a "$addr_a" 200000)"
fact narrow fragments $(($(fragments) - cut_before))
in_ns na ip link set wan mtu 1500
ip link set wa mtu 1500

# --- a killed daemon leaves the link; the next one takes it over --------------------------------
kill -9 "$pid_a"
wait "$pid_a" 2>/dev/null
fact killed link_stays "$(in_ns a ip -o link show wt0 | grep -c wt0)"
daemon a
until_ok 20 in_ns a ping -c 1 -W 1 "$addr_b" && fact killed ping ok
in_ns a ip link del wt0
until_ok 30 in_ns a ping -c 1 -W 1 "$addr_b" && fact deleted ping ok

# --- everything routed into the tunnel does not capture the tunnel's own packets ------------------
fact marks fwmark "$(in_ns a wg show wt0 fwmark)"
for net in 0.0.0.0/1 128.0.0.0/1 198.51.2.0/24 203.0.113.1/32; do in_ns a ip route add "$net" dev wt0; done
in_ns a ip route add default dev wt0 table 7120
fact marks captured "$(in_ns a ip route get 198.51.2.2 | grep -c 'dev wt0')"
until_ok 5 way_round && fact marks way_round ok
in_ns a ping -c 3 -i 0.2 -W 2 "$addr_b" >/dev/null && fact marks ping ok
cli a peer reconnect b >/dev/null
until_ok 20 direct && in_ns a ping -c 3 -i 0.2 -W 2 "$addr_b" >/dev/null && fact marks again ok
in_ns a ip route del default dev wt0 table 7120
for net in 0.0.0.0/1 128.0.0.0/1 198.51.2.0/24 203.0.113.1/32; do in_ns a ip route del "$net" dev wt0; done

# --- asleep: the first packet of each kind calls for the peer, is late, and is not lost -----------
for n in a b; do count_packets "$n"; done
for kind in icmp udp tcp; do
	cli a down >/dev/null
	up a
	until_ok 20 asleep a && fact lazy "asleep_$kind" ok
	sent_before=$(seen a "$kind")
	got_before=$(seen b "$kind")
	case $kind in
	icmp) in_ns a ping -c 1 -W 15 "$addr_b" >/dev/null ;;
	udp) in_ns a bash -c "echo once >/dev/udp/$addr_b/7001" ;;
	tcp) fact lazy said_tcp "$(carry a b "$addr_b" 5)" ;;
	esac
	until_ok 15 more b "$kind" "$got_before" && fact lazy "arrived_$kind" ok
	fact lazy "sent_$kind" $(($(seen a "$kind") - sent_before))
	fact lazy "got_$kind" $(($(seen b "$kind") - got_before))
done
for n in a b; do in_ns "$n" nft delete table inet seen; done

# --- asleep after a while without data: both, because a says so ------------------------------------
cli a down >/dev/null
kill "$pid_a"
wait "$pid_a"
daemon a NB_LAZY_CONN_INACTIVITY_THRESHOLD=5s
up a
first_ping idle a "$addr_b"
until_ok 30 asleep a && fact idle a ok
until_ok 10 asleep b && fact idle b ok
in_ns b ping -c 1 -W 15 "$addr_a" >/dev/null && fact idle woken ok
kill "$pid_a"
wait "$pid_a"
daemon a

# --- a bad path: 300 ms and one packet in five lost --------------------------------------------
cli a down >/dev/null
for n in a b; do tc qdisc add dev "w$n" root netem delay 150ms loss 20%; done
up a
first_ping lossy a "$addr_b"
for n in a b; do tc qdisc del dev "w$n" root; done

# --- no UDP at all: by the relay; told apart by ports ---------------------------------------------
cli a down >/dev/null
kill "$pid_a"
wait "$pid_a"
in_ns na nft 'add table inet no; add chain inet no f { type filter hook forward priority 0; }; add rule inet no f ip protocol udp drop'
daemon a NB_DISABLE_EBPF_WG_PROXY=false
up a
first_ping redirect a "$addr_b"
fact redirect ping_back "$(in_ns b ping -c 5 -i 0.2 -W 2 "$addr_a" >/dev/null && echo ok)"
fact redirect program "$(in_ns a ip link show lo | grep -c 'prog/xdp')"
fact redirect endpoint "$(in_ns a wg show wt0 endpoints | grep -c '127\.0\.0\.1:')"
fact redirect fell_back "$(grep 'no XDP redirect' /run/a/log)"
fact redirect mbits "$(mbits a b "$addr_b" 1)"
cli a down >/dev/null
fact redirect left "$(in_ns a ip link show lo | grep -c 'prog/xdp')"
kill "$pid_a"
wait "$pid_a"

# --- by the relay, as always, and then not any more ----------------------------------------------
daemon a
up a
first_ping relay a "$addr_b"
fact relay ping_back "$(in_ns b ping -c 5 -i 0.2 -W 2 "$addr_a" >/dev/null && echo ok)"
fact relay relayed "$(cli a status --detail | grep -c 'Connection type: Relayed')"
fact relay endpoint "$(in_ns a wg show wt0 endpoints | grep -c '127\.1\.')"
fact relay mbits "$(mbits a b "$addr_b" 1)"
in_ns a ping -i 0.2 "$addr_b" >/run/ping-a &
pid_ping=$!
in_ns na nft delete table inet no
until_ok 60 direct && fact relay upgraded ok
sleep 2
killall -INT ping
wait "$pid_ping"
fact relay lost "$(sed -n 's/^\([0-9]*\) packets transmitted, \([0-9]*\) received.*/\1 \2/p' /run/ping-a | awk '{ print $1 - $2 }')"
fact relay endpoint_after "$(in_ns a wg show wt0 endpoints | grep -c '198\.51\.2\.2')"

cli a down >/dev/null
cli b down >/dev/null
left kernel a
left kernel b
kill "$pid_a" "$pid_b"
wait "$pid_a" "$pid_b"

# --- our device alone, against the kernel's own peer set up by hand ------------------------------
ip netns add c
ip netns add d
ip link add eth0 netns c type veth peer name eth0 netns d
for n in c d; do in_ns "$n" ip link set lo up; in_ns "$n" ip link set eth0 up; done
in_ns c ip addr add 192.0.2.1/24 dev eth0
in_ns d ip addr add 192.0.2.2/24 dev eth0
in_ns c ip addr add fd00:99::1/64 dev eth0 nodad
in_ns d ip addr add fd00:99::2/64 dev eth0 nodad
wg genpsk >/run/psk
in_ns d ip link add wg0 mtu 1280 type wireguard
in_ns d wg set wg0 private-key /run/b/wg.key listen-port 51999 peer "$(cat /run/a/wg.pub)" allowed-ips 10.9.0.1/32 \
	preshared-key /run/psk
in_ns d ip addr add 10.9.0.2/24 dev wg0
in_ns d ip link set wg0 up

# their input is descriptor 3 or 4, their lines come into /run/out-NAME
mkfifo /run/in-c /run/in-d
/usr/bin/ip netns exec c uwg_driver wgc 51000 1280 120 "$(cat /run/a/wg.key)" auto </run/in-c >/run/out-c 2>&1 &
pid_c=$!
exec 3>/run/in-c
/usr/bin/ip netns exec d uwg_driver wgd 51000 1280 120 "$(wg genkey)" auto </run/in-d >/run/out-d 2>&1 &
pid_d=$!
exec 4>/run/in-d
said() { until_ok 10 grep -q "$2" "/run/out-$1" && echo ok; }
fact driver ready_c "$(said c '^ready 51000 kernel')"
fact driver ready_d "$(said d '^ready 51000 kernel')"
in_ns c ip addr add 10.9.0.1/24 dev wgc
pub_b=$(cat /run/b/wg.pub)

# the first packet calls, waits, and leaves as soon as there is an endpoint
echo "peer $pub_b $(cat /run/psk) 0 10.9.0.2/32" >&3
usleep 100000
start=$(uptime_ms)
in_ns c ping -c 1 -W 9 10.9.0.2 >/run/ping-c &
pid_ping=$!
fact wake wanted "$(said c "^wanted $pub_b")"
echo "expect" >&3
echo "endpoint $pub_b 192.0.2.2:51999 1" >&3
wait "$pid_ping" && fact wake ping_ms $(($(uptime_ms) - start))
fact wake handshake "$(said c "^handshake $pub_b")"
echo "stats $pub_b" >&3
fact wake stats "$(said c '^stats 192.0.2.2:51999 rx=[1-9][0-9]* tx=[1-9][0-9]* handshake=1')"

# the peer moves to another port; an update does not end the session
in_ns d wg set wg0 listen-port 51998
in_ns d ping -c 1 -W 5 10.9.0.1 >/dev/null && fact roam ping ok
echo "expect" >&3
fact roam event "$(said c "^roamed $pub_b 192.0.2.2:51998")"

# STUN on the port of WireGuard, both families and both ways; and not what only looks like it
request=000100002112a442000000000000000000000000
echo "send 192.0.2.2:51000 $request" >&3
fact stun v4 "$(said d '^stun .* 192.0.2.1:51000 20 0')"
echo "send [fd00:99::2]:51000 $request" >&3
fact stun v6 "$(said d '^stun .* \[fd00:99::1\]:51000 20 0')"
wireguard=040000002112a442000000000000000000000000000000000000000000000000
echo "send 192.0.2.1:51000 $wireguard" >&4
echo "send 192.0.2.1:51000 0001000000000000$wireguard" >&4
echo "send 192.0.2.1:51000 $request" >&4
fact stun back "$(said c '^stun .* 192.0.2.2:51000 20 0')"
fact stun only "$(grep -c '^stun' /run/out-c)"
fact stun checksum_errors "$(in_ns d cat /proc/net/snmp6 | grep -c 'InCsumErrors *[1-9]')"

# a thousand peers: the kernel answers in several messages, one of which ends inside a peer
awk 'BEGIN { for (i = 0; i < 1000; i++) {
	key = sprintf("%042d", i); gsub("0", "B", key)
	printf "peer %sA= - 0 10.20.%d.%d/32\n", key, i / 250, i % 250 } }' >/run/peers
last=$(sed -n '1000s/^peer \([^ ]*\).*/\1/p' /run/peers)
in_ns c ip route add 10.20.0.0/16 dev wgc
start=$(uptime_ms)
cat /run/peers >&3
echo "stats $last" >&3
fact many stats_last "$(said c '^stats - rx=0 tx=0 handshake=0')"
fact many set_ms $(($(uptime_ms) - start))
fact many peers "$(in_ns c wg show wgc peers | grep -c .)"
in_ns c ping -c 1 -W 5 10.9.0.2 >/dev/null && fact many ping ok
in_ns c ping -c 1 -W 1 10.20.3.249 >/dev/null
fact many wanted_last "$(said c "^wanted $last")"

exec 3>&- 4>&-
wait "$pid_c" "$pid_d"
fact driver left "$(in_ns c ip -o link show type wireguard | grep -c .)"
grep -h 'ERROR\|AddressSanitizer\|Assert' /run/a/log /run/b/log /run/server.log /run/out-c /run/out-d | head -20
