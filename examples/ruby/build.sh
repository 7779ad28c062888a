#!/usr/bin/env bash
# Prints the path of Ruby 3.4 with its standard library as a Wasm module.
set -euo pipefail
cd "$(dirname "$0")/../.."
echo "$(scripts/npm.sh @ruby/3.4-wasm-wasi@2.10.1 2e709bd9eddefe1c5d63e9fc0391a35cce4754e936d8a2f24b8582f6d5c2ea88)/dist/ruby+stdlib.wasm"
