#!/usr/bin/env bash
# Encodes with the programs for 32-bit MIPS in an emulator and compares with this machine's: byte for byte.
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
AVPU_MIPS_IMAGE=$(realpath "${CARGO_TARGET_DIR:-target}/mips/test-one")
export AVPU_MIPS_IMAGE
cargo test --release -p avpu-tests --test other_machines
