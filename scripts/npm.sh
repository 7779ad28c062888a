#!/usr/bin/env bash
# Fetches an npm package into the cache, checks it against a hash, unpacks it
# and prints the folder:
#
#   scripts/npm.sh @ruby/3.4-wasm-wasi@2.10.1 SHA256
set -euo pipefail
cd "$(dirname "$0")/.."
package=$1
sum=$2
{
	. scripts/setup.sh
	dest=${HAKO_CACHE:-$HOME/.cache/hako}/npm/${sum:0:16}
	if [ ! -e "$dest/package.json" ]; then
		apt_install npm nodejs npm
		step "$package from npm"
		mkdir -p "${dest%/*}"
		new=$(mktemp -d "$dest.XXXXXX")
		trap 'rm -rf "$new"' EXIT
		(cd "$new" && npm pack --silent "$package" >/dev/null)
		echo "$sum  $(echo "$new"/*.tgz)" | sha256sum -c --quiet || fail "$package is not what it was: its hash differs"
		tar -xzf "$new"/*.tgz -C "$new" --strip-components=1
		rm "$new"/*.tgz
		chmod 755 "$new"
		mv -T "$new" "$dest" 2>/dev/null || [ -e "$dest/package.json" ] || fail "cannot move $new to $dest"
	fi
} >&2
echo "$dest"
