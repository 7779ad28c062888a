#!/usr/bin/env bash
# Checks and tests the whole repository, and says at the end how long each part
# took. With -long, the long forms of the tests. Installs what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/setup.sh

long=
limit=25m
if [ "${1:-}" = -long ]; then
	long=1
	limit=120m
fi

# part NAME begins a part, and keeps how long the one before took.
times=
name=
part() {
	[ -z "$name" ] || times+=$(printf '%6d s  %s' $((SECONDS - began)) "$name")$'\n'
	name=$*
	began=$SECONDS
	[ -z "$name" ] || step "$name"
}
ended() {
	local status=$?
	[ $status = 0 ] || name+=" (failed)"
	part
	printf '\n%s%6d s  in all\n' "$times" $SECONDS
}
trap ended EXIT

part "tools"
# What tests look for themselves is made here one after another, and seen.
for c in make shellcheck; do apt_install $c $c; done
for tool in scripts/{wasi,wasi-cxx,rust,assemblyscript,skopeo,systemd}.sh sqlite/guest/build.sh php/build/build.sh; do
	say "$tool: $($tool)"
done
# It is compiled as it is delivered, so that what one part builds serves the
# others. This module is tested with the wazero that it is built with; modules
# of their own have no use for it.
plain=${GOFLAGS-}
export CGO_ENABLED=0 GOFLAGS="$plain -modfile=$(scripts/wazero.sh)" HAKO_GUARD_PAGES=on
# tool NAME VERSION PACKAGE prints where a program is, after compiling it.
tool() {
	local dir=${HAKO_CACHE:-$HOME/.cache/hako}/$1-$2
	[ -x "$dir/$1" ] || GOFLAGS=$plain GOBIN=$dir go install "$3@v$2" >&2
	echo "$dir/$1"
}
staticcheck=$(tool staticcheck 0.8.2 honnef.co/go/tools/cmd/staticcheck)
gotestsum=$(tool gotestsum 1.13.0 gotest.tools/gotestsum)

# tests PACKAGES FLAGS... runs go test. A machine that is shared may stand still
# for seconds, longer than some test's patience: the few that fail, unless by a
# data race, are run again by themselves, at most twice, and the output says so.
tests() {
	local packages=$1
	shift
	HAKO_LONG=$long "$gotestsum" --format standard-quiet --rerun-fails=2 --rerun-fails-max-failures=5 \
		--rerun-fails-run-root-test --rerun-fails-abort-on-data-race --packages="$packages" -- -vet=off -timeout $limit "$@"
}

part "format, vet, staticcheck"
git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck -s bash -S error
unformatted=$(git ls-files -z '*.go' | xargs -0 gofmt -l)
[ -z "$unformatted" ] || fail "gofmt would change: $unformatted"
go vet ./...
GOOS=wasip1 GOARCH=wasm go vet ./guest/...
# Modules of their own, so that what they need is not needed by all.
for module in bench bench/waf; do
	GOFLAGS="$plain -modfile=$(scripts/wazero.sh "$module")" go vet -C "$module" -tags no_fs_access ./...
done
for module in guest/filter examples/filters/{go,scan,waf} proxywasm/testdata/{go,higress}; do
	GOFLAGS=$plain GOOS=wasip1 GOARCH=wasm go vet -C "$module" -tags no_fs_access ./...
done
GOFLAGS=$plain "$staticcheck" ./... # asks go outside of modules, too

part "build for every platform"
make -s bin/hako
# Those that are not run here need not be quick.
for target in linux/arm64 darwin/arm64 windows/amd64; do
	GOOS=${target%/*} GOARCH=${target#*/} go build -gcflags='all=-N -l -dwarf=false' -ldflags='-s -w' -o /dev/null ./cmd/hako
	say "$target"
done
go version -m bin/hako | awk '$1 == "dep" { print $2, $3 }' | diff -u dependencies.txt - ||
	fail "dependencies.txt is not what is linked: look at the difference, then run make deps"
while read -r module _; do
	grep -q "$module" NOTICE || fail "NOTICE does not name $module"
done <dependencies.txt

part "tests"
# Much of them waits: for timers, processes, disks.
tests ./... -p 3
GOFLAGS=$plain go test -C examples/filters/waf -vet=off -tags no_fs_access ./...
GOFLAGS=$plain go test -C guest/filter -vet=off ./...

part "tests under the race detector"
# Packages with locks of their own. Nothing is left uninstrumented: what such
# a package instantiates of generic code, sync.Map's among it, may be what is
# linked for all, and then hides what keeps others in order.
mapfile -t concurrent < <(go list -f '{{range .Imports}}{{if or (eq . "sync") (eq . "sync/atomic")}}{{$.ImportPath}}{{"\n"}}{{end}}{{end}}' ./... |
	grep -Ev '^$|/(examples|internal/guestbuild|php)(/|$)' | sort -u)
CGO_ENABLED=1 tests "${concurrent[*]}" -race -short

printed=$(mktemp)
for tour in run guestbook tour; do
	part "make $tour, without a terminal"
	GOFLAGS=$plain make -s $tour </dev/null >"$printed" 2>&1 || { cat "$printed"; fail "make $tour failed"; }
done
rm -f "$printed"

part "benchmarks run"
GOFLAGS=$plain scripts/bench.sh -quick -rounds 1
