#!/usr/bin/env bash
# Checks and tests the whole repository. With -long, the long forms of the
# tests. Installs what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh

long=()
limit=25m
if [ "${1:-}" = -long ]; then
	long=(-long)
	limit=120m
fi

# This module is tested with the wazero that it is built with; modules of their
# own have no use for it.
plain=${GOFLAGS-}
export GOFLAGS="$plain -modfile=$(scripts/wazero.sh)" HAKO_GUARD_PAGES=on

step "format, vet, staticcheck"
unformatted=$(git ls-files -z '*.go' | xargs -0 gofmt -l)
[ -z "$unformatted" ] || fail "gofmt would change: $unformatted"
go vet ./...
GOOS=wasip1 GOARCH=wasm go vet ./guest/...
(cd bench && GOFLAGS=$plain go vet ./...)
# Modules of their own, so that what they need is not needed by all.
GOFLAGS=$plain go vet -C bench/waf -tags no_fs_access ./...
for module in examples/filters/{go,waf} proxywasm/testdata/{go,higress}; do
	GOFLAGS=$plain GOOS=wasip1 GOARCH=wasm go vet -C $module -tags no_fs_access ./...
done
GOFLAGS=-mod=mod go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

step "build for every platform"
for target in linux/amd64 linux/arm64 darwin/arm64 windows/amd64; do
	CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} go build -o /dev/null ./cmd/hako
	say "$target"
done

step "dependencies"
make -s bin/hako
go version -m bin/hako | awk '$1 == "dep" { print $2, $3 }' | diff -u dependencies.txt - ||
	fail "dependencies.txt is not what is linked: look at the difference, then run make deps"
while read -r module _; do
	grep -q "$module" NOTICE || fail "NOTICE does not name $module"
done <dependencies.txt

step "tests"
# Those with flags of their own come by themselves.
flagged='/(pagestore|engine|engine/wasm|sqlite|sqlite/vfscore|sqlite/guest)$'
HAKO_LONG=${long:+1} go test -timeout $limit $(go list ./... | grep -Ev "$flagged")
go test -timeout $limit ./pagestore ./engine ./engine/wasm "${long[@]}"
HAKO_LONG=${long:+1} go test -timeout $limit ./sqlite ./sqlite/vfscore ./sqlite/guest

GOFLAGS=$plain go test -C examples/filters/waf -tags no_fs_access ./...

step "tests under the race detector"
CGO_ENABLED=1 go test -race -short -timeout $limit $(go list ./... | grep -Ev '/examples/')

for tour in run guestbook tour; do
	step "make $tour, without a terminal"
	GOFLAGS=$plain make -s $tour </dev/null >/tmp/hako-run.$$ 2>&1 || { cat /tmp/hako-run.$$; fail "make $tour failed"; }
	rm -f /tmp/hako-run.$$
done

step "benchmarks run"
GOFLAGS=$plain scripts/bench.sh -quick -rounds 1
say "all passed"
