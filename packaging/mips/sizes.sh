#!/usr/bin/env bash
# Builds the device image's programs in every way and compares their sizes with SIZES.md.
#
# Usage: packaging/mips/sizes.sh [check|write]
#   check  fails where a limit is exceeded, or where a size has grown by more than 3 %: the default
#   write  puts the sizes into SIZES.md, for a commit that says what they are for
#
# Needs what build.sh needs, and xz; starts the programs where qemu-mipsel-static is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."
table=packaging/mips/SIZES.md

command=${1:-check}
case "$command" in
check | write) ;;
*)
	echo "usage: $0 [check|write]; found '$command'" >&2
	exit 2
	;;
esac

for division in each one; do
	packaging/mips/build.sh static "$division"
done
for division in each one; do
	packaging/mips/build.sh dynamic "$division"
done

built=${CARGO_TARGET_DIR:-target}/mips
# A program that does not start is small for no good reason.
if command -v qemu-mipsel-static >/dev/null; then
	for program in "$built"/{static,dynamic}-{each,one}/*; do
		name=${program##*/}
		said=$(qemu-mipsel-static -L /usr/mipsel-linux-gnu -0 "$name" "$program" -V)
		if [[ $said != "$name "[0-9]* ]]; then
			echo "$0: $program: expected a version of $name, found '$said'" >&2
			exit 1
		fi
	done
else
	echo "SKIPPED: starting the programs: qemu-mipsel-static is not installed"
fi

# size PROGRAM plain|xz
size() {
	case "$2" in
	plain) stat -c %s "$built/$1" ;;
	xz) xz -9e -c "$built/$1" | wc -c ;;
	esac
}

# row NAME DIVISION PROGRAM...: the sums over these programs, statically and dynamically linked, plain and compressed.
row() {
	local name=$1 division=$2 sums=() sum kind measure program
	shift 2
	for kind in static dynamic; do
		for measure in plain xz; do
			sum=0
			for program; do
				sum=$((sum + $(size "$kind-$division/$program" "$measure")))
			done
			sums+=("$sum")
		done
	done
	printf '| %s | %d | %d | %d | %d |\n' "$name" "${sums[@]}"
}
rows=$(
	row avpud each avpud
	row avpuctl each avpuctl
	row avpucat each avpucat
	row 'the three apart' each avpud avpuctl avpucat
	row 'one that is all three' one avpud
)
printf '| stripped, in bytes | static | static, xz | dynamic | dynamic, xz |\n%s\n' "$rows"

# figure NAME COLUMN: of what was measured now; columns as in the table, from 1.
figure() {
	awk -F ' *[|] *' -v name="$1" -v column="$2" '$2 == name { print $(column + 2) }' <<<"$rows"
}
failed=0
# limit WHAT FOUND KIB
limit() {
	if [ "$2" -gt $(($3 * 1024)) ]; then
		echo "$0: $1: expected at most $3 KiB, found $2 bytes" >&2
		failed=1
	fi
}
limit 'avpud, static' "$(figure avpud 1)" 1400
limit 'avpud, dynamic' "$(figure avpud 3)" 650
limit 'all three, static, xz' "$(figure 'one that is all three' 2)" 900

if [ "$command" = write ]; then
	awk -v rows="$rows" '
		/^[|] (avpu|the three|one that)/ && !after { if (!done) print rows; done = 1; next }
		done { after = 1 }
		{ print }' "$table" >"$table.new"
	mv "$table.new" "$table"
else
	grown=$(awk -F ' *[|] *' '
		NR == FNR { if (NF > 6) for (i = 3; i <= 6; i++) recorded[$2, i] = $i; next }
		{
			for (i = 3; i <= 6; i++) {
				if (!(($2, i) in recorded)) print $2 ": expected a line in the table, found none"
				else if ($i > recorded[$2, i] * 1.03) print $2 ": expected " recorded[$2, i] " bytes or 3 % more, found " $i
			}
		}' "$table" - <<<"$rows")
	if [ -n "$grown" ]; then
		while read -r line; do
			echo "$0: $line" >&2
		done <<<"$grown"
		echo "$0: if that is worth it: $0 write, and say in the commit what for" >&2
		failed=1
	fi
fi
exit "$failed"
