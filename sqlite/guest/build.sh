#!/usr/bin/env bash
# Builds libhakosqlite.a, SQLite with Hako's VFS for Wasm guests, and prints the
# folder that holds it beside sqlite3.h and hako_sqlite.h. The amalgamation is
# taken out of a Go module, which the go command checks against its hash.
set -euo pipefail
cd "$(dirname "$0")"
export PATH=$PATH:/usr/local/go/bin
{
	module=github.com/mattn/go-sqlite3@v1.14.53 # SQLite 3.54.1, as modernc.org/sqlite's
	sdk=$(../../scripts/wasi.sh)
	recipe=$({ echo "${sdk##*/}"; cat build.sh c/*; } | sha256sum | cut -c1-16)
	lib=${HAKO_CACHE:-$HOME/.cache/hako}/libhakosqlite-$recipe
	if [ ! -e "$lib/libhakosqlite.a" ]; then
		source=$(GOWORK=off GOFLAGS=-mod=mod go mod download -json $module | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
		[ -e "$source/sqlite3-binding.c" ] || { echo "no SQLite in module $module" >&2; exit 1; }
		mkdir -p "${lib%/*}"
		new=$(mktemp -d "$lib.XXXXXX")
		trap 'rm -rf "$new"' EXIT
		install -m 644 "$source/sqlite3-binding.c" "$new/sqlite3.c"
		install -m 644 "$source/sqlite3-binding.h" "$new/sqlite3.h"
		install -m 644 c/hako_sqlite.h "$new"
		flags=(-O3 -msimd128 -I"$new" -Ic)
		sqlite=(
			-DSQLITE_OS_OTHER=1 -DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION
			-DSQLITE_EXTRA_AUTOEXT=hako_sqlite_extend -Dsqlite3_busy_timeout=hako_plain_busy_timeout
			-DHAVE_NANOSLEEP=1 -DHAVE_LOCALTIME_R=1 -DHAVE_USLEEP=1
			# As modernc.org/sqlite's build, so that results are equal.
			-DSQLITE_DEFAULT_MEMSTATUS=0 -DSQLITE_ENABLE_COLUMN_METADATA -DSQLITE_ENABLE_DBPAGE_VTAB
			-DSQLITE_ENABLE_DBSTAT_VTAB -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_GEOPOLY
			-DSQLITE_ENABLE_MATH_FUNCTIONS -DSQLITE_ENABLE_OFFSET_SQL_FUNC
			-DSQLITE_ENABLE_PREUPDATE_HOOK -DSQLITE_ENABLE_RBU -DSQLITE_ENABLE_RTREE
			-DSQLITE_ENABLE_SESSION -DSQLITE_ENABLE_STAT4 -DSQLITE_LIKE_DOESNT_MATCH_BLOBS
			-DSQLITE_SOUNDEX
		)
		"$sdk/bin/wasi-cc" "${flags[@]}" "${sqlite[@]}" -w -c "$new/sqlite3.c" -o "$new/sqlite3.o"
		objects=("$new/sqlite3.o")
		for c in c/*.c; do
			o=$new/$(basename "$c" .c).o
			"$sdk/bin/wasi-cc" "${flags[@]}" -Wall -Werror -Wno-unused-command-line-argument -c "$c" -o "$o"
			objects+=("$o")
		done
		"$sdk/bin/wasi-ar" rcs "$new/libhakosqlite.a" "${objects[@]}"
		rm "${objects[@]}" "$new/sqlite3.c"
		chmod 755 "$new"
		mv -T "$new" "$lib" 2>/dev/null || [ -e "$lib/libhakosqlite.a" ]
	fi
} >&2
echo "$lib"
