# Relayed throughput of the kernel's WireGuard, for run.py: one line of facts per measurement.
#
#	@@ MODE ROUND bytes seconds ticks-of-everything ticks-of-a ticks-of-b ticks-of-server
. /root/guest_lab.sh

lab
server
pid_server=$(pidof linnet-server)
in_ns na nft 'add table inet no; add chain inet no f { type filter hook forward priority 0; }; add rule inet no f ip protocol udp drop'

ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }
busy() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 }' /proc/stat; }
counters() { echo "$(busy) $(ticks "$pid_a") $(ticks "$pid_b") $(ticks "$pid_server")"; }

for round in 1 2 3; do
	for mode in addresses ports; do
		disabled=true
		[ "$mode" = ports ] && disabled=false
		for n in a b; do daemon "$n" NB_DISABLE_EBPF_WG_PROXY=$disabled; up "$n"; done
		addr_b=$(address b)
		until_ok 20 in_ns a ping -c 1 -W 1 "$addr_b"
		in_ns b iperf3 -s -1 -B "$addr_b" >/dev/null 2>&1 &
		usleep 300000
		before=$(counters)
		in_ns a iperf3 -c "$addr_b" -t 4 -J >/run/iperf 2>&1
		after=$(counters)
		got=$(awk '/"sum_received"/ { f = 1 } f && /"seconds"/ { s = $2 } f && /"bytes"/ { b = $2; f = 0 } END { print b + 0, s + 0 }' /run/iperf)
		fact "$mode" "$round" "$got $(echo "$before $after" | awk '{ print $5 - $1, $6 - $2, $7 - $3, $8 - $4 }')"
		fact endpoints "$mode" "$(in_ns a wg show wt0 endpoints | awk '{ print $2 }')"
		for n in a b; do cli "$n" down >/dev/null; done
		kill "$pid_a" "$pid_b"
		wait "$pid_a" "$pid_b"
	done
done
