#!/usr/bin/env bash
# The virtual camera: the MIPS programs as they would be installed on a MIPS kernel with real device files.
#
# Usage: tests/rig/vm/run.sh [64|128]     (memory of the camera in MB)
# Needs: qemu-system-mipsel, cpio, make, gcc for mipsel, ffmpeg; see the README beside.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../../.."

ram=${1:-64}
case "$ram" in
64) kernel=46M arena=6M@0x2e00000 rmem=4M@0x3400000 start=2e00000 len=a00000 initrd=8M@0x3800000 ;;
128) kernel=75M arena=16M@0x4b00000 rmem=29M@0x5b00000 start=4b00000 len=2d00000 initrd=8M@0x7800000 ;;
*)
	echo "usage: $0 [64|128]; found '$ram'" >&2
	exit 2
	;;
esac

for program in qemu-system-mipsel cpio make mipsel-linux-gnu-gcc ffmpeg apt-get dpkg-deb; do
	if ! command -v "$program" >/dev/null; then
		echo "SKIPPED: the virtual camera: $program is not installed"
		exit
	fi
done

target=mipsel-unknown-linux-gnu
build=${CARGO_TARGET_DIR:-$PWD/target}
folder=$build/rig-vm
mkdir -p "$folder"
version=$("$here/packages.sh" "$folder/debian" | tail -n 1)
root=$folder/debian/root

# The daemon and the client as they are shipped, then what stands for the hardware.
packaging/mips/build.sh static
RUSTC_BOOTSTRAP=1 CARGO_TARGET_MIPSEL_UNKNOWN_LINUX_GNU_LINKER=mipsel-linux-gnu-gcc \
	RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,max-page-size=0x1000" \
	cargo build --profile device --target "$target" -p avpu-rig \
	-Z build-std=std,panic_abort -Z build-std-features=optimize_for_size
rm -rf "$folder/module"
cp -r "$here/../module" "$folder/module"
make -s -C "$root/usr/src/linux-headers-$version" M="$folder/module" modules
mipsel-linux-gnu-strip -g "$folder/module/avpu_rig.ko"

image=$folder/image
rm -rf "$image" "$folder/out" "$folder/serial"
mkdir -p "$image/bin" "$image/etc" "$folder/out"
cp "$root/bin/busybox" "$image/bin/"
cp -P "$build"/mips/static-one/* "$image/bin/"
for program in avpu-guest-model avpu-abi-probe avpu-old-kernel; do
	cp "$build/$target/device/$program" "$image/bin/"
done
cp "$folder/module/avpu_rig.ko" "$here/init" "$image/"
printf 'RESERVED_START=%s\nRESERVED_LEN=%s\n' "0x$start" "0x$len" >"$image/settings"
# An emulated processor encodes slowly: what a picture takes is said here, so that none is taken for lost.
printf '[device]\ncost-base-ns = 2000000000\n' >"$image/etc/avpud.conf"
(cd "$image" && find . | cpio -o -H newc -R 0:0 --quiet | gzip -1) >"$folder/initrd"

# The last mem= is where the emulator puts the first file system; the kernel takes that memory for itself afterwards.
began=$SECONDS
timeout 300 qemu-system-mipsel -M malta -cpu 24KEc -m "$ram" -display none -vga none -nic none -monitor none -no-reboot \
	-serial stdio -serial "file:$folder/serial" -kernel "$root/boot/vmlinuz-$version" -initrd "$folder/initrd" \
	-append "console=ttyS0 quiet panic=-1 rdinit=/init nokaslr mem=$kernel@0x0 avpumem=$arena rmem=$rmem mem=$initrd" \
	</dev/null | tee "$folder/console"
echo "the camera ran for $((SECONDS - began)) s"
if ! grep -q "^RIG: done" "$folder/console"; then
	echo "run.sh: expected the camera to say that all went well, found the above" >&2
	exit 1
fi

tar -x -C "$folder/out" -f "$folder/serial"
for name in main sub again; do
	ffmpeg -nostdin -v warning -xerror -f h264 -i "$folder/out/$name.h264" -fps_mode passthrough -pix_fmt yuv420p \
		-f rawvideo - >"$folder/decoded" 2>"$folder/decoder"
	if [ -s "$folder/decoder" ]; then
		cat "$folder/decoder" >&2
		exit 1
	fi
	sum=$(sha256sum <"$folder/decoded")
	if ! tr -d '\r' <"$folder/console" | grep -qx "RIG: sum $name $sum"; then
		echo "run.sh: expected $name to decode to what the model reconstructed, found $sum" >&2
		exit 1
	fi
	echo "$name: $(stat -c %s "$folder/out/$name.h264") bytes decode to the $(stat -c %s "$folder/decoded") bytes that the model reconstructed"
done
