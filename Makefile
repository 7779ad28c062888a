# make            build bin/hako
# make run        build it and serve WordPress with it, showing what its database remembers
# make guestbook  the same with a small app in Go
# make tour       show it at work on a large database: Debian's package index
# make test       everything that CI checks
# make test-long  the long forms of the tests (about an hour)
# make soak       half an hour of everything that may befall a server; SOAK=2h for longer
# make php-tests  PHP's own tests on PHP as WebAssembly (half an hour)
# make bench      measure against SQLite on a plain file
# make libhakosqlite  SQLite for C guests, and examples/sqlshell
# make deps       write dependencies.txt anew after go.mod has changed

export PATH := $(PATH):/usr/local/go/bin
# wazero is built as engine/patches changes it.
GO := CGO_ENABLED=0 GOFLAGS="$$GOFLAGS -modfile=$$(scripts/wazero.sh)" go
VERSION := $(shell git describe --always --dirty 2>/dev/null)
BUILD := -buildvcs=false -ldflags '-s -w -X github.com/hako-run/hako/internal/cli.revision=$(VERSION)'

.PHONY: all run guestbook tour test test-long php-tests soak bench libhakosqlite deps clean bin/hako

all: bin/hako

bin/hako:
	@$(GO) build $(BUILD) -o $@ ./cmd/hako

run: bin/hako
	@examples/wordpress/run.sh

guestbook: bin/hako
	@examples/guestbook/run.sh

tour: bin/hako
	@examples/packages/run.sh

test:
	@scripts/test.sh

test-long:
	@scripts/test.sh -long

php-tests:
	@scripts/php-tests.sh

soak: SOAK ?= 30m
soak:
	@GOFLAGS="$$GOFLAGS -modfile=$$(scripts/wazero.sh)" go test -count=1 -timeout 0 -v -run TestSoak ./internal/server -soak $(SOAK)

bench:
	@scripts/bench.sh

libhakosqlite:
	@sqlite/guest/build.sh
	@examples/sqlshell/build.sh

deps: bin/hako
	@go version -m bin/hako | awk '$$1 == "dep" { print $$2, $$3 }' > dependencies.txt

clean:
	rm -rf bin .hako
