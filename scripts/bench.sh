#!/usr/bin/env bash
# Measures Hako against SQLite on a plain file. Arguments are passed on, such
# as -rounds 9 or -only scan.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
cd bench
step "build"
CGO_ENABLED=1 go build -o ../bin/bench .
step "measure"
exec ../bin/bench "$@"
