#!/usr/bin/env bash
# Builds PHP for this machine from the same source package and with the same
# extensions as ../build/build.sh does for WebAssembly, as the reference of the
# test runner, and prints the folder that holds bin/php and bin/php-cgi. It
# takes 5 minutes of processor time and is kept in the cache.
set -euo pipefail
cd "$(dirname "$0")"
export LC_ALL=C
{
	. ../../scripts/setup.sh
	cache=${HAKO_CACHE:-$HOME/.cache/hako}
	debian=$(../../scripts/debsource.sh trixie php8.4)
	configure=(
		--prefix=/usr --sysconfdir=/etc/php
		--with-config-file-path=/etc/php --with-config-file-scan-dir=/etc/php/conf.d
		--disable-all --enable-cli --enable-cgi --disable-phpdbg --without-pear
		--without-pcre-jit --disable-opcache-jit --enable-opcache
		--enable-bcmath --enable-calendar --enable-ctype --enable-dom --enable-exif
		--enable-fileinfo --enable-filter --enable-ftp --enable-gd --with-freetype
		--with-jpeg --with-webp --with-iconv --enable-mbstring --enable-mysqlnd
		--with-mysqli=mysqlnd --with-openssl --enable-pdo --with-pdo-mysql=mysqlnd
		--with-pdo-sqlite --enable-phar --enable-session --enable-simplexml --enable-soap
		--with-sodium --with-sqlite3 --enable-tokenizer --with-libxml --enable-xml
		--enable-xmlreader --enable-xmlwriter --with-zip --with-zlib
	)
	dest=$cache/php-reference-$({ sed -n '1s/.*(\(.*\)).*/\1/p' "$debian/debian/changelog"; printf '%s\n' "${configure[@]}"; } | sha256sum | cut -c1-16)
	if [ ! -e "$dest" ]; then
		for p in make pkg-config; do apt_install $p $p; done
		modules=(libxml-2.0 oniguruma libzip libsodium libwebp libpng libjpeg freetype2 openssl sqlite3 zlib)
		pkg-config --exists "${modules[@]}" || apt_install "the libraries of PHP" \
			libxml2-dev libonig-dev libzip-dev libsodium-dev libwebp-dev libpng-dev libjpeg-dev \
			libfreetype-dev libssl-dev libsqlite3-dev zlib1g-dev
		build=$(mktemp -d "$cache/php-reference.XXXXXX")
		trap 'rm -rf "$build"' EXIT
		step "PHP for this machine: configure and compile"
		cc=cc
		! command -v ccache >/dev/null || cc="ccache cc"
		(
			cd "$build"
			# Compiling is what takes the time, not the tests.
			CC=$cc CFLAGS="-O0 -w" "$debian/configure" -q "${configure[@]}" >build.log 2>&1 &&
				nice -n 10 make -j2 >>build.log 2>&1
		) || { tail -n 20 "$build/build.log"; fail "the reference PHP does not compile"; }
		mkdir -p "$build/dest/bin"
		cp "$build/sapi/cli/php" "$build/sapi/cgi/php-cgi" "$build/dest/bin"
		cp "$build/modules/opcache.so" "$build/dest" 2>/dev/null || true
		chmod 755 "$build/dest"
		mv -T "$build/dest" "$dest"
	fi
} >&2
echo "$dest"
