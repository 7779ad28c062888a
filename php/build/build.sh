#!/usr/bin/env bash
# Builds PHP as WebAssembly from Debian's source package and prints the folder
# that holds
#
#   php.wasm        the command line
#   php-cgi.wasm    CGI
#   php-hako.wasm   the SAPI for Hako, from ../sapi, if there is one
#   bin/php-cc      compiles a C file with PHP's flags and headers
#   bin/php-link    links a SAPI's objects with PHP
#
# Everything is kept in the cache by the hash of what it is made of: each
# library, PHP's objects, and what is linked from them.
#
# With PHP_COUNT=1, they count how often their code runs, for
# scripts/php-profile.sh, which makes the profile that is used without it.
set -euo pipefail
cd "$(dirname "$0")"
build=$PWD
root=$(cd ../.. && pwd)
export PATH=$PATH:/usr/local/go/bin LC_ALL=C

optimize=(-O2 -msimd128)
flags=(
	"${optimize[@]}" -ffp-contract=off -fvisibility=hidden
	# setjmp by exceptions, in the encoding that the standard has.
	-mllvm -wasm-enable-sjlj -mllvm -wasm-use-legacy-eh=false
	-D_GNU_SOURCE -D_WASI_EMULATED_SIGNAL -D_WASI_EMULATED_MMAN
	-D_WASI_EMULATED_GETPID -D_WASI_EMULATED_PROCESS_CLOCKS -DHAKO_OPCACHE
	-Wno-unused-command-line-argument
)
# PHP itself is compiled with a profile of what it does most. Static functions
# are known by their file's name without its folder, which differs, and the
# targets of indirect calls are not counted.
counts=$build/php.proftext
# Tail calls are for its interpreter (patches/php/12-tail-calls.patch).
profile=(-mtail-call -mllvm -static-func-full-module-prefix=false -mllvm -disable-vp)
if [ -n "${PHP_COUNT-}" ]; then
	profile+=(-fprofile-generate)
else
	profile+=(-fprofile-use=php.profdata)
fi
libs=(
	-lwasi-emulated-signal -lwasi-emulated-mman -lwasi-emulated-getpid
	-lwasi-emulated-process-clocks -lsetjmp
)
# The C stack lies below the data, so that running over its end traps.
link=(
	-Wl,--stack-first -Wl,-z,stack-size=8388608 -Wl,--gc-sections
	-Wl,--strip-debug
	-Wl,--wrap=access,--wrap=chdir,--wrap=chmod,--wrap=close,--wrap=fchmod,--wrap=fopen,--wrap=fstat
	-Wl,--wrap=iconv_open,--wrap=lseek,--wrap=lstat,--wrap=rename,--wrap=stat,--wrap=symlink
)
configure=(
	--prefix=/usr --sysconfdir=/etc/php
	--with-config-file-path=/etc/php --with-config-file-scan-dir=/etc/php/conf.d
	--disable-all --disable-shared --enable-static --enable-cli --enable-cgi --disable-phpdbg
	--without-pear --without-pcre-jit --disable-fiber-asm --disable-zend-signals
	--disable-gcc-global-regs --disable-opcache # which is compiled below
	--enable-bcmath --enable-calendar --enable-ctype --enable-dom --enable-exif
	--with-mhash --enable-fileinfo --enable-filter --enable-ftp --enable-gd --with-freetype
	--with-jpeg --with-webp --with-iconv --enable-mbstring --enable-mysqlnd
	--with-mysqli=mysqlnd --with-openssl --enable-pdo --with-pdo-mysql=mysqlnd
	--with-pdo-sqlite --enable-phar --enable-session --enable-simplexml --enable-soap
	--with-sodium --with-sqlite3 --enable-tokenizer --with-libxml --enable-xml
	--enable-xmlreader --enable-xmlwriter --with-zip --with-zlib
)
# What configure would find out by running programs, and what it should not use.
answers=(
	php_cv_have_stack_limit=yes php_cv_func_getaddrinfo=yes
	php_cv_func_pread=yes php_cv_func_pwrite=yes php_cv_have_write_stdout=yes
	php_cv_iconv_errno=yes php_cv_iconv_ignore=no
	ax_cv_have_func_attribute_visibility=yes ac_cv_header_ucontext_h=yes
	ac_cv_func_fork=no ac_cv_func_vfork=no ac_cv_func_popen=no ac_cv_func_kill=no
	ac_cv_func_nice=no ac_cv_func_dup2=no ac_cv_func_socketpair=no
	ac_cv_func_getrlimit=no ac_cv_func_setitimer=no ac_cv_func_tzset=no
	ac_cv_func_mmap=no ac_cv_func_mprotect=no ac_cv_func_sigsetjmp=yes
)
opcache=(
	zend_accelerator_blacklist zend_accelerator_debug zend_accelerator_hash
	zend_accelerator_module zend_accelerator_util_funcs zend_file_cache
	zend_persist_calc zend_persist zend_shared_alloc ZendAccelerator
)

new=()
trap 'rm -rf ${new[@]+"${new[@]}"}' EXIT
hash() { sha256sum | cut -c1-16; }

# into FOLDER COMMAND... makes a folder by a command that is given a new one,
# unless it is there.
into() {
	local folder=$1 fresh
	shift
	[ ! -e "$folder" ] || return 0
	mkdir -p "${folder%/*}"
	fresh=$(mktemp -d "$folder.XXXXXX")
	new+=("$fresh")
	chmod 755 "$fresh"
	"$@" "$fresh"
	mv -T "$fresh" "$folder" 2>/dev/null || rm -rf "$fresh" # somebody else was quicker
}

# version SOURCE prints the version of a Debian source folder.
version() { sed -n '1s/.*(\(.*\)).*/\1/p' "$1/debian/changelog"; }

# wrap FILE COMMAND... writes a command that is given more arguments.
wrap() {
	local file=$1
	shift
	{ printf '#!/bin/sh\nexec'; printf ' %q' "$@"; printf ' "$@"\n'; } >"$file"
	chmod +x "$file"
}

make_tools() {
	local c
	mkdir "$1/bin"
	cp -r shim/include "$1/include"
	cat >"$1/bin/cc" <<-WRAP
		#!/bin/sh
		# Programs that look whether a function is there declare it themselves.
		case " \$* " in
		*conftest* | *CMakeTmp* | *CMakeScratch* | *CheckFunctionExists*) ;;
		*) set -- -include "$tools/include/hako_posix.h" "\$@" ;;
		esac
		# ccache, where somebody has it, spares who changes this build much time.
		which=\$(command -v ccache) && export CCACHE_BASEDIR="$cache" CCACHE_NOHASHDIR=1
		exec \$which clang-22 --target=wasm32-wasip1 --sysroot="$sdk" --no-wasm-opt ${flags[*]} -isystem "$tools/include" "\$@"
	WRAP
	cat >"$1/bin/libtool" <<-'WRAP'
		#!/bin/bash
		# libtool's compile mode, for static objects, without its quarter of a second.
		args=() out=
		while [ $# -gt 0 ]; do
			case $1 in
			--silent | --preserve-dup-deps | --tag=* | --mode=compile | -prefer-non-pic | -static) ;;
			-o) out=$2; shift; args+=(-o "${out%.lo}.o") ;;
			*) args+=("$1") ;;
			esac
			shift
		done
		"${args[@]}" && : >"$out"
	WRAP
	cat >"$1/toolchain.cmake" <<-WRAP
		set(CMAKE_SYSTEM_NAME Generic)
		set(CMAKE_SYSTEM_PROCESSOR wasm32)
		set(UNIX 1)
		set(CMAKE_C_COMPILER $tools/bin/cc)
		set(CMAKE_AR $(command -v llvm-ar-22) CACHE FILEPATH "")
		set(CMAKE_RANLIB $(command -v llvm-ranlib-22) CACHE FILEPATH "")
		set(CMAKE_EXE_LINKER_FLAGS_INIT "-L$tools/lib")
		set(CMAKE_C_STANDARD_LIBRARIES "-lhakoposix ${libs[*]}")
		set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
		set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
		set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
		set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
	WRAP
	chmod +x "$1"/bin/*
	# Checks for functions link with these; programs are linked with the newest.
	mkdir "$1/lib"
	make_posix "$1/lib" "$1/include"
}

# make_posix FOLDER HEADERS compiles what is there in place of a system.
make_posix() {
	local c
	for c in shim/*.c; do
		"$sdk/bin/wasi-cc" "${flags[@]}" -isystem "$2" -include "$2/hako_posix.h" -Wall -Werror \
			-c "$c" -o "$1/$(basename "$c" .c).o"
	done
	"$sdk/bin/wasi-ar" rcs "$1/libhakoposix.a" "$1"/*.o
	rm "$1"/*.o
}

make_source() {
	local p
	step "PHP $(version "$debian"): patches"
	cp -a "$debian/." "$1"
	for p in "$build"/patches/php/*.patch; do
		patch -d "$1" -p1 -s --no-backup-if-mismatch <"$p" || fail "$p does not fit to PHP $(version "$debian")"
	done
	perl -0777 -pi "$build/tail-calls.pl" "$1/Zend/zend_vm_execute.h"
	find "$1" -name tests -type d -prune -exec rm -rf {} +
}

# progress COUNT passes over a make's output, says how far it is and keeps the
# output in a file.
progress() {
	local n=0 line
	while IFS= read -r line; do
		printf '%s\n' "$line" >&3
		case $line in
		*--mode=compile*)
			n=$((n + 1))
			[ $((n % 25)) != 0 ] || say "$n of $1 files"
			;;
		esac
	done 3>"$2"
}

make_objects() {
	local log=$1/build.log includes count makeargs
	step "PHP $(version "$debian"): configure (a minute)"
	printf '%s\n' "${answers[@]}" >"$1/config.cache"
	ln -s "$source" "$1/source" # a name without a hash in it, for ccache
	(
		cd "$1"
		export CC="$tools/bin/cc" AR="$sdk/bin/wasi-ar" RANLIB=llvm-ranlib-22
		# Nothing is the machine's that builds.
		export PKG_CONFIG_LIBDIR=/nonexistent SQLITE_CFLAGS=-I$sqlite SQLITE_LIBS="-L$sqlite -lhakosqlite"
		export CFLAGS="${optimize[*]}" LDFLAGS="-L$tools/lib" LIBS="-lhakoposix ${libs[*]}"
		for l in "${libraries[@]}"; do
			eval "${l}_ENV"
		done
		"$1/source/configure" -q --cache-file=config.cache --build=x86_64-pc-linux-gnu \
			--host=wasm32-unknown-wasi "${configure[@]}" >"$log" 2>&1
	) || { tail -n 20 "$log"; fail "PHP's configure failed: $log"; }
	# The system is not the one that the build runs on.
	sed -i -e 's/^\(#define PHP_OS\) .*/\1 "WASI"/' -e 's/^\(#define PHP_UNAME\) .*/\1 "WASI"/' \
		-e 's/^\(#define PHP_BUILD_SYSTEM\) .*/\1 "Hako"/' "$1/main/php_config.h"
	# SQLite is not the -lsqlite3 that configure asks, and fnmatch is there.
	printf '#define HAVE_%s 1\n' SQLITE3_{COLUMN_TABLE_NAME,ERRSTR,EXPANDED_SQL} FNMATCH >>"$1/main/php_config.h"
	step "PHP $(version "$debian"): compile (8 minutes of processor time)"
	llvm-profdata-22 merge -o "$1/php.profdata" "$counts"
	makeargs=(LIBTOOL="$tools/bin/libtool" CFLAGS_CLEAN="-fno-common -w ${optimize[*]} ${profile[*]} -DP_tmpdir='\"/tmp\"'")
	rm -f "$1/objects"
	make -C "$1" -pn 2>/dev/null | sed -n 's/^PHP_GLOBAL_OBJS = //p' | head -1 | tr ' ' '\n' | sed 's/\.lo$/.o/' | grep . >"$1/objects"
	(
		cd "$1"
		all=($(sed 's/\.o$/.lo/' objects) main/internal_functions.lo main/internal_functions_cli.lo main/fastcgi.lo
			$(sed -n 's/^PHP_CLI_OBJS = //p; s/^PHP_CGI_OBJS = //p' Makefile))
		# What takes longest begins first.
		nice -n 5 make -j2 "${makeargs[@]}" ext/date/lib/parse_date.lo Zend/zend_execute.lo "${all[@]}" 2>&1 | progress ${#all[@]} "$log"
	) || { tail -n 20 "$log"; fail "PHP does not compile: $log"; }
	cat >"$1/includes" <<-LIST
		$objects/main $objects $objects/Zend $objects/TSRM $objects/source/main $objects/source
		$objects/source/Zend $objects/source/TSRM $objects/ext/date/lib $objects/source/ext/date/lib $sqlite
	LIST
	includes=$(sed "s|$objects|$1|g; s|^|-I|; s| | -I|g" "$1/includes")
	mkdir "$1/opcache"
	(
		cd "$1"
		printf '%s\n' "${opcache[@]}" | xargs -P2 -I{} "$tools/bin/cc" -w "${profile[@]}" $includes -I"$1/source/ext/opcache" \
			-c "$1/source/ext/opcache/{}.c" -o "$1/opcache/{}.o"
		"$sdk/bin/wasi-ar" rcs libphp.a $(cat objects) opcache/*.o
		find . -name '*.dep' -delete
	)
}

make_programs() {
	local l archives=() includes c profile=("${profile[@]/php.profdata/$objects/php.profdata}")
	step "PHP $(version "$debian"): link"
	mkdir "$1/bin" "$1/lib" "$1/include"
	cp "$root"/guest/c/*.h "$1/include"
	make_posix "$1/lib" "$tools/include"
	for l in "${libraries[@]}"; do
		archives+=($(ls "$(eval "echo \$$l")"/lib/*.a))
	done
	includes=$(sed 's|^|-I|; s| | -I|g' "$objects/includes")
	wrap "$1/bin/php-cc" "$tools/bin/cc" "${profile[@]}" -std=gnu23 $includes -I"$programs/include" -DZEND_ENABLE_STATIC_TSRMLS_CACHE=1
	if [ -n "${PHP_COUNT-}" ]; then
		"$tools/bin/cc" -Wall -Werror -c counters.c -o "$1/lib/counters.o"
		link+=(-Wl,--wrap=php_request_startup,--wrap=php_request_shutdown "$programs/lib/counters.o")
	fi
	{
		printf '#!/bin/sh\nexec'
		printf ' %q' "$sdk/bin/wasi-cc" "${flags[@]}" "${link[@]}"
		printf ' "$@"'
		printf ' %q' "$objects/libphp.a" "$programs/lib/libhakoposix.a" "${archives[@]}" "$sqlite/libhakosqlite.a" "${libs[@]}"
		printf '\n'
	} >"$1/bin/php-link"
	chmod +x "$1/bin/php-link"
	sed "s|$programs|$1|g" "$1/bin/php-link" >"$1/bin/link" # for this folder, which has another name yet
	sed "s|$programs|$1|g" "$1/bin/php-cc" >"$1/bin/cc"
	(
		cd "$objects"
		bash "$1/bin/link" -o "$1/php.wasm" sapi/cli/*.o main/internal_functions_cli.o
		bash "$1/bin/link" -o "$1/php-cgi.wasm" sapi/cgi/*.o main/internal_functions_cli.o main/fastcgi.o
	)
	if ls ../sapi/*.c >/dev/null 2>&1; then
		mkdir "$1/sapi"
		for c in ../sapi/*.c; do
			bash "$1/bin/cc" -Wall -Werror -c "$c" -o "$1/sapi/$(basename "$c" .c).o"
		done
		bash "$1/bin/link" -o "$1/php-hako.wasm" "$1"/sapi/*.o "$objects/main/internal_functions.o" \
			$(cat ../sapi/link.flags 2>/dev/null || echo -mexec-model=reactor -Wl,--export=__stack_pointer)
		rm -r "$1/sapi"
	fi
	rm "$1/bin/link" "$1/bin/cc"
}

{
	. "$root/scripts/setup.sh"
	. ./libraries.sh
	for p in make patch cmake pkg-config; do apt_install $p $p; done
	cache=${HAKO_CACHE:-$HOME/.cache/hako}
	sdk=$("$root/scripts/wasi.sh")
	sqlite=$("$root/sqlite/guest/build.sh")
	debian=$("$root/scripts/debsource.sh" trixie php8.4)

	tools=$cache/php-tools-$({ echo "$sdk" "${flags[@]}" "${libs[@]}"; declare -f make_tools; cat shim/include/*.h shim/include/*/*.h; } | hash)
	into "$tools" make_tools
	build_libraries

	source=$cache/php-source-$({ version "$debian"; declare -f make_source; cat patches/php/* tail-calls.pl; } | hash)
	into "$source" make_source
	objects=$cache/php-objects-$({
		echo "$source" "$tools" "$sqlite" "${configure[@]}" "${answers[@]}" "${optimize[@]}" "${opcache[@]}" "${profile[@]}"
		cat "$counts"
		for l in "${libraries[@]}"; do eval "echo \$$l"; declare -f "${l}_ENV"; done
		declare -f make_objects
	} | hash)
	into "$objects" make_objects
	programs=$cache/php-$({
		echo "$objects" "${flags[@]}" "${link[@]}" "${libs[@]}"
		[ -z "${PHP_COUNT-}" ] || cat counters.c
		declare -f make_programs make_posix
		cat shim/*.c "$root"/guest/c/*.h
		find ../sapi -type f 2>/dev/null | sort | xargs -r cat
	} | hash)
	into "$programs" make_programs
} >&2
echo "$programs"
