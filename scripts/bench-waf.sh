#!/usr/bin/env bash
# Measures the firewall of examples/filters/waf as a plugin against itself
# outside of Wasm. Arguments are passed on, such as -rounds 15.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
cache=${HAKO_CACHE:-$HOME/.cache/hako}/bench
mkdir -p "$cache" bin
step "the plugin"
GOOS=wasip1 GOARCH=wasm go build -C examples/filters/waf -buildvcs=false -buildmode=c-shared -tags no_fs_access -ldflags '-s -w' -o "$cache/waf.wasm" .
ls -l "$cache/waf.wasm" | awk '{ print "  ", $5, "bytes" }'
CGO_ENABLED=0 GOFLAGS="${GOFLAGS-} -modfile=$(scripts/wazero.sh bench/waf)" go build -C bench/waf -buildvcs=false -tags no_fs_access -o ../../bin/bench-waf .
step "measure"
compiled=$(mktemp -d)
trap 'rm -rf "$compiled"' EXIT
bin/bench-waf -module "$cache/waf.wasm" -requests examples/filters/waf/testdata/requests.json -cache "$compiled" "$@"
