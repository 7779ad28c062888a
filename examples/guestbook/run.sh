#!/usr/bin/env bash
# Serves the guestbook and shows what its database remembers: posts, looks at
# the log, opens an older page, branches, restores. On a terminal it then keeps
# serving until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/setup.sh
. scripts/tour.sh
apt_install curl curl ca-certificates
hako=$PWD/bin/hako
export HAKO_DATA=$PWD/.hako

# words prints what was written in a page on standard input.
words() {
	awk -F '</?strong>' '
		/^<article><header>/ { name = $2 }
		/^<p>.*<\/p><\/article>/ { gsub(/<[^>]*>/, ""); print "  " name ": " $0 }'
}

[ -x "$hako" ] || fail "bin/hako is not there: run make"
step "build the guest: Go, compiled to WebAssembly"
GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 go build -buildvcs=false -ldflags '-s -w' -buildmode=c-shared -o bin/guestbook.wasm ./examples/guestbook

export PORT=${PORT:-$(free_port 8080)}
url=http://127.0.0.1:$PORT/
mkdir -p "$HAKO_DATA"

step "serve examples/guestbook"
serve examples/guestbook "$HAKO_DATA/guestbook.log" "$url"

post() {
	printf '\n%s$ curl %s -d name="%s" -d text="%s"%s\n' "$bold" "$url" "$1" "$2" "$plain"
	curl -fsS "$url" -o /dev/null --data-urlencode "name=$1" --data-urlencode "text=$2" -w '%header{x-hako-version}\n'
}
version() { curl -fsSo /dev/null -w '%header{x-hako-version}' "$url"; } # guestbook@N

page=$(curl -fsS "$url")
case $page in *"<strong>Ada"*) ;; *)
	step "post"
	post Ada "The box hums, and remembers."
	post Grace "Found a moth. Left it in."
	;;
esac
good=$(version)
post Mallory "BUY CHEAP PILLS NOW"

step "the log: every post is a version"
show "$hako" db log --limit 4 guestbook

step "open an older page: the same app, pinned to a version"
printf '%s$ curl "%s?hako-snapshot=%s"%s\n' "$bold" "$url" "$good" "$plain"
curl -fsS "$url?hako-snapshot=$good" | words

step "branch: a database of its own from there, sharing its pages"
"$hako" db delete --yes preview >/dev/null 2>&1 || true
show "$hako" db branch "$good" preview
show "$hako" db shell preview "UPDATE entry SET text = upper(text) WHERE name = 'Ada'"
show "$hako" db diff "$good" preview

step "restore: as it was, and nothing is lost"
show "$hako" db restore guestbook "$good"
printf '\n%s$ curl %s%s\n' "$bold" "$url" "$plain"
curl -fsS "$url" | words

[ -t 1 ] || exit 0
trap 'stop; exit 0' INT TERM # what it is left by
cat <<EOF

${bold}Open $url in a browser${plain}, write something, and follow the numbers to older pages.
In another terminal, here, with \`export HAKO_DATA=$HAKO_DATA\`:
  bin/hako db log guestbook                       every version
  bin/hako db diff guestbook@-5m guestbook        what changed in five minutes
  bin/hako db restore guestbook guestbook@-5m     undo that
  bin/hako db branch guestbook tryout             a copy to play with, at once
  bin/hako ps                                     what runs
And \`make tour\` shows a large database: Debian's package index, before and after its updates.

It is served until you press Ctrl-C.
EOF
wait "$server"
