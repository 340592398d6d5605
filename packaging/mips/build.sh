#!/usr/bin/env bash
# Builds avpud, avpuctl and avpucat for 32-bit little-endian MIPS and writes an archive to unpack on a camera.
#
# Usage: packaging/mips/build.sh [static|dynamic|test] [one|each]
#   static   for any camera, whatever its C library: the default
#   dynamic  for a system with glibc
#   test     static, and with the software model and the demo: for emulators and for trying things on a camera
#   one      one program that is all three, by the name it is called with, and the archive: the default
#   each     three programs, which together take more than twice the space
#
# Writes target/mips/<static|dynamic|test>-<one|each>/ and target/mips/avpud-VERSION-mipsel-<static|dynamic|test>.tar.gz.
# Needs: gcc for mipsel (Debian: gcc-mipsel-linux-gnu libc6-dev-mipsel-cross) and the toolchain's rust-src component;
# std is built from source because no prebuilt one exists for this target. That target has no 64-bit atomics: whatever
# uses one does not compile here.
set -euo pipefail
cd "$(dirname "$0")/../.."
here=packaging/mips

usage() {
	echo "usage: $0 [static|dynamic|test] [one|each]; found '$*'" >&2
	exit 2
}
kind=${1:-static} division=${2:-one}
case "$kind-$division" in
static-one | dynamic-one | test-one | static-each | dynamic-each | test-each) ;;
*) usage "$@" ;;
esac
[ $# -le 2 ] || usage "$@"

target=mipsel-unknown-linux-gnu
flags=()
# Position-independent code is a sixth larger on MIPS: flash counts for more here than an address that nobody can guess.
flags+=(-C relocation-model=static)
[ "$kind" = dynamic ] || flags+=(-C target-feature=+crt-static)
# A panic ends the program with a message and is never unwound, so that tables for unwinding are dead weight.
flags+=(-C force-unwind-tables=no)
# The linker's default of 64 KiB wastes memory and flash on a kernel with 4 KiB pages.
flags+=(-C "link-arg=-Wl,-z,max-page-size=0x1000")
# Where a panic was, in words that are short and the same on every machine.
flags+=("--remap-path-prefix=$(rustc --print sysroot)/lib/rustlib/src/rust/library=rust")
for registry in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*; do
	flags+=("--remap-path-prefix=$registry=crates")
done
separator=$(printf '\037')

built=${CARGO_TARGET_DIR:-target}
out=$built/mips/$kind-$division
rm -rf "$out"
mkdir -p "$out"

# compile ARGUMENT...: the programs that cargo's arguments name, into $out.
compile() {
	# RUSTC_BOOTSTRAP: building std is an unstable option of the stable toolchain; nothing else unstable is used.
	CARGO_ENCODED_RUSTFLAGS=$(
		IFS=$separator
		echo "${flags[*]}"
	) RUSTC_BOOTSTRAP=1 CARGO_TARGET_MIPSEL_UNKNOWN_LINUX_GNU_LINKER=mipsel-linux-gnu-gcc \
		cargo build --profile device --target "$target" -Z build-std=std,panic_abort \
		-Z build-std-features=optimize_for_size --no-default-features "$@"
}
take() {
	for name; do
		cp "$built/$target/device/$name" "$out/$name"
	done
}

features=
[ "$kind" != test ] || features=model,demo
if [ "$division" = each ]; then
	compile -p avpud --features "$features"
	take avpud
	compile -p avpu-client --features tools
	take avpuctl avpucat
else
	compile -p avpud --features "tools,$features"
	take avpud
	ln -s avpud "$out/avpuctl"
	ln -s avpud "$out/avpucat"

	version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
	name=avpud-$version-mipsel-$kind
	image=$built/mips/image
	rm -rf "$image"
	mkdir -p "$image/usr/bin" "$image/etc/init.d"
	cp -P "$out"/* "$image/usr/bin/"
	# What goes to the standard error stream is lost there.
	sed 's/^#log-format = text$/log-format = syslog/' packaging/avpud.conf >"$image/etc/avpud.conf"
	grep -qx 'log-format = syslog' "$image/etc/avpud.conf"
	chmod 644 "$image/etc/avpud.conf"
	install -m 755 packaging/init/S29avpud "$image/etc/init.d/S29avpud"
	install -m 644 "$here/README" "$image/README.avpud"
	rm -f "$built"/mips/avpud-*-"mipsel-$kind.tar.gz"
	# The same input gives the same archive: names in order, no owner, no date of today.
	tar -c --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$image" README.avpud etc usr |
		gzip -9n >"$built/mips/$name.tar.gz"
	rm -rf "$image"
	printf '%s: %d bytes\n' "$built/mips/$name.tar.gz" "$(stat -c %s "$built/mips/$name.tar.gz")"
fi

for program in "$out"/*; do
	[ ! -L "$program" ] || continue
	printf '%-8s %-7s %-4s %9d bytes, %9d xz\n' "${program##*/}" "$kind" "$division" \
		"$(stat -c %s "$program")" "$(xz -9e -c "$program" | wc -c)"
done
