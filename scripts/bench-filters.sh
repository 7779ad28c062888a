#!/usr/bin/env bash
# Measures Proxy-Wasm plugins: what a callback costs in C and Go against the
# same outside of Wasm, what a chain of filters costs for a request, and what the
# checks for deadlines cost. Arguments are passed on, such as -rounds 15. What
# filters cost in the whole proxy is a case of scripts/bench-serve.sh -only filters.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
cache=${HAKO_CACHE:-$HOME/.cache/hako}/bench-filters
mkdir -p "$cache" bin
step "plugins"
sdk=$(scripts/wasi.sh)
cc() { "$sdk/bin/wasi-cc" -O3 -msimd128 -mexec-model=reactor -Iguest/c "$@"; }
cc proxywasm/testdata/c/lookups.c -o "$cache/lookups.wasm"
cc bench/filters/plugin/scan.c -o "$cache/scan.wasm"
GOOS=wasip1 GOARCH=wasm go build -C proxywasm/testdata/go -buildvcs=false -buildmode=c-shared -o "$cache/go.wasm" .
(cd bench && CGO_ENABLED=0 GOFLAGS="${GOFLAGS-} -modfile=$(../scripts/wazero.sh bench)" go build -buildvcs=false -o ../bin/bench-filters ./filters)
step "measure"
exec bin/bench-filters -c "$cache/lookups.wasm" -go "$cache/go.wasm" -scan "$cache/scan.wasm" "$@"
