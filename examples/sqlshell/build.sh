#!/usr/bin/env bash
# Builds bin/sqlshell.wasm:
#     hako run --db shop bin/sqlshell.wasm /db/shop.sqlite 'SELECT hako_version()'
set -euo pipefail
cd "$(dirname "$0")/../.."
sdk=$(scripts/wasi.sh)
lib=$(sqlite/guest/build.sh)
mkdir -p bin
"$sdk/bin/wasi-cc" -O2 -I"$lib" examples/sqlshell/sqlshell.c "$lib/libhakosqlite.a" -o bin/sqlshell.wasm
echo bin/sqlshell.wasm
