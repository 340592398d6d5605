#!/usr/bin/env bash
# Runs the fuzz targets for so many seconds each (30), from the corpora of the repository: tests/fuzz/run.sh [SECONDS]
#
# What cargo-fuzz does without its sanitizer, so that the pinned toolchain is enough: coverage from the compiler, the
# engine from libfuzzer-sys. What is found new stays in the build folder; a failure prints its bytes and where they lie.
set -euo pipefail
cd "$(dirname "$0")"

seconds=${1:-30}
target=${CARGO_TARGET_DIR:-../../target}/fuzz
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	--cfg fuzzing"
# With a target named, build scripts and macros are built without the flags.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --quiet --release --target "$host" --target-dir "$target"

for name in frames session; do
	found=$target/found-$name
	mkdir -p "$found"
	echo "fuzzing $name for $seconds s from $(find "corpus/$name" -type f | wc -l) inputs"
	"$target/$host/release/$name" -max_total_time="$seconds" -timeout=20 -print_final_stats=1 -verbosity=0 \
		-artifact_prefix="$found/failed-" "$found" "corpus/$name" 2>&1 | tail -12
done
