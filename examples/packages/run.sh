#!/usr/bin/env bash
# Turns apt's package index into a database, applies the updates to it, and
# shows what Hako makes of that.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/setup.sh
hako=$PWD/bin/hako
data=$PWD/.hako
export HAKO_DATA=$data

show() {
	printf '\n\033[1m$ hako %s\033[0m\n' "$*"
	"$hako" "$@"
}

# index SUITE... prints the index files that apt has of these suites.
index() {
	apt-get indextargets --format '$(CODENAME) $(FILENAME)' 'Created-By: Packages' 'Component: main' |
		while read -r codename file; do
			for suite in "$@"; do
				[ "$codename" != "$suite" ] || echo "$file"
			done
		done | sort -u
}

command -v apt-get >/dev/null || fail "this tour uses apt's package index: run it on Debian or a system made of it"
. /etc/os-release
release=${VERSION_CODENAME:?}
if [ -z "$(index "$release")" ] || [ -z "$(index "$release-updates" "$release-security")" ]; then
	step "fetch apt's package index"
	as_root apt-get update -q
fi
mapfile -t base < <(index "$release")
mapfile -t updates < <(index "$release-updates" "$release-security")
[ ${#base[@]} -gt 0 ] || fail "apt has no package index of $release: look at its sources"
[ ${#updates[@]} -gt 0 ] || fail "apt has no package index of $release-updates or $release-security: look at its sources"

step "build"
CGO_ENABLED=0 go build -buildvcs=false -o bin/packages ./examples/packages

"$hako" db delete --yes packages >/dev/null 2>&1 || true
step "load the release into a database: version 1"
bin/packages -store "$data/store" "${base[@]}"
step "apply the updates to it: version 2"
bin/packages -store "$data/store" "${updates[@]}"

show db log packages
show db shell --mode box packages@1 "SELECT name, version FROM package WHERE name IN ('openssl', 'curl', 'linux-image-amd64', 'firefox-esr', 'tzdata') ORDER BY name"
show db shell --mode box packages "SELECT name, version FROM package WHERE name IN ('openssl', 'curl', 'linux-image-amd64', 'firefox-esr', 'tzdata') ORDER BY name"
show db diff packages@1 packages
show db stat packages

step "a guest: Go, compiled to WebAssembly"
GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 go build -buildvcs=false -o bin/sees.wasm ./examples/sees
# It sees what it is granted, and no more.
show run bin/sees.wasm /etc/passwd
show run -e GREETING=hello --dir "$PWD/docs:/docs:ro" --tmpfs /tmp --memory 64m --timeout 10s bin/sees.wasm /docs /tmp /etc/passwd

cat <<EOF

The databases are in $data. Things to try, here with \`export HAKO_DATA=$data\`:
  bin/hako db branch packages@1 before      a second database that shares the pages of version 1
  bin/hako db restore packages packages@1   version 3, equal to version 1; nothing is lost
  bin/hako db export packages@1 old.sqlite  an ordinary SQLite file
  bin/hako db verify                        is everything as it was written?
And in the shell that follows (.help lists its commands, .quit leaves it):
  SELECT name, count(*) FROM dependency GROUP BY name ORDER BY 2 DESC LIMIT 10;
  SELECT hako_at('1');                      read version 1 from now on; hako_at(NULL) ends it

EOF
exec "$hako" db shell packages
