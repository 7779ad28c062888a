#!/usr/bin/env bash
# Compiles Debian's Lua 5.4 to a WASI module and prints its path.
set -euo pipefail
cd "$(dirname "$0")/../.."
sdk=$(scripts/wasi.sh)
. /etc/os-release
source=$(scripts/debsource.sh "${VERSION_CODENAME:-trixie}" lua5.4)/src
recipe=$(cat examples/lua/build.sh examples/lua/c/* "$source"/../debian/changelog | sha256sum | cut -c1-16)
out=${HAKO_CACHE:-$HOME/.cache/hako}/guests/lua-$recipe-${sdk##*-}.wasm
if [ ! -e "$out" ]; then
	mkdir -p "${out%/*}"
	files=()
	for f in "$source"/*.c; do
		[ "${f##*/}" = luac.c ] || files+=("$f") # the compiler alone is a program of its own
	done
	# longjmp becomes a Wasm exception in the final encoding.
	"$sdk/bin/wasi-cc" -O3 -msimd128 -mllvm -wasm-enable-sjlj -mllvm -wasm-use-legacy-eh=false \
		-D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_PROCESS_CLOCKS -Iexamples/lua/c -include wasi.h \
		"${files[@]}" examples/lua/c/wasi.c -o "$out.$$" -lsetjmp -lwasi-emulated-signal -lwasi-emulated-process-clocks >&2
	mv "$out.$$" "$out"
fi
echo "$out"
