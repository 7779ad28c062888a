#!/usr/bin/env bash
# Runs PHP's own tests on PHP as WebAssembly, and those that do not pass on a
# PHP of this machine that is made of the same source. What passes there alone
# and is not in php/phpt/failing.txt is an error, and so is what is in it and
# passes.
#
#   scripts/php-tests.sh                    all of them
#   scripts/php-tests.sh -run ext/date/     those whose names match
#   scripts/php-tests.sh -keep FOLDER       and keeps what failing tests print
#
# HAKO_PHP names a folder with php.wasm and php-cgi.wasm to test.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
source=$(scripts/debsource.sh trixie php8.4)
reference=$(php/phpt/reference.sh)
CGO_ENABLED=0 GOFLAGS="${GOFLAGS-} -modfile=$(scripts/wazero.sh)" go run ./php/phpt/php-tests -source "$source" -reference "$reference" "$@"
