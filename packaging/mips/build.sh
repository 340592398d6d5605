#!/usr/bin/env bash
# Builds the device image's programs for 32-bit little-endian MIPS and prints their sizes.
#
# Usage: packaging/mips/build.sh [static|dynamic]
# Needs: gcc for mipsel (Debian: gcc-mipsel-linux-gnu libc6-dev-mipsel-cross) and the toolchain's rust-src component;
# std is built from source because no prebuilt one exists for this target.
set -euo pipefail
cd "$(dirname "$0")/../.."

link=${1:-static}
target=mipsel-unknown-linux-gnu
case "$link" in
static) flags='-C target-feature=+crt-static' ;;
dynamic) flags='' ;;
*)
	echo "usage: $0 [static|dynamic]; found '$link'" >&2
	exit 2
	;;
esac

# RUSTC_BOOTSTRAP: building std is an unstable option of the stable toolchain; nothing else unstable is used.
# max-page-size: the linker's default of 64 KiB wastes memory and flash on a kernel with 4 KiB pages.
export RUSTC_BOOTSTRAP=1
export CARGO_TARGET_MIPSEL_UNKNOWN_LINUX_GNU_LINKER=mipsel-linux-gnu-gcc
export RUSTFLAGS="$flags -C link-arg=-Wl,-z,max-page-size=0x1000"
cargo build --profile device --target "$target" --no-default-features \
	-Z build-std=std,panic_abort -Z build-std-features=optimize_for_size \
	-p avpud -p avpu-client

for name in avpud avpuctl avpucat; do
	program=${CARGO_TARGET_DIR:-target}/$target/device/$name
	[ -f "$program" ] || continue
	printf '%-8s %-8s %9d bytes, %9d xz\n' "$name" "$link" "$(stat -c %s "$program")" "$(xz -9e -c "$program" | wc -c)"
done
