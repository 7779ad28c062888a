#!/usr/bin/env bash
# Makes a folder with Debian sid's WasmEdge, which older releases do not have,
# for the benchmarks to compare with, and prints its path: run it there with
# chroot. Needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
{
	. scripts/setup.sh
	[ "$(id -u)" = 0 ] || fail "WasmEdge is installed in a chroot: run as root, or leave it out of the comparison"
	apt_install debootstrap debootstrap debian-archive-keyring
	root=${HAKO_CACHE:-$HOME/.cache/hako}/wasmedge-$(sha256sum scripts/wasmedge.sh | cut -c1-16)
	if [ ! -x "$root/usr/bin/wasmedge" ]; then
		step "WasmEdge from Debian sid"
		mkdir -p "${root%/*}"
		new=$(mktemp -d "$root.XXXXXX")
		chmod 755 "$new" # apt's own user reads in it
		trap 'rm -rf "$new"' EXIT
		debootstrap --variant=minbase sid "$new" http://deb.debian.org/debian
		# apt resolves what debootstrap's own --include does not.
		cp /etc/resolv.conf "$new/etc/resolv.conf"
		for conf in /etc/apt/apt.conf.d/*proxy*; do [ ! -e "$conf" ] || cp "$conf" "$new/etc/apt/apt.conf.d/"; done
		chroot "$new" apt-get -o Acquire::Check-Valid-Until=false update -q # a mirror may lag
		chroot "$new" env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends wasmedge
		rm -rf "$new"/var/cache/apt/archives "$new"/var/lib/apt/lists
		mv -T "$new" "$root"
	fi
} >&2
echo "$root"
