#!/usr/bin/env bash
# Builds libhakosqlite.a, SQLite with Hako's VFS for Wasm guests, and prints the
# folder that holds it beside sqlite3.h and hako_sqlite.h. The amalgamation is
# taken out of a Go module, which the go command checks against its hash.
set -euo pipefail
cd "$(dirname "$0")"
export PATH=$PATH:/usr/local/go/bin
module=github.com/mattn/go-sqlite3@v1.14.53 # SQLite 3.54.1, as modernc.org/sqlite's
flags=(-O3 -msimd128)
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
new=
trap 'rm -rf ${new:+"$new"}' EXIT
hash() { sha256sum | cut -c1-16; }

# into FOLDER COMMAND makes a folder by a command that is given a new one, unless
# it is there.
into() {
	local folder=$1
	[ ! -e "$folder" ] || return 0
	mkdir -p "${folder%/*}"
	new=$(mktemp -d "$folder.XXXXXX")
	"$2" "$new"
	chmod 755 "$new"
	mv -T "$new" "$folder" 2>/dev/null || rm -rf "$new" # somebody else was quicker
}

compile_sqlite() {
	local source
	source=$(GOWORK=off GOFLAGS=-mod=mod go mod download -json $module | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')
	[ -e "$source/sqlite3-binding.c" ] || { echo "no SQLite in Go module $module" >&2; exit 1; }
	install -m 644 "$source/sqlite3-binding.h" "$1/sqlite3.h"
	"$sdk/bin/wasi-cc" "${flags[@]}" "${sqlite[@]}" -w -c "$source/sqlite3-binding.c" -o "$1/sqlite3.o"
}

compile_library() {
	local c
	install -m 644 "$object/sqlite3.h" c/hako_sqlite.h "$1"
	for c in c/*.c; do
		"$sdk/bin/wasi-cc" "${flags[@]}" -I"$object" -Ic -Wall -Werror -Wno-unused-command-line-argument \
			-c "$c" -o "$1/$(basename "$c" .c).o"
	done
	"$sdk/bin/wasi-ar" rcs "$1/libhakosqlite.a" "$object/sqlite3.o" "$1"/*.o
	rm "$1"/*.o
}

{
	sdk=$(../../scripts/wasi.sh)
	cache=${HAKO_CACHE:-$HOME/.cache/hako}
	compiler=${sdk##*/}
	object=$cache/sqlite-$(echo "$compiler" $module "${flags[@]}" "${sqlite[@]}" | hash)
	into "$object" compile_sqlite
	library=$cache/libhakosqlite-$({ echo "$compiler" "$object"; cat build.sh c/*; } | hash)
	into "$library" compile_library
} >&2
echo "$library"
