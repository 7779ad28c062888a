// Command hello is the same handler in three ways: a worker, built with
// -buildmode=c-shared; a CGI program, built for wasip1 without it; and a server
// of its own, natively.
package main

import (
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"runtime"

	"github.com/hako-run/hako/guest/worker"
)

var handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, "hello, world\n")
})

func init() { worker.Handle(handler) }

func main() {
	var err error
	if runtime.GOOS == "wasip1" {
		err = cgi.Serve(handler)
	} else {
		err = worker.ListenAndServe()
	}
	if err != nil {
		log.Fatal(err)
	}
}
