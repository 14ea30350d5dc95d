#!/bin/bash
# linnet in one command, for root on Debian 12. ./quickstart.sh help lists the modes.
set -u
cd "$(dirname "$(readlink -f "$0")")" || exit 1

STATE=${LINNET_QUICKSTART_DIR:-/var/lib/linnet-quickstart}
PORT=${LINNET_PORT:-8080}
SOCKET=${LINNET_SOCKET:-/var/run/netbird.sock}
BUILD=build/rel

say() { printf '%s\n' "$*"; }
die() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }

usage() {
	cat <<EOF
Usage: ./quickstart.sh [MODE]

  (none)   build, start a server with a SQLite store and a STUN server, join this machine to it
  build    install what is missing and build the programs into $BUILD
  lab      show two machines behind two NAT routers reaching each other, in network namespaces
  stop     stop the server and the agent that this script started; everything is kept
  remove   stop them and delete their data ($STATE)
  help     this text

Environment: LINNET_PORT (TCP port of the server, default 8080), LINNET_EXPOSED (address that other
machines use for this one; default: the address of the default route), LINNET_QUICKSTART_DIR, LINNET_SOCKET.
EOF
}

need_root() { [ "$(id -u)" = 0 ] || die "please run as root: installing packages and making network interfaces need it."; }

build() {
	tools/install-packages build run || die "the packages for the build could not be installed (see above)."
	local log
	log=$(mktemp) || die "no temporary file could be made; is the disk full?"
	if [ ! -f $BUILD/build.ninja ]; then
		say "Configuring $BUILD"
		meson setup $BUILD --buildtype release >"$log" 2>&1 ||
			{ tail -n 20 "$log" >&2; rm -f "$log"; die "the build could not be configured."; }
	fi
	say "Building (a minute or two the first time)"
	ninja -C $BUILD linnet linnetd linnet-server linnet-upnp >"$log" 2>&1 ||
		{ grep -E 'error|FAILED' "$log" | head -20 >&2; rm -f "$log"; die "the build failed."; }
	rm -f "$log"
	for program in linnet linnetd linnet-server linnet-upnp; do
		[ -x "$BUILD/$program" ] || die "the build did not make $BUILD/$program."
	done
	say "Built: $BUILD/linnet (command line), $BUILD/linnetd (agent), $BUILD/linnet-server (server)"
}

# running NAME: is the process of the pid file ours and alive?
running() {
	local pid
	pid=$(cat "$STATE/$1.pid" 2>/dev/null) || return 1
	[ -n "$pid" ] && [ "$(readlink "/proc/$pid/exe" 2>/dev/null | sed 's/ (deleted)$//')" = "$(readlink -f "$BUILD/$1")" ]
}

# launch NAME ARGUMENT...: in a session of its own, so that it outlives this shell.
launch() {
	local name=$1
	shift
	setsid "$PWD/$BUILD/$name" "$@" </dev/null >>"$STATE/$name.log" 2>&1 &
	echo $! >"$STATE/$name.pid"
}

# end NAME: asks by its own pid, then insists.
end() {
	running "$1" || { rm -f "$STATE/$1.pid"; return 0; }
	local pid
	pid=$(cat "$STATE/$1.pid")
	kill -TERM "$pid"
	for _ in $(seq 100); do
		running "$1" || { rm -f "$STATE/$1.pid"; return 0; }
		sleep 0.1
	done
	kill -KILL "$pid"
	rm -f "$STATE/$1.pid"
}

own_address() {
	if [ -n "${LINNET_EXPOSED:-}" ]; then
		echo "$LINNET_EXPOSED"
		return
	fi
	local found
	found=$(ip -4 route get 192.0.2.1 2>/dev/null | sed -n 's/.* src \([0-9.]*\).*/\1/p' | head -1)
	[ -n "$found" ] || found=$(ip -4 -o addr show scope global up | awk '{ sub("/.*", "", $4); print $4; exit }')
	echo "${found:-127.0.0.1}"
}

# write_config: until the first machine has joined nobody depends on the file, and a new LINNET_PORT counts.
write_config() {
	if [ -f "$STATE/joined" ] && [ -f "$STATE/config.yaml" ]; then
		local port
		port=$(sed -n 's/.*listenAddress: ":\([0-9]*\)"/\1/p' "$STATE/config.yaml")
		[ "${LINNET_PORT:-$port}" = "$port" ] ||
			die "this server is set up on port $port, and its agents know it there; ./quickstart.sh remove begins anew."
		PORT=$port
		return
	fi
	(umask 077
	cat >"$STATE/config.yaml" <<EOF
# Made by quickstart.sh; the keys are those of NetBird's combined server.
server:
  listenAddress: ":$PORT"
  exposedAddress: "http://$(own_address):$PORT"
  stunPorts: [3478]
  logLevel: info
  logFile: console
  dataDir: "$STATE/data"
EOF
	) || die "the configuration could not be written to $STATE; is the disk full?"
}

exposed() { sed -n 's/.*exposedAddress: "\(.*\)"/\1/p' "$STATE/config.yaml"; }

start_server() {
	if running linnet-server; then
		say "The server runs already (pid $(cat "$STATE/linnet-server.pid"))."
		return
	fi
	$BUILD/linnet-server config check --config "$STATE/config.yaml" >/dev/null ||
		die "the configuration $STATE/config.yaml is not valid (see above)."
	launch linnet-server --config "$STATE/config.yaml"
	for _ in $(seq 100); do
		running linnet-server || {
			tail -n 1 "$STATE/linnet-server.log" >&2
			rm -f "$STATE/linnet-server.pid"
			die "the server did not start (log: $STATE/linnet-server.log). Another TCP port: LINNET_PORT=8081 ./quickstart.sh"
		}
		$BUILD/linnet-server admin --config "$STATE/config.yaml" account show >/dev/null 2>&1 &&
			{ say "The server listens on TCP port $PORT and UDP port 3478 (STUN)."; return; }
		sleep 0.1
	done
	die "the server did not answer within 10 s (log: $STATE/linnet-server.log)."
}

start_agent() {
	if running linnetd; then
		say "The agent runs already (pid $(cat "$STATE/linnetd.pid"))."
		return
	fi
	[ -c /dev/net/tun ] || die "/dev/net/tun is missing: load the module with 'modprobe tun', or give this container the device."
	launch linnetd --daemon-addr "unix://$SOCKET" --state-dir "$STATE/agent" --log-file console
	for _ in $(seq 100); do
		running linnetd || { tail -n 3 "$STATE/linnetd.log" >&2; die "the agent did not start (log: $STATE/linnetd.log)."; }
		$BUILD/linnet --daemon-addr "unix://$SOCKET" status >/dev/null 2>&1 && return
		sleep 0.1
	done
	die "the agent did not answer within 10 s (log: $STATE/linnetd.log)."
}

quickstart() {
	need_root
	build
	mkdir -p -m 0700 "$STATE" || die "the folder $STATE could not be made."
	write_config
	start_server
	start_agent
	local key="" url cli="$PWD/$BUILD/linnet"
	url=$(exposed)
	if [ ! -f "$STATE/joined" ]; then
		key=$($BUILD/linnet-server admin --config "$STATE/config.yaml" setup-key create --name quickstart --reusable \
			--expires 720h --json | sed -n 's/.*"key": *"\([^"]*\)".*/\1/p')
		[ -n "$key" ] || die "the server made no setup key (log: $STATE/linnet-server.log)."
		# By file, not by argument: the key is nobody's business in the process list.
		(umask 077 && printf '%s\n' "$key" >"$STATE/setup-key")
		"$cli" --daemon-addr "unix://$SOCKET" up --management-url "$url" --setup-key-file "$STATE/setup-key" ||
			{ rm -f "$STATE/setup-key"; die "this machine could not join (log: $STATE/linnetd.log)."; }
		rm -f "$STATE/setup-key"
		touch "$STATE/joined"
	else
		"$cli" --daemon-addr "unix://$SOCKET" up || die "this machine could not connect (log: $STATE/linnetd.log)."
	fi
	say
	"$cli" --daemon-addr "unix://$SOCKET" status
	say
	if [ -n "$key" ]; then
		say "Join the next machine (build there with ./quickstart.sh build, start build/rel/linnetd, then):"
		say "  build/rel/linnet up --management-url $url --setup-key $key"
		say "or with NetBird's agent:  netbird up --management-url $url --setup-key $key"
		say "The key is shown only now; it may be used by any number of machines for 30 days."
	else
		say "This machine has joined before. A new setup key for another one:"
		say "  $BUILD/linnet-server admin --config $STATE/config.yaml setup-key create --name NAME --reusable --expires 24h"
		say "  build/rel/linnet up --management-url $url --setup-key KEY"
	fi
	say "Stop everything: ./quickstart.sh stop     Delete everything: ./quickstart.sh remove"
}

stop_all() {
	need_root
	if running linnetd; then
		$BUILD/linnet --daemon-addr "unix://$SOCKET" down >/dev/null 2>&1 || true
	fi
	end linnetd
	end linnet-server
	say "Stopped. Start again: ./quickstart.sh     Delete the data: ./quickstart.sh remove"
}

lab() {
	need_root
	build
	tools/install-packages lab || die "the packages for the laboratory could not be installed (see above)."
	exec $BUILD/linnet lab --iperf
}

case "${1:-}" in
"") quickstart ;;
build) build ;;
lab) lab ;;
stop) stop_all ;;
remove)
	stop_all >/dev/null
	rm -rf "$STATE"
	say "Removed: $STATE. The build folder is still there: rm -rf build"
	;;
help | -h | --help) usage ;;
*)
	usage >&2
	exit 2
	;;
esac
