#!/usr/bin/env bash
# Measures how fast guests run against native programs and WasmEdge. Arguments
# are passed on, such as -rounds 9 or -only sha256. Without root, WasmEdge is
# left out.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
step "tools and guests"
make -s bin/hako
sdk=$(scripts/wasi.sh)
lua=$(examples/lua/build.sh)
apt_install lua5.4 lua5.4
# SQLite's own benchmark, natively and as a guest, with the same SQLite.
cache=${HAKO_CACHE:-$HOME/.cache/hako}/bench
mkdir -p "$cache"
. /etc/os-release
speedtest=$(scripts/debsource.sh "${VERSION_CODENAME:-trixie}" sqlite3)/test/speedtest1.c
sqlite=$(cd bench && go list -m -f '{{.Dir}}' github.com/mattn/go-sqlite3)
lib=$(sqlite/guest/build.sh)
gcc -O2 -w -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -I"$lib" "$speedtest" "$sqlite/sqlite3-binding.c" -o "$cache/speedtest1" -lm
"$sdk/bin/wasi-cc" -O3 -msimd128 -w -I"$lib" -D_WASI_EMULATED_GETPID "$speedtest" "$lib/libhakosqlite.a" \
	-o "$cache/speedtest1.wasm" -lwasi-emulated-getpid
# PHP's own benchmark, on PHP of the same source.
php=${HAKO_PHP:-$(php/build/build.sh)}
reference=$(php/phpt/reference.sh)
bench=$(scripts/debsource.sh trixie php8.4)/Zend/bench.php
GOOS=wasip1 GOARCH=wasm go build -buildvcs=false -o "$cache/sees.wasm" ./examples/sees
edge=()
if [ "$(id -u)" = 0 ]; then
	edge=(-wasmedge "$(scripts/wasmedge.sh)")
fi
(cd bench && go build -buildvcs=false -o ../bin/bench-guests ./guests)
step "measure"
exec bin/bench-guests -wasi-cc "$sdk/bin/wasi-cc" -lua "$lua" -lua-native lua5.4 -php "$php/php.wasm" -php-native "$reference/bin/php" -php-bench "$bench" -start "$cache/sees.wasm" \
	-speedtest1 "$cache/speedtest1.wasm" -speedtest1-native "$cache/speedtest1" "${edge[@]}" "$@"
