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
for round in 1 2; do
	fact kernel "mbits_$round" "$(mbits a b "$addr_b" 1)"
	fact hand "mbits_$round" "$(mbits a b 10.9.0.2 1)"
done
in_ns a ip link del wg0
in_ns b ip link del wg0

# --- a killed daemon leaves the link; the next one takes it over --------------------------------
kill -9 "$pid_a"
wait "$pid_a" 2>/dev/null
fact killed link_stays "$(in_ns a ip -o link show wt0 | grep -c wt0)"
daemon a
until_ok 20 in_ns a ping -c 1 -W 1 "$addr_b" && fact killed ping ok
in_ns a ip link del wt0
until_ok 30 in_ns a ping -c 1 -W 1 "$addr_b" && fact deleted ping ok

# --- a bad path: 300 ms and one packet in five lost --------------------------------------------
cli a down >/dev/null
for n in a b; do tc qdisc add dev "w$n" root netem delay 150ms loss 20%; done
up a
first_ping lossy a "$addr_b"
for n in a b; do tc qdisc del dev "w$n" root; done

# --- no UDP at all: by the relay, and then not any more ------------------------------------------
cli a down >/dev/null
in_ns na nft 'add table inet no; add chain inet no f { type filter hook forward priority 0; }; add rule inet no f ip protocol udp drop'
up a
first_ping relay a "$addr_b"
fact relay ping_back "$(in_ns b ping -c 5 -i 0.2 -W 2 "$addr_a" >/dev/null && echo ok)"
fact relay relayed "$(cli a status --detail | grep -c 'Connection type: Relayed')"
fact relay endpoint "$(in_ns a wg show wt0 endpoints | grep -c '127\.1\.')"
fact relay mbits "$(mbits a b "$addr_b" 1)"
in_ns a ping -i 0.2 "$addr_b" >/run/ping-a &
pid_ping=$!
in_ns na nft delete table inet no
direct() { cli a status --detail | grep -q 'Connection type: P2P'; }
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
