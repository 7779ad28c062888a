// Package worker makes a standard [http.Handler] a Wasm guest that answers
// HTTP requests by Hako's worker protocol:
//
//	package main
//
//	import (
//		"net/http"
//
//		"github.com/hako-run/hako/guest/worker"
//	)
//
//	func init() { worker.Handle(http.HandlerFunc(hello)) }
//
//	func main() {}
//
//	func hello(w http.ResponseWriter, r *http.Request) { w.Write([]byte("hello\n")) }
//
// It is built with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o hello.wasm
//
// main is not run; what there is to prepare belongs into init, which is done
// once: each request gets a copy of the memory as it is after that. A handler
// that starts goroutines has to wait for them: they stand still when the
// request is answered.
//
// The functions of math/rand without a generator of one's own give the same
// numbers in each copy, as the state of theirs is copied too; crypto/rand does
// not, and seeds generators.
//
// Outside of wasip1 the package serves the handler with net/http on the
// address in $HAKO_LISTEN, so that the program also runs as it is: call
// [ListenAndServe] from main for that.
package worker
