#!/usr/bin/env bash
# Tries the archive for 32-bit MIPS in an emulator: is everything in it, and does it encode the same bytes as the programs
# for this machine?
#
# Needs what build.sh needs, and qemu-mipsel-static (Debian: qemu-user-static).
set -euo pipefail
cd "$(dirname "$0")/../.."

for program in qemu-mipsel-static mipsel-linux-gnu-gcc; do
	if ! command -v "$program" >/dev/null; then
		echo "SKIPPED: the processor of 32 bits: $program is not installed"
		exit
	fi
done
packaging/mips/build.sh test
built=$(realpath "${CARGO_TARGET_DIR:-target}/mips")

# What comes out on a camera, tried as its README and its init script use it.
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
tar -xz -C "$root" -f "$built"/avpud-*-mipsel-test.tar.gz
for name in avpud avpuctl avpucat; do
	said=$(qemu-mipsel-static -0 "$name" "$root/usr/bin/$name" -V)
	if [[ $said != "$name "[0-9]* ]]; then
		echo "$0: usr/bin/$name: expected a version of $name, found '$said'" >&2
		exit 1
	fi
done
qemu-mipsel-static "$root/usr/bin/avpud" --check-config --config "$root/etc/avpud.conf"
for file in README.avpud etc/init.d/S29avpud; do
	if ! [ -s "$root/$file" ]; then
		echo "$0: expected $file in the archive, found none" >&2
		exit 1
	fi
done
[ -x "$root/etc/init.d/S29avpud" ]

AVPU_MIPS_IMAGE=$built/test-one
export AVPU_MIPS_IMAGE
cargo test --release -p avpu-tests --test other_machines
