#!/usr/bin/env bash
# Makes php/build/php.proftext anew: how often PHP's code runs, by which
# clang compiles it. PHP is built with counters in it, a WordPress site is asked
# for pages, PHP's own benchmarks run. Wanted when PHP, clang or the patches
# change much; a profile that is older harms nothing, as clang leaves out
# functions that are not what they were.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
make -s bin/hako
php=$(PHP_COUNT=1 php/build/build.sh)
source=$(sed -n 's|^.* -I\([^ ]*/php-objects-[0-9a-f]*\)/main .*|\1/source|p' "$php/bin/php-cc")
[ -d "$source/Zend" ] || fail "PHP's source is not beside its objects"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work"/{site,bench}

step "a WordPress site"
go run ./php/build/profile -hako bin/hako -php "$php" -counts "$work/site"
step "PHP's benchmarks"
for script in bench.php micro_bench.php; do
	bin/hako run --dir "$work/bench:/profile" --dir "$source/Zend:/bench:ro" "$php/php.wasm" "/bench/$script" >/dev/null
done
merge() { llvm-profdata-22 merge -sparse "$@"; }
total() { llvm-profdata-22 show "$1" | sed -n 's/^Total count: //p'; }
merge -o "$work/site.profdata" "$work"/site/*
merge -o "$work/bench.profdata" "$work"/bench/*
# The site counts nine times as much as the benchmarks.
site=$(total "$work/site.profdata") bench=$(total "$work/bench.profdata")
say "counts: $site, $bench"
merge -text -weighted-input="$((9 * bench / site + 1)),$work/site.profdata" -weighted-input="1,$work/bench.profdata" -o "$work/text"
# What runs rarely is left out: the file stays small, and clang does not take it
# for what never runs.
awk -v least=$(($(total "$work/text") / 500000)) '
	BEGIN { RS = ""; ORS = "\n\n" }
	NR == 1 { sub(/^# IR level Instrumentation Flag\n:ir\n/, ""); printf "# IR level Instrumentation Flag\n:ir\n" }
	{ n = split($0, line, "\n"); for (i = 7; i <= n; i++) if (line[i] + 0 >= least) { print; next } }
' "$work/text" >"$work/php.proftext"
mv "$work/php.proftext" php/build/php.proftext
say "$(wc -c <php/build/php.proftext) bytes: php/build/php.proftext"
