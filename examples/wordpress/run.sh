#!/usr/bin/env bash
# Makes a WordPress site, installs it, and shows what its database remembers: a
# comment, the page before it, and how it is undone. On a terminal it then keeps
# serving until Ctrl-C. The site is kept in .hako/wordpress.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/setup.sh
. scripts/tour.sh
apt_install curl curl ca-certificates
hako=$PWD/bin/hako
site=$PWD/.hako/wordpress
export HAKO_DATA=$site/.hako

[ -x "$hako" ] || fail "bin/hako is not there: run make"
step "PHP as WebAssembly (the first time it is compiled, which takes 10 to 20 minutes; then it is kept)"
php=$(php/build/build.sh)

port=${PORT:-$(free_port 8080)}
url=http://127.0.0.1:$port
if [ ! -e "$site/hako.toml" ]; then
	step "a site"
	mkdir -p "$PWD/.hako"
	show "$hako" init wordpress --name site --listen "127.0.0.1:$port" --php "$php/php-hako.wasm" --php-cli "$php/php.wasm" .hako/wordpress
	# So that older pages can be looked at.
	sed -i 's/^app   = "site"$/&\npin   = ["query", "cookie"]/' "$site/hako.toml"
	# What is compiled is kept with what was built.
	mkdir -p "$HAKO_DATA" "${HAKO_CACHE:-$HOME/.cache/hako}/compiled"
	chmod 700 "${HAKO_CACHE:-$HOME/.cache/hako}/compiled"
	ln -sfn "${HAKO_CACHE:-$HOME/.cache/hako}/compiled" "$HAKO_DATA/compiled"
else
	cp "$php/php-hako.wasm" "$php/php.wasm" "$site/"
	sed -i "s/127\.0\.0\.1:[0-9]*/127.0.0.1:$port/g" "$site/hako.toml"
fi

step "serve it"
mkdir -p "$HAKO_DATA"
serve .hako/wordpress "$HAKO_DATA/up.log" "$url/"

ask() { curl -fsS --max-time 300 "$@"; }
password=
if ask -o /dev/null -w '%{redirect_url}' "$url/" | grep -q install.php; then
	step "install it, as a browser would"
	password=$(head -c 12 /dev/urandom | base64 | tr '+/' 'xy')
	ask -o /dev/null "$url/wp-admin/install.php?step=2" --data-urlencode "weblog_title=The Box Gazette" \
		-d user_name=ada -d "admin_password=$password" -d "admin_password2=$password" -d admin_email=ada@example.com -d blog_public=0
	echo "$password" >"$HAKO_DATA/password"
	chmod 600 "$HAKO_DATA/password"
fi
ask "$url/" | sed -n 's/.*<title>\(.*\)<\/title>.*/The front page: \1/p'

version() { ask -o /dev/null -w '%header{x-hako-version}' "$url/"; } # site@N
comments() { "$hako" db shell --mode box "$1" "SELECT comment_author AS author, substr(comment_content, 1, 40) AS comment FROM wp_comments WHERE comment_post_ID = 1"; }

good=$(version)
step "a visitor comments"
text="BUY CHEAP PILLS NOW ($(date +%T))"
printf '%s$ curl %s/wp-comments-post.php -d comment="%s" ...%s\n' "$bold" "$url" "$text" "$plain"
ask -o /dev/null "$url/wp-comments-post.php" -d comment_post_ID=1 -d author=Mallory -d email=mallory@example.com --data-urlencode "comment=$text"
comments site

step "every change of the database is a version"
show "$hako" db log --limit 5 site
show "$hako" db diff "$good" site

step "the page as it was: a request pinned to a version"
printf '%s$ curl "%s/?p=1&hako-snapshot=%s"%s\n' "$bold" "$url" "$good" "$plain"
ask -o /dev/null -w '%{http_code}, of %header{x-hako-snapshot}\n' "$url/?p=1&hako-snapshot=$good"

step "undone, while the site runs; nothing is lost"
show "$hako" db restore site "$good"
comments site

[ -t 1 ] || exit 0
trap 'stop; exit 0' INT TERM # what it is left by
cat <<EOF

${bold}Open $url/ in a browser${plain}, or $url/wp-admin/ as ada with the password $(cat "$HAKO_DATA/password").
In another terminal, here, with \`export HAKO_DATA=$HAKO_DATA\`:
  bin/hako db log site                  every version
  bin/hako db diff site@-5m site        what changed in five minutes
  bin/hako db restore site site@-5m     undo that
  bin/hako exec site php -r 'require "/srv/wp-load.php"; echo get_option("blogname"), "\\n";'
  bin/hako stats                        what it takes
\`make guestbook\` shows a smaller app, in Go; \`make tour\` a large database.

It is served until you press Ctrl-C.
EOF
wait "$server"
