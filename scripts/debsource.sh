#!/usr/bin/env bash
# Fetches a Debian source package, its signatures checked by apt, unpacks it
# into the cache and prints the folder:
#
#   scripts/debsource.sh trixie lua5.4
set -euo pipefail
cd "$(dirname "$0")/.."
suite=$1
package=$2
{
	. scripts/setup.sh
	cache=${HAKO_CACHE:-$HOME/.cache/hako}/sources
	dest=$cache/$suite-$package
	if [ ! -e "$dest/.unpacked" ]; then
		apt_install dpkg-source dpkg-dev
		step "source of $package from Debian $suite"
		mkdir -p "$cache"
		new=$(mktemp -d "$dest.XXXXXX")
		trap 'rm -rf "$new"' EXIT
		chmod 755 "$new" # apt's own user writes in it
		mkdir -p "$new"/apt/{lists/partial,cache/archives/partial}
		keyring=/usr/share/keyrings/debian-archive-keyring.gpg
		{
			echo "deb-src [signed-by=$keyring] http://deb.debian.org/debian $suite main"
			[ "$suite" = sid ] || echo "deb-src [signed-by=$keyring] http://deb.debian.org/debian-security $suite-security main"
		} >"$new/apt/sources.list"
		apt=(-q -o Dir::Etc::SourceList="$new/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
			-o Dir::State::Lists="$new/apt/lists" -o Dir::Cache="$new/apt/cache"
			-o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root) # a mirror may lag; the folder may be ours alone
		apt-get "${apt[@]}" update
		# The newest version that can be had: mirrors list some that they do not hold.
		got=
		for version in $(apt-cache "${apt[@]}" showsrc --only-source "$package" | sed -n 's/^Version: //p' | sort -ruV); do
			if (cd "$new" && apt-get "${apt[@]}" source --download-only "$package=$version"); then
				got=$version
				break
			fi
			say "$package $version is listed but cannot be had; looking for an older one"
			rm -f "$new/${package}_"*
		done
		[ -n "$got" ] || fail "no version of $package in Debian $suite can be downloaded"
		dsc=$(ls "$new"/*.dsc)
		dpkg-source --no-check -x "$dsc" "$new/source" # apt has checked the hashes, and their signature
		rm -rf "$new/apt"
		touch "$new/.unpacked"
		rm -rf "$dest"
		mv -T "$new" "$dest"
	fi
} >&2
echo "$dest/source"
