#!/usr/bin/env bash
# Makes the Rust toolchain for Wasm guests and prints the path of its rustc,
# which compiles for WASI as a library: Debian's compiler and standard library,
# linked by the linker of scripts/wasi.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
{
	. scripts/setup.sh
	llvm=22
	recipe=$(sha256sum scripts/rust.sh | cut -c1-16)
	bin=${HAKO_CACHE:-$HOME/.cache/hako}/rust-$recipe/wasi-rustc
	apt_install wasm-ld-$llvm lld-$llvm
	# Another rustc may be on the PATH; its standard library may lack WASI.
	apt_install /usr/bin/rustc rustc
	target=
	for name in wasm32-wasip1 wasm32-wasi; do
		[ -e /usr/lib/rustlib/$name ] && target=$name && break
	done
	if [ -z "$target" ]; then
		apt_install hako-needs-this libstd-rust-dev-wasm32
		for name in wasm32-wasip1 wasm32-wasi; do
			[ -e /usr/lib/rustlib/$name ] && target=$name && break
		done
	fi
	[ -n "$target" ] || fail "Debian's libstd-rust-dev-wasm32 has no standard library for WASI"
	if [ ! -e "$bin" ]; then
		mkdir -p "${bin%/*}"
		new=$(mktemp "$bin.XXXXXX")
		# --no-fatal-warnings: the linker is newer than the compiler, and warns of
		# the metadata in Rust's libraries.
		cat >"$new" <<-WRAP
			#!/bin/sh
			exec /usr/bin/rustc --target $target --crate-type cdylib --edition 2021 \\
				-C linker=wasm-ld-$llvm -C linker-flavor=wasm-ld -C link-arg=--no-fatal-warnings \\
				-C opt-level=3 -C codegen-units=1 -C strip=symbols "\$@"
		WRAP
		chmod 755 "$new"
		mv -T "$new" "$bin"
	fi
} >&2
echo "$bin"
