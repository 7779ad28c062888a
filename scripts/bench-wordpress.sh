#!/usr/bin/env bash
# Measures WordPress under Hako against nginx and php-fpm of Debian. Arguments
# are passed on, such as -rounds 9 or -only fork. With PLAYGROUND=1, WordPress
# Playground's command line from npm is measured too.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
step "build"
make -s bin/hako
php=${HAKO_PHP:-$(php/build/build.sh)}
fpm() { ls /usr/sbin/php-fpm[0-9]* 2>/dev/null | tail -1; }
[ -n "$(fpm)" ] || apt_install php-fpm php-fpm php-sqlite3 php-gd php-mbstring php-xml
apt_install nginx nginx-light
more=()
if [ -n "${PLAYGROUND:-}" ]; then
	apt_install npm nodejs npm
	dir=${HAKO_CACHE:-$HOME/.cache/hako}/playground-3.1.56
	[ -e "$dir/node_modules/@wp-playground/cli" ] || npm install --silent --no-audit --no-fund --prefix "$dir" @wp-playground/cli@3.1.56
	more=(-playground "$dir/node_modules/@wp-playground/cli/wp-playground.js")
fi
(cd bench && go build -buildvcs=false -o ../bin/bench-wordpress ./wordpress)
step "measure"
exec bin/bench-wordpress -hako bin/hako -php "$php" -fpm "$(fpm)" "${more[@]}" "$@"
