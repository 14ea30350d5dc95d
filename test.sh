#!/bin/bash
# Everything that proves linnet. ./test.sh runs all of it (root), ./test.sh quick what needs no root
# and no namespaces. Ends with the line `N passed, N failed`.
set -u
cd "$(dirname "$(readlink -f "$0")")" || exit 1
mode=${1:-all}
case "$mode" in
all | quick) ;;
-h | --help | help)
	cat <<EOF
Usage: ./test.sh [all|quick]

  all    lint, unit, vectors, fuzzing, simulation, namespaces, interop (needs root; about 35 minutes)
  quick  lint, unit, vectors, fuzz replay (no root, no namespaces; under two minutes once built)

NETBIRD_BIN and NETBIRD_SERVER_BIN name NetBird's agent and combined server: tests with them are
skipped, and say so, while these are unset. Results lie in build/results (JUnit XML of pytest, testlog.json of meson,
nat-matrix.json: how each kind of NAT reaches each other).
EOF
	exit 0
	;;
*)
	echo "test.sh: unknown mode '$mode': all or quick" >&2
	exit 2
	;;
esac

fail() {
	echo "test.sh: $*" >&2
	echo "0 passed, 1 failed"
	exit 1
}

tools/install-packages build run test lab || fail "packages are missing"
rm -rf build/results
mkdir -p build/results || fail "the folder build/results could not be made"

# configure FOLDER OPTION... [TARGET...]: an ordinary `meson setup`, once; builds the targets, or all.
configure() {
	local folder=$1 options=()
	shift
	while [ $# -gt 0 ] && [ "${1#-}" != "$1" ]; do
		options+=("$1")
		shift
	done
	[ -f "$folder/build.ninja" ] || meson setup "$folder" "${options[@]}" >build/results/setup.log 2>&1 ||
		{ tail -n 20 build/results/setup.log; fail "$folder could not be configured"; }
	ninja -C "$folder" "$@" >build/results/ninja.log 2>&1 ||
		{ grep -E 'error|warning|FAILED' build/results/ninja.log | head -30; fail "$folder could not be built"; }
}

# python_tests FOLDER NAME PATH...: pytest with the programs of a build folder, results in NAME.xml. What failed runs
# once more, alone: programs in namespaces share two processors with each other. The summary names every such test.
python_tests() {
	local folder=$1 name=$2 cache
	shift 2
	cache=build/results/cache-$name
	export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=tests/netns LINNET_BUILD=$PWD/$folder LINNET_BIN=$PWD/$folder
	export LINNET_REL=$PWD/build/rel
	/usr/bin/python3 -m pytest -q -rs -o "cache_dir=$PWD/$cache" --junitxml "build/results/$name.xml" "$@" ||
		/usr/bin/python3 -m pytest -q -rs -o "cache_dir=$PWD/$cache" --last-failed --last-failed-no-failures none \
			--junitxml "build/results/$name.again.xml" "$@"
	[ -s "build/results/$name.xml" ] || fail "pytest left no results ($name)"
}

configure build/asan -Db_sanitize=address,undefined -Dwerror=true
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1:strict_string_checks=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

suites="--suite lint --suite unit --suite fuzz"
[ "$mode" = all ] && suites="$suites --suite sim"
# shellcheck disable=SC2086
meson test -C build/asan --print-errorlogs --timeout-multiplier 5 --num-processes "$(nproc)" $suites | tail -n 60
cp build/asan/meson-logs/testlog.json build/results/meson.json 2>/dev/null || fail "meson left no results"

if [ "$mode" = all ]; then
	[ "$(id -u)" = 0 ] || fail "the namespace and interop tests need root (./test.sh quick does not)"
	# Four seconds of every fuzz target (tests/fuzz/run for longer): new code is searched a little before anybody runs it.
	CC=clang configure build/fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false fuzzers
	meson test -C build/fuzz --no-rebuild --print-errorlogs --num-processes "$(nproc)" --suite fuzzing | tail -n 40
	cp build/fuzz/meson-logs/testlog.json build/results/fuzz.json 2>/dev/null || fail "meson left no results (fuzz)"
	configure build/rel --buildtype=release linnet linnetd linnet-server linnet-upnp tests/bench/sync_load tests/interop/uwg_driver
	# Threads: the unit tests that have some, the packet path against wireguard-go, whole agents, a crowd at three relay loops.
	configure build/tsan -Db_sanitize=thread linnet linnetd linnet-server linnet-upnp tests/interop/uwg_driver \
		tests/interop/relay_crowd
	TSAN_OPTIONS=halt_on_error=1 meson test -C build/tsan --print-errorlogs --timeout-multiplier 5 --suite tsan | tail -n 20
	cp build/tsan/meson-logs/testlog.json build/results/tsan.json 2>/dev/null || fail "meson left no results (tsan)"
	TSAN_OPTIONS=halt_on_error=1 python_tests build/tsan tsan-pytest tests/interop/test_wg_wireguard_go.py \
		tests/netns/test_two_networks.py 'tests/netns/test_relay_crowd.py::test_a_thousand_peers_come_back[3]'
	python_tests build/asan pytest tests/netns tests/interop tests/guest
fi
exec /usr/bin/python3 tools/test-summary build/results
