#!/usr/bin/env bash
# Measures serving: workers against native handlers and CGI, proxying and files
# against Debian's nginx and Caddy. Arguments are passed on, such as -rounds 9
# or -only proxy; -quick sees that it runs. The packages are unpacked into the
# cache, so that no service of theirs is started.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh
cache=${HAKO_CACHE:-$HOME/.cache/hako}/bench-serve
debian=$cache/debian
if [ ! -e "$debian/.unpacked" ]; then
	command -v apt-get >/dev/null || fail "nginx, Caddy and wrk are taken from Debian's packages: run it on Debian"
	step "wrk, nginx and Caddy from Debian"
	rm -rf "$debian"
	mkdir -p "$debian"
	packages=(wrk libluajit-5.1-2 nginx caddy)
	[ -n "$(apt-get download --print-uris "${packages[@]}" 2>/dev/null)" ] || as_root apt-get update -q
	(cd "$debian" && apt-get -o APT::Sandbox::User=root download -q "${packages[@]}")
	for deb in "$debian"/*.deb; do dpkg-deb -x "$deb" "$debian"; done
	rm "$debian"/*.deb
	touch "$debian/.unpacked"
fi
export LD_LIBRARY_PATH=$(dirname "$(find "$debian" -name 'libluajit*.so*' -print -quit)")
step "build"
make -s bin/hako
sdk=$(scripts/wasi.sh)
"$sdk/bin/wasi-cc" -O2 -mexec-model=reactor -Iguest/c bench/serve/helloc/hello.c -o "$cache/hello-c.wasm"
"$sdk/bin/wasi-cc" -O2 -mexec-model=reactor -Iguest/c proxywasm/testdata/c/lookups.c -o "$cache/lookups.wasm"
wasm() { GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 go build -buildvcs=false -ldflags '-s -w' "$@"; }
(
	cd bench
	wasm -buildmode=c-shared -o "$cache/hello.wasm" ./serve/hello
	wasm -o "$cache/hello-cgi.wasm" ./serve/hello
	wasm -buildmode=c-shared -o "$cache/page.wasm" ./serve/page
	CGO_ENABLED=0 go build -buildvcs=false -o "$cache/hello" ./serve/hello
	CGO_ENABLED=0 go build -buildvcs=false -o "$cache/page" ./serve/page
	CGO_ENABLED=0 go build -buildvcs=false -o ../bin/bench-serve ./serve
)
step "measure"
exec bin/bench-serve -hako bin/hako -built "$cache" -debian "$debian" "$@"
