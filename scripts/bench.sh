#!/usr/bin/env bash
# Measures Hako against SQLite on a plain file. Arguments are passed on, such
# as -rounds 9 or -only scan.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
cd bench
step "build"
CGO_ENABLED=0 go build -buildvcs=false -o ../bin/bench .
CGO_ENABLED=1 go build -buildvcs=false -o ../bin/bench-c .
step "measure"
exec ../bin/bench -c ../bin/bench-c "$@"
