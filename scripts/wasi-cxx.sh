#!/usr/bin/env bash
# Makes the C++ toolchain for Wasm guests and prints the path of its compiler:
# that of scripts/wasi.sh, with the headers of the C++ library, which come from
# the same npm package. There are no exceptions and no RTTI.
set -euo pipefail
cd "$(dirname "$0")/.."
{
	. scripts/setup.sh
	package=@yowasp/clang@22.0.0-git20542-10
	sum=6230ea1afa9691fa065935cf68c01642ff9b31c183fe8ac64cdfda025df06009
	sdk=$(scripts/wasi.sh)
	recipe=$(cat scripts/wasi.sh scripts/wasi-cxx.sh | sha256sum | cut -c1-16)
	dir=${HAKO_CACHE:-$HOME/.cache/hako}/wasi-cxx-$recipe
	if [ ! -e "$dir/wasi-c++" ]; then
		from=$(scripts/npm.sh "$package" "$sum")
		new=$(mktemp -d "$dir.XXXXXX")
		trap 'rm -rf "$new"' EXIT
		tar -xf "$from/gen/llvm-resources.tar" -C "$new" include/c++
		cat >"$new/wasi-c++" <<-WRAP
			#!/bin/sh
			exec clang++-22 --target=wasm32-wasip1 --sysroot="$sdk" --no-wasm-opt -nostdinc++ \\
				-isystem $dir/include/c++/v1 -fno-exceptions -fno-rtti "\$@"
		WRAP
		chmod 755 "$new" "$new/wasi-c++"
		mv -T "$new" "$dir" 2>/dev/null || [ -e "$dir/wasi-c++" ] || fail "cannot move $new to $dir"
	fi
} >&2
echo "$dir/wasi-c++"
