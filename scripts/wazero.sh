#!/usr/bin/env bash
# Prints the name of a go.mod for go's -modfile, with which the module in FOLDER
# (this one, if none is named) is built with wazero as engine/patches/wazero
# changes it. Without it everything works too, more slowly.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
export PATH=$PATH:/usr/local/go/bin
export GOFLAGS=
folder=${1:-.}
module=github.com/tetratelabs/wazero
cache=${HAKO_CACHE:-$HOME/.cache/hako}

# field NAME prints a field of the module's description.
field() { sed -n "s/^\t\"$1\": \"\(.*\)\",\{0,1\}$/\1/p" <<<"$about"; }
about=$(cd "$folder" && go mod download -json $module)
source=$(field Dir)
patched=$cache/wazero-$({ field Version; cat engine/patches/wazero/*.patch; } | sha256sum | cut -c1-16)
if [ ! -e "$patched" ]; then
	echo "   wazero $(field Version): patches" >&2
	mkdir -p "$cache"
	new=$(mktemp -d "$patched.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	cp -r "$source/." "$new"
	chmod -R u+w "$new"
	find "$new" '(' -name testdata -o -name '*_test.go' ')' -prune -exec rm -rf {} +
	for p in "$root"/engine/patches/wazero/*.patch; do
		(cd "$new" && GIT_CEILING_DIRECTORIES=$cache git apply "$p") || {
			echo "error: $p does not fit to wazero $(field Version)" >&2
			exit 1
		}
	done
	mv -T "$new" "$patched" 2>/dev/null || rm -rf "$new" # somebody else was quicker
fi

mkdir -p bin
name=$root/bin/patched${1:+-${1//\//-}}
write() { cmp -s "$1.$$" "$1" && rm "$1.$$" || mv "$1.$$" "$1"; }
{ cat "$folder/go.mod"; printf '\nreplace %s => %s\n' $module "$patched"; } >"$name.mod.$$"
write "$name.mod"
cp "$folder/go.sum" "$name.sum.$$"
write "$name.sum"
echo "$name.mod"
