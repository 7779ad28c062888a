#!/usr/bin/env bash
# Fetches AssemblyScript and its Proxy-Wasm SDK from npm, checked against
# their hashes, and prints the path of an asc that finds the SDK. The compiler
# is of the line that the SDK asks for.
set -euo pipefail
cd "$(dirname "$0")/.."
{
	. scripts/setup.sh
	recipe=$(sha256sum scripts/assemblyscript.sh | cut -c1-16)
	dir=${HAKO_CACHE:-$HOME/.cache/hako}/assemblyscript-$recipe
	if [ ! -e "$dir/asc" ]; then
		mkdir -p "${dir%/*}"
		new=$(mktemp -d "$dir.XXXXXX")
		trap 'rm -rf "$new"' EXIT
		while read -r package sum; do
			from=$(scripts/npm.sh "$package" "$sum")
			to=$new/node_modules/${package%@*}
			mkdir -p "${to%/*}"
			ln -s "$from" "$to"
		done <<-PACKAGES
			@solo-io/proxy-runtime@0.1.8 64293ad9aae397ae548342d916ea4247f3d611e91cc58d8973d1b25a2fb094ad
			assemblyscript@0.14.13 2d6ede9883267de2cf6146320aa4ced7e618160ff086003e6fdd4fa7f33f46ab
			binaryen@97.0.0-nightly.20200929 c0f1e130aa4513b35a4e972a12933018787fc147d6581491c4b49cbd3967c7c8
			long@4.0.0 b4bfa0f1695b39b7beb11ffe71c936528e5f34bd3969192fdc4ef1df790c95fb
		PACKAGES
		cat >"$new/asc" <<-WRAP
			#!/bin/sh
			exec node --preserve-symlinks --preserve-symlinks-main \\
				$dir/node_modules/assemblyscript/bin/asc --path $dir/node_modules --use abort=abort_proc_exit "\$@"
		WRAP
		chmod 755 "$new" "$new/asc"
		mv -T "$new" "$dir" 2>/dev/null || [ -e "$dir/asc" ] || fail "cannot move $new to $dir"
	fi
} >&2
echo "$dir/asc"
