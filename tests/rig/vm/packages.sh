#!/usr/bin/env bash
# Fetches and unpacks what the virtual camera is made of: Debian's kernel for the malta board (32-bit little-endian MIPS),
# its headers, and busybox.
#
# Usage: packages.sh FOLDER
# Packages are found by name through the system's own package sources, with lists of their own below FOLDER: nothing is
# installed and no list of the system changes. What is there already is kept; a new FOLDER gets what is current.
# Prints the kernel's version.
set -euo pipefail

folder=${1:?usage: packages.sh FOLDER}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
if [ -f "$folder/version" ]; then
	cat "$folder/version"
	exit
fi

host=$(dpkg --print-architecture)
state=$folder/apt
rm -rf "$folder/debs" "$folder/root"
mkdir -p "$state/lists/partial" "$state/cache/archives/partial" "$folder/debs" "$folder/root"
touch "$state/status"
options=(-q -o "APT::Architecture=$host" -o "APT::Architectures::=$host" -o APT::Architectures::=mipsel
	-o "Dir::State=$state" -o "Dir::State::lists=$state/lists" -o "Dir::State::status=$state/status"
	-o "Dir::Cache=$state/cache" -o "Dir::Cache::archives=$state/cache/archives"
	-o "APT::Sandbox::User=$(id -un)")
apt-get "${options[@]}" update >&2

# The package without a version in its name depends on the one that has it.
image=$(apt-cache "${options[@]}" depends linux-image-4kc-malta:mipsel |
	sed -n 's/.*Depends: \(linux-image-[0-9].*-4kc-malta\):mipsel/\1/p' | head -n 1)
if [ -z "$image" ]; then
	echo "packages.sh: expected linux-image-4kc-malta for mipsel in the package sources (Debian 12 or older), found none" >&2
	exit 1
fi
version=${image#linux-image-}
common=linux-headers-${version%-4kc-malta}-common
kbuild=$(apt-cache "${options[@]}" depends "linux-headers-$version:mipsel" |
	sed -n 's/.*\(linux-kbuild-[0-9.]*\).*/\1/p' | head -n 1)
(cd "$folder/debs" && apt-get "${options[@]}" download "$image:mipsel" "linux-headers-$version:mipsel" "$common:all" \
	"$kbuild:$host" busybox-static:mipsel >&2)
for package in "$folder"/debs/*.deb; do
	dpkg-deb -x "$package" "$folder/root"
done
rm -rf "$folder/debs" "$state"

# The headers expect to be installed: name them where they are, and the compiler by its cross name.
headers=$folder/root/usr/src/linux-headers-$version
echo "include $folder/root/usr/src/$common/Makefile" >"$headers/Makefile"
printf 'override ARCH = mips\noverride KERNELRELEASE = %s\noverride CROSS_COMPILE = mipsel-linux-gnu-\nCC = mipsel-linux-gnu-gcc\n' \
	"$version" >"$headers/.kernelvariables"
echo "$version" | tee "$folder/version"
