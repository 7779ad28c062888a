#!/usr/bin/env bash
# Fetches Debian's PHP for this machine, which is made of the same source
# package and with the same libraries as ../build/build.sh makes PHP for
# WebAssembly of, as the reference of the test runner. Prints the folder that
# holds bin/php and bin/php-cgi, which load the extensions that the other has.
# Nothing is installed: they bring their own C library.
set -euo pipefail
cd "$(dirname "$0")"
export LC_ALL=C
{
	. ../../scripts/setup.sh
	cache=${HAKO_CACHE:-$HOME/.cache/hako}
	version=$(sed -n '1s/.*(\(.*\)).*/\1/p' "$(../../scripts/debsource.sh trixie php8.4)/debian/changelog")
	dest=$cache/php-reference-$({ echo "$version"; cat reference.sh; } | sha256sum | cut -c1-16)
	if [ ! -e "$dest" ]; then
		step "PHP $version for this machine"
		mkdir -p "$cache"
		new=$(mktemp -d "$dest.XXXXXX")
		trap 'rm -rf "$new"' EXIT
		chmod 755 "$new"
		apt=$new/apt
		mkdir -p "$apt"/{lists/partial,cache/archives/partial} "$new"/{root,bin}
		touch "$apt/status" # nothing is there
		signed="[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
		cat >"$apt/sources.list" <<-LIST
			deb $signed http://deb.debian.org/debian trixie main
			deb $signed http://deb.debian.org/debian-security trixie-security main
		LIST
		printf 'Package: php8.4*\nPin: version %s\nPin-Priority: 1001\n' "$version" >"$apt/preferences"
		get=(apt-get -q -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
			-o "Dir::Etc::Preferences=$apt/preferences" -o Dir::Etc::PreferencesParts=/dev/null
			-o "Dir::State::Lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o "Dir::State::status=$apt/status"
			-o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root)
		"${get[@]}" update
		packages=()
		for p in cli cgi common opcache bcmath gd mbstring mysql soap sqlite3 xml zip; do packages+=("php8.4-$p=$version"); done
		"${get[@]}" install -y --no-install-recommends --download-only "${packages[@]}"
		for deb in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$deb" "$new/root"; done
		rm -rf "$apt"

		loader=$(cd "$new/root" && ls usr/lib/*/ld-linux*.so.* | head -1)
		modules=$(cd "$new/root" && ls -d usr/lib/php/2*/)
		for extension in calendar ctype exif fileinfo ftp iconv pdo phar tokenizer dom mbstring mysqlnd bcmath gd \
			mysqli pdo_mysql pdo_sqlite simplexml soap sqlite3 sodium xml xmlreader xmlwriter zip; do
			[ ! -e "$new/root/$modules/$extension.so" ] || echo "extension=$extension"
		done >"$new/php.ini"
		echo "extension_dir=$dest/root/$modules" >>"$new/php.ini"
		ln -s "root/$modules/opcache.so" "$new/opcache.so" # for the tests that ask for it
		for program in php php-cgi; do
			cat >"$new/bin/$program" <<-WRAP
				#!/bin/sh
				export PHPRC="$dest/php.ini" PHP_INI_SCAN_DIR= GCONV_PATH="$dest/root/$(dirname "$loader")/gconv"
				exec "$dest/root/$loader" --argv0 "\$0" --library-path "$dest/root/$(dirname "$loader")" "$dest/root/usr/bin/${program}8.4" "\$@"
			WRAP
			chmod +x "$new/bin/$program"
		done
		mv -T "$new" "$dest"
	fi
} >&2
echo "$dest"
