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
edge=()
if [ "$(id -u)" = 0 ]; then
	edge=(-wasmedge "$(scripts/wasmedge.sh)")
fi
(cd bench && go build -buildvcs=false -o ../bin/bench-guests ./guests)
step "measure"
exec bin/bench-guests -wasi-cc "$sdk/bin/wasi-cc" -lua "$lua" -lua-native lua5.4 "${edge[@]}" "$@"
