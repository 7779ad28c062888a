#!/usr/bin/env bash
# Runs PHP's own tests on PHP as WebAssembly and compares with what passes on a
# PHP of this machine that is built from the same source. What fails and is not
# in php/phpt/failing.txt is an error, and so is what is there and passes.
#
#   scripts/php-tests.sh                    all of them
#   scripts/php-tests.sh -run ext/date/     those whose names match
#   scripts/php-tests.sh -keep FOLDER       and keeps what failing tests print
#
# HAKO_PHP names a folder with php.wasm and php-cgi.wasm to test. The
# reference's results are kept in the cache.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
source=$(scripts/debsource.sh trixie php8.4)
reference=$(php/phpt/reference.sh)
results=$reference/results-$(cat php/phpt/{file,expect,settings,interpreter,native_unix,run}.go | sha256sum | cut -c1-16).txt
if [ ! -e "$results" ]; then
	# All of them, even if few are asked for now.
	CGO_ENABLED=0 go run ./php/phpt/php-tests -source "$source" -reference "$reference" -reference-results "$results" -reference-only
fi
CGO_ENABLED=0 go run ./php/phpt/php-tests -source "$source" -reference-results "$results" "$@"
