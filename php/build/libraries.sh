# Sourced by build.sh: the libraries that PHP's extensions use, each from
# Debian's source package into a folder of its own. For a library NAME there are
#
#   NAME_SOURCE   suite and package
#   NAME_make     builds it: source folder, folder to install into
#   NAME_ENV      what configure of PHP is told of it
#
# and NAME itself is, once built, its folder. An earlier one may be used by a
# later one.
libraries=(ZLIB PNG JPEG WEBP FREETYPE ONIG LIBXML OPENSSL LIBZIP LIBSODIUM)

# archive FILE SOURCE FLAGS... -- FILES... compiles C files of a folder into an
# archive.
archive() {
	local file=$1 source=$2 flags=() objects
	shift 2
	while [ "$1" != -- ]; do
		flags+=("$1")
		shift
	done
	shift
	mkdir -p "${file%/*}"
	objects=$(mktemp -d "$file.XXXXXX")
	printf '%s\n' "$@" | from=$source to=$objects nice -n 5 xargs -P2 -I{} bash -c 'c={}; exec "$@" -c "$from/$c" -o "$to/${c//\//_}.o"' \
		- "$tools/bin/cc" -w "${flags[@]}"
	"$sdk/bin/wasi-ar" rcs "$file" "$objects"/*.o
	rm -r "$objects"
}

# with_cmake SOURCE FOLDER OPTIONS... builds and installs a static library.
with_cmake() {
	local source=$1 folder=$2 work log
	shift 2
	work=$(mktemp -d)
	new+=("$work")
	log=$work/build.log
	{
		cmake -S "$source" -B "$work" -DCMAKE_TOOLCHAIN_FILE="$tools/toolchain.cmake" -Wno-dev \
			-DCMAKE_BUILD_TYPE=None -DCMAKE_INSTALL_PREFIX="$folder" -DCMAKE_INSTALL_LIBDIR=lib \
			-DBUILD_SHARED_LIBS=OFF "$@" &&
			nice -n 5 make -C "$work" -j2 && make -C "$work" install
	} >"$log" 2>&1 || { tail -n 30 "$log"; fail "$source does not compile"; }
	rm -rf "$work"
}

ZLIB_SOURCE="trixie zlib"
ZLIB_make() {
	archive "$2/lib/libz.a" "$1" -DHAVE_UNISTD_H -DHAVE_HIDDEN -- adler32.c compress.c crc32.c deflate.c gzclose.c \
		gzlib.c gzread.c gzwrite.c infback.c inffast.c inflate.c inftrees.c trees.c uncompr.c zutil.c
	install -D -m 644 -t "$2/include" "$1/zlib.h" "$1/zconf.h"
}
ZLIB_ENV() { export ZLIB_CFLAGS=-I$ZLIB/include ZLIB_LIBS="-L$ZLIB/lib -lz"; }

PNG_SOURCE="trixie libpng1.6"
PNG_make() {
	install -D -m 644 -t "$2/include" "$1/png.h" "$1/pngconf.h"
	install -m 644 "$1/scripts/pnglibconf.h.prebuilt" "$2/include/pnglibconf.h"
	archive "$2/lib/libpng.a" "$1" -I"$2/include" -I"$ZLIB/include" -- png.c pngerror.c pngget.c pngmem.c pngpread.c \
		pngread.c pngrio.c pngrtran.c pngrutil.c pngset.c pngtrans.c pngwio.c pngwrite.c pngwtran.c pngwutil.c
}
PNG_ENV() { export PNG_CFLAGS=-I$PNG/include PNG_LIBS="-L$PNG/lib -lpng"; }

JPEG_SOURCE="bookworm libjpeg-turbo" # trixie has the same version
JPEG_make() {
	with_cmake "$1" "$2" -DCMAKE_INSTALL_LIBDIR="$2/lib" -DENABLE_SHARED=OFF -DWITH_SIMD=OFF -DWITH_TURBOJPEG=OFF -DWITH_JPEG8=ON
	rm -rf "$2/bin" "$2/share"
}
JPEG_ENV() { export JPEG_CFLAGS=-I$JPEG/include JPEG_LIBS="-L$JPEG/lib -ljpeg"; }

WEBP_SOURCE="trixie libwebp"
WEBP_make() {
	with_cmake "$1" "$2" -DWEBP_ENABLE_SIMD=OFF -DWEBP_USE_THREAD=OFF -DWEBP_BUILD_ANIM_UTILS=OFF -DWEBP_BUILD_CWEBP=OFF \
		-DWEBP_BUILD_DWEBP=OFF -DWEBP_BUILD_GIF2WEBP=OFF -DWEBP_BUILD_IMG2WEBP=OFF -DWEBP_BUILD_VWEBP=OFF \
		-DWEBP_BUILD_WEBPINFO=OFF -DWEBP_BUILD_WEBPMUX=OFF -DWEBP_BUILD_LIBWEBPMUX=OFF -DWEBP_BUILD_EXTRAS=OFF
	rm -rf "$2/share"
}
WEBP_ENV() { export WEBP_CFLAGS=-I$WEBP/include WEBP_LIBS="-L$WEBP/lib -lwebp -lsharpyuv"; }

FREETYPE_SOURCE="trixie freetype"
FREETYPE_make() {
	with_cmake "$1" "$2" -DFT_DISABLE_BZIP2=TRUE -DFT_DISABLE_HARFBUZZ=TRUE -DFT_DISABLE_BROTLI=TRUE -DFT_REQUIRE_ZLIB=TRUE \
		-DFT_REQUIRE_PNG=TRUE -DZLIB_INCLUDE_DIR="$ZLIB/include" -DZLIB_LIBRARY="$ZLIB/lib/libz.a" \
		-DPNG_PNG_INCLUDE_DIR="$PNG/include" -DPNG_LIBRARY="$PNG/lib/libpng.a"
}
FREETYPE_ENV() { export FREETYPE2_CFLAGS=-I$FREETYPE/include/freetype2 FREETYPE2_LIBS="-L$FREETYPE/lib -lfreetype"; }

ONIG_SOURCE="trixie libonig"
ONIG_make() { with_cmake "$1" "$2" -DENABLE_POSIX_API=OFF -DBUILD_TEST=OFF; }
ONIG_ENV() { export ONIG_CFLAGS=-I$ONIG/include ONIG_LIBS="-L$ONIG/lib -lonig"; }

LIBXML_SOURCE="trixie libxml2"
LIBXML_make() {
	with_cmake "$1" "$2" -DLIBXML2_WITH_PYTHON=OFF -DLIBXML2_WITH_PROGRAMS=OFF -DLIBXML2_WITH_TESTS=OFF -DLIBXML2_WITH_LZMA=OFF \
		-DLIBXML2_WITH_THREADS=OFF -DLIBXML2_WITH_FTP=OFF -DLIBXML2_WITH_HTTP=OFF -DLIBXML2_WITH_MODULES=OFF \
		-DLIBXML2_WITH_ICONV=ON -DIconv_IS_BUILT_IN=ON -DHAVE_PTHREAD_H=OFF -DLIBXML2_WITH_ZLIB=OFF
}
LIBXML_ENV() { export LIBXML_CFLAGS=-I$LIBXML/include/libxml2 LIBXML_LIBS="-L$LIBXML/lib -lxml2"; }

LIBZIP_SOURCE="bookworm libzip"
LIBZIP_make() {
	with_cmake "$1" "$2" -DENABLE_COMMONCRYPTO=OFF -DENABLE_GNUTLS=OFF -DENABLE_MBEDTLS=OFF -DENABLE_OPENSSL=ON \
		-DENABLE_BZIP2=OFF -DENABLE_LZMA=OFF -DENABLE_ZSTD=OFF -DBUILD_TOOLS=OFF -DBUILD_REGRESS=OFF -DBUILD_EXAMPLES=OFF \
		-DOPENSSL_INCLUDE_DIR="$OPENSSL/include" -DOPENSSL_CRYPTO_LIBRARY="$OPENSSL/lib/libcrypto.a" -DOPENSSL_SSL_LIBRARY="$OPENSSL/lib/libssl.a" \
		-DBUILD_DOC=OFF -DZLIB_INCLUDE_DIR="$ZLIB/include" -DZLIB_LIBRARY="$ZLIB/lib/libz.a"
}
LIBZIP_ENV() { export LIBZIP_CFLAGS=-I$LIBZIP/include LIBZIP_LIBS="-L$LIBZIP/lib -lzip"; }

LIBSODIUM_SOURCE="trixie libsodium"
LIBSODIUM_make() {
	local s=$1/src/libsodium
	mkdir -p "$2/include"
	cp -r "$s/include/sodium" "$s/include/sodium.h" "$2/include"
	sed -e 's/@VERSION@/1.0.18/' -e 's/@SODIUM_LIBRARY_VERSION_MAJOR@/10/' -e 's/@SODIUM_LIBRARY_VERSION_MINOR@/3/' \
		-e 's/@SODIUM_LIBRARY_MINIMAL_DEF@//' "$s/include/sodium/version.h.in" >"$2/include/sodium/version.h"
	archive "$2/lib/libsodium.a" "$s" -DCONFIGURED=1 -DNATIVE_LITTLE_ENDIAN=1 -DHAVE_WEAK_SYMBOLS=1 -D__wasi__=1 \
		-I"$2/include" -I"$2/include/sodium" -- $(cd "$s" && find . -name '*.c' | sort | sed 's|^\./||')
}
LIBSODIUM_ENV() { export LIBSODIUM_CFLAGS=-I$LIBSODIUM/include LIBSODIUM_LIBS="-L$LIBSODIUM/lib -lsodium"; }

OPENSSL_SOURCE="trixie openssl"
OPENSSL_make() {
	local work log
	work=$(mktemp -d)
	new+=("$work")
	log=$work/build.log
	cp -a "$1/." "$work"
	(
		cd "$work"
		export CC="$tools/bin/cc" AR="$sdk/bin/wasi-ar" RANLIB=llvm-ranlib-22
		export CFLAGS="-O2 -w -U_GNU_SOURCE" # its strerror_r is that of POSIX
		./Configure linux-generic32 no-asm no-pic no-threads no-dso no-engine no-shared no-tests no-apps no-docs no-async no-afalgeng \
			no-ui-console no-secure-memory no-module no-legacy no-quic no-cmp no-padlockeng no-ktls --with-rand-seed=getrandom -DNO_SYSLOG \
			--prefix="$2" --libdir=lib --openssldir=/etc/ssl &&
			nice -n 5 make -j2 build_generated libcrypto.a libssl.a
	) >"$log" 2>&1 || { tail -n 30 "$log"; fail "openssl does not compile"; }
	install -D -m 644 -t "$2/lib" "$work/libcrypto.a" "$work/libssl.a"
	mkdir -p "$2/include"
	cp -r "$work/include/openssl" "$2/include"
	rm -rf "$work"
}
OPENSSL_ENV() { export OPENSSL_CFLAGS=-I$OPENSSL/include OPENSSL_LIBS="-L$OPENSSL/lib -lssl -lcrypto"; }

# build_libraries builds each library that is not in the cache.
build_libraries() {
	local l earlier source wanted folder recipe
	for l in "${libraries[@]}"; do
		wanted=${l}_SOURCE
		source=$("$root/scripts/debsource.sh" ${!wanted})
		recipe=$(declare -f archive with_cmake "${l}_make")
		for earlier in "${libraries[@]}"; do # those that it uses
			[[ $recipe != *"\$$earlier/"* ]] || recipe+=${!earlier}
		done
		folder=$cache/php-${!wanted#* }-$(echo "$tools $(version "$source") $recipe" | hash)
		[ -e "$folder" ] || step "library ${!wanted#* } $(version "$source")"
		into "$folder" "${l}_make" "$source"
		printf -v "$l" %s "$folder"
	done
}
