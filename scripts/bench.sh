#!/usr/bin/env bash
# Measures Hako against SQLite on a plain file. Arguments are passed on, such
# as -rounds 9 or -only scan. With -quick, all the benchmarks of databases and
# serving are run for a moment, to see that they run.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
cd bench
step "build"
CGO_ENABLED=0 go build -buildvcs=false -o ../bin/bench .
CGO_ENABLED=1 go build -buildvcs=false -o ../bin/bench-c .
step "measure"
../bin/bench -c ../bin/bench-c "$@"
case " $* " in
*" -quick "*) ../scripts/bench-serve.sh -quick ;; # which else is run by itself
esac
