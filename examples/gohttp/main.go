// Command gohttp is an HTTP server that is a Wasm guest: the standard library's,
// on a published port.
//
//	GOOS=wasip1 GOARCH=wasm go build -o gohttp.wasm ./examples/gohttp
//	hako run -p 8080:80 gohttp.wasm
//
// The host hands published ports over as open listeners, behind the granted
// directories: package net makes a listener of one.
package main

import (
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"syscall"
)

func main() {
	l, err := listen()
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello from %s/%s, %s\n", runtime.GOOS, runtime.GOARCH, r.URL.Path)
	})
	http.HandleFunc("POST /sum", func(w http.ResponseWriter, r *http.Request) {
		var sum, n int
		for {
			if _, err := fmt.Fscan(r.Body, &n); err != nil {
				break
			}
			sum += n
		}
		fmt.Fprintln(w, sum)
	})
	log.Fatal(http.Serve(l, nil))
}

// listen returns the first listener that the host handed over.
func listen() (net.Listener, error) {
	for fd := uintptr(3); fd < 16; fd++ {
		// Goroutines share the guest's one thread: waiting for a connection
		// must not stop it. Has to be set before os.NewFile looks.
		if syscall.SetNonblock(int(fd), true) != nil {
			continue
		}
		if l, err := net.FileListener(os.NewFile(fd, "listener")); err == nil {
			return l, nil
		}
	}
	return nil, errors.New("no port is published: run with -p 8080:80")
}
