#!/usr/bin/env bash
# What the daemon asks of the kernel for one picture, and while nothing happens.
#
#     tests/steady-state.sh [PICTURES [IDLE_SECONDS]]
#
# Runs the daemon on the model under strace with one client that encodes and reads its own channel. After a warm-up it
# counts the system calls of PICTURES pictures, thread by thread, and says what each is for. It fails when one of the
# daemon's threads makes a call that no picture needs or makes one too often, when a picture maps memory, opens files or
# passes descriptors, or when the daemon does anything at all while channels are open, starved ones among them, and no
# picture comes, a reader does not read, and memory is in quarantine. Counts are checked; times are only printed.
set -euo pipefail
cd "$(dirname "$0")/.."

pictures=${1:-200}
idle_seconds=${2:-5}

skip() {
	echo "SKIPPED: steady state: $1"
	exit 0
}

command -v strace >/dev/null || skip "strace is not installed"
strace -f -Y -o /dev/null true 2>/dev/null || skip "strace may not trace here, or cannot name threads"

cargo build --quiet --release -p avpud -p avpu-tests --bin avpud --bin avpu-steady
programs=${CARGO_TARGET_DIR:-target}/release

folder=$(mktemp -d)
tracer='' client=''
clean_up() {
	for process in $client $(cat "$folder/pid" 2>/dev/null) $tracer; do
		kill "$process" 2>/dev/null || true
	done
	rm -rf "$folder"
}
trap clean_up EXIT

fail() {
	echo "FAILED: $1" >&2
	if [ -s "$folder/log" ]; then
		echo "the daemon's log:" >&2
		cat "$folder/log" >&2
	fi
	exit 1
}

# The shell tells the process id and then becomes the daemon. The picture body bears a slow tracer best, and pictures are
# said to cost more than a tracer makes them cost, as costing more than stated is logged.
# shellcheck disable=SC2016 # expanded by that shell
strace -f -Y -s 8 -o "$folder/trace" sh -c 'echo $$ >"$1" && shift && exec "$@"' sh "$folder/pid" \
	"$programs/avpud" --device model,pace=free --cost-base-ns 10000000 --socket "$folder/socket" \
	--source-windows 1M@0x0b000000 --raw-users "$(id -u)" --quarantine-ms never 2>"$folder/log" &
tracer=$!
for _ in $(seq 200); do
	[ ! -S "$folder/socket" ] || break
	kill -0 "$tracer" 2>/dev/null || break
	sleep 0.05
done
[ -S "$folder/socket" ] || fail "the daemon does not start"

coproc steady { "$programs/avpu-steady" "$folder/socket"; }
# The shell forgets these when the client ends.
# shellcheck disable=SC2154 # set by coproc
client=$steady_PID from_client=${steady[0]} to_client=${steady[1]}

answer() {
	local line
	read -r -t 60 line <&"$from_client" || fail "the client does not go on"
	[ "$line" = "$1" ] || fail "expected $1 from the client, found $line"
}

encode() {
	echo "$1" >&"$to_client"
	answer "done"
}

# Lines of the trace once nothing is added to it any more.
settled_lines() {
	local before=-1 lines=0
	while [ "$lines" -ne "$before" ]; do
		before=$lines
		sleep 0.5
		lines=$(wc -l <"$folder/trace")
	done
	echo "$lines"
}

# The calls that returned between two lines of the trace, each as: thread call.
returned() {
	sed -n "$(($1 + 1)),$2p" "$folder/trace" | sed -E '
		/<unfinished \.\.\.>$/d
		/^[0-9]+<[^>]*> +(---|\+\+\+)/d
		s/^[0-9]+<([^>]*)> +<\.\.\. ([a-z0-9_]+) resumed>.*/\1 \2/
		s/^[0-9]+<([^>]*)> +([a-z0-9_]+)\(.*/\1 \2/'
}

# What a picture needs. Thread, call, how often at most for one picture ("-": as often as the model likes), what for.
cat >"$folder/known" <<'END'
avpud|epoll_wait|2|the wake-up by the client's message, the wake-up by the interrupt
avpud|epoll_pwait|2|the same, where the kernel has no epoll_wait
avpud|recvmsg|1|the frame, and behind it what was read of the last packet
avpud|sendmsg|2|"accepted", at once; packet and free source, when the picture is done
avpud|clock_gettime|4|the clock, once a wake-up; no call at all where the kernel shows it to processes
avpud|pread64|-|the model: takes the command list, brings cached memory in line; on a camera ioctls
avpud|pwrite64|-|the model: brings cached memory in line
avpud|futex|-|the model: its lock, starting its thread; on a camera the ioctl that writes a register
avpud-irq|write|1|wakes the loop
avpud-irq|futex|-|the model: waits for its interrupt; on a camera one ioctl
avpu-model|pread64|-|the model: reads the picture
avpu-model|pwrite64|-|the model: writes what a camera's encoder writes by itself
avpu-model|futex|-|the model: waits for a picture
END

answer ready
encode 100
first=$(settled_lines)
start_ms=$(date +%s%3N)
encode "$pictures"
took_ms=$(($(date +%s%3N) - start_ms))
last=$(settled_lines)

echo "$pictures pictures in $took_ms ms, traced; calls that returned:"
echo
returned "$first" "$last" | sort | uniq -c >"$folder/counts"
awk -v pictures="$pictures" '
	BEGIN {
		FS = "|"
		printf "%-11s %-12s %7s %11s %8s  %s\n", "thread", "call", "count", "a picture", "at most", "what for"
	}
	NR == FNR { most[$1 " " $2] = $3; reason[$1 " " $2] = $4; next }
	{
		split($0, field, " ")
		key = field[2] " " field[3]
		verdict = ""
		if (!(key in most)) {
			verdict = "  <-- no picture needs this"
			most[key] = "0"
		} else if (most[key] != "-" && field[1] > most[key] * pictures) {
			verdict = "  <-- too many"
		}
		if (verdict != "") failed = 1
		printf "%-11s %-12s %7d %11.2f %8s  %s%s\n", field[2], field[3], field[1], field[1] / pictures, most[key],
			reason[key], verdict
	}
	END { exit failed }' "$folder/known" "$folder/counts" || fail "the daemon asks for more than a picture needs"

count() { sed -n "$((first + 1)),${last}p" "$folder/trace" | grep -cE "$1" || true; }
maps=$(count '> (mmap|mmap2|munmap|mremap|brk|mprotect)\(')
opens=$(count '> (open|openat|openat2|creat|memfd_create|close|dup|dup2|dup3)\(')
passes=$(count 'SCM_RIGHTS')
echo
echo "memory mapped: $maps, files opened or closed: $opens, descriptors passed: $passes"
[ "$((maps + opens + passes))" -eq 0 ] || fail "expected none of these for a picture"
# No count at all would pass every check above.
grep -qE "^ *$((2 * pictures)) avpud sendmsg$" "$folder/counts" || fail "expected two messages to the client a picture"

encode more
grep -q 'is in quarantine' "$folder/log" || fail "expected memory in quarantine"
before=$(settled_lines)
sleep "$idle_seconds"
after=$(wc -l <"$folder/trace")
echo "with channels open, one starved, one not read, memory in quarantine, no picture for $idle_seconds s:" \
	"$((after - before)) system calls"
[ "$after" -eq "$before" ] || {
	sed -n "$((before + 1)),${after}p" "$folder/trace" >&2
	fail "expected an idle daemon to do nothing"
}

exec {to_client}>&-
wait "$client" || fail "the client did not end well"
client=''
kill -TERM "$(cat "$folder/pid")"
wait "$tracer" || fail "the daemon did not end well"
rm "$folder/pid"
tracer=''
echo "PASS"
