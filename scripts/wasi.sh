#!/usr/bin/env bash
# Makes the C toolchain for Wasm guests and prints the folder it lies in:
# bin/wasi-cc and bin/wasi-ar there are clang and ar for wasm32-wasip1 with a
# C library that has setjmp. clang, lld and llvm are Debian's; the C library
# is taken out of an npm package, checked against its published hash.
set -euo pipefail
cd "$(dirname "$0")/.."
{
	. scripts/setup.sh
	llvm=22
	libc=@yowasp/clang@22.0.0-git20542-10
	sum=6230ea1afa9691fa065935cf68c01642ff9b31c183fe8ac64cdfda025df06009
	recipe=$(sha256sum scripts/wasi.sh | cut -c1-16)
	sdk=${HAKO_CACHE:-$HOME/.cache/hako}/wasi-$recipe
	apt_install clang-$llvm clang-$llvm llvm-$llvm
	apt_install wasm-ld-$llvm lld-$llvm
	if [ ! -e /usr/lib/llvm-$llvm/lib/clang/$llvm/lib/wasi/libclang_rt.builtins-wasm32.a ]; then
		apt_install hako-needs-this libclang-rt-$llvm-dev-wasm32
	fi
	if [ ! -e "$sdk/bin/wasi-cc" ]; then
		apt_install npm nodejs npm
		mkdir -p "${sdk%/*}"
		new=$(mktemp -d "$sdk.XXXXXX")
		trap 'rm -rf "$new"' EXIT
		step "wasi-libc from npm's $libc"
		(cd "$new" && npm pack --silent "$libc" >/dev/null)
		echo "$sum  $(echo "$new"/*.tgz)" | sha256sum -c --quiet || fail "$libc is not what it was: its hash differs"
		tar -xzOf "$new"/*.tgz package/gen/llvm-resources.tar |
			tar -x -C "$new" --wildcards 'include/wasm32-wasip1*' 'lib/wasm32-wasip1*'
		rm "$new"/*.tgz
		mkdir "$new/bin"
		cat >"$new/bin/wasi-cc" <<-WRAP
			#!/bin/sh
			# --no-wasm-opt: clang would run whatever wasm-opt is on the PATH.
			exec clang-$llvm --target=wasm32-wasip1 --sysroot="$sdk" --no-wasm-opt "\$@"
		WRAP
		ln -s "$(command -v llvm-ar-$llvm)" "$new/bin/wasi-ar"
		chmod +x "$new/bin/wasi-cc"
		chmod 755 "$new"
		mv -T "$new" "$sdk" 2>/dev/null || [ -e "$sdk/bin/wasi-cc" ] || fail "cannot move $new to $sdk"
	fi
} >&2
echo "$sdk"
