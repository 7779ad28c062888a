// A guest that answers in all the ways the protocol has.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/hako-run/hako/guest/worker"
)

var started = 0

func init() {
	started++
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s %s %s", r.Method, r.URL.Path, worker.Prefix(r))
	})
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		started++
		fmt.Fprint(w, started)
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		for name, values := range r.Header {
			for _, v := range values {
				w.Header().Add("Echo-"+name, v)
			}
		}
		w.Header().Set("Echo-Host", r.Host)
		w.Header().Set("Echo-Length", strconv.FormatInt(r.ContentLength, 10))
		w.Header().Set("Trailer", "Sum")
		w.WriteHeader(http.StatusAccepted)
		n, err := io.Copy(w, r.Body)
		w.Header().Set("Sum", fmt.Sprint(n, err, r.Trailer.Get("Check")))
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.FormValue("n"))
		part := bytes.Repeat([]byte("0123456789abcdef"), 4096)
		for n > 0 {
			m, err := w.Write(part[:min(n, len(part))])
			if err != nil {
				return
			}
			n -= m
		}
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(w, "part %d\n", i)
			w.(http.Flusher).Flush()
			io.ReadFull(r.Body, make([]byte, 1)) // until the client has seen it
		}
	})
	mux.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		f, h, err := r.FormFile("file")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		b, _ := io.ReadAll(f)
		fmt.Fprintf(w, "%s %d %s", h.Filename, len(b), r.FormValue("name"))
	})
	mux.HandleFunc("/finish", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "done")
		if err := worker.Finish(w); err != nil {
			panic(err)
		}
		fmt.Println("after")
		if _, err := w.Write([]byte("lost")); err == nil {
			err = http.NewResponseController(w).Flush()
			fmt.Println("late:", err)
		}
	})
	mux.HandleFunc("/panic", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("after") != "" {
			fmt.Fprint(w, "half")
			w.(http.Flusher).Flush()
		}
		panic("on purpose")
	})
	mux.HandleFunc("/finish-exit", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "done "+r.FormValue("id"))
		worker.Finish(w)
		os.Exit(3)
	})
	mux.HandleFunc("/finish-on", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "done")
		worker.Finish(w)
		for {
			if r.FormValue("sleep") != "" {
				time.Sleep(time.Second)
			}
			started++
		}
	})
	mux.HandleFunc("/spin", func(w http.ResponseWriter, r *http.Request) {
		for {
			started++
		}
	})
	mux.HandleFunc("/exit", func(w http.ResponseWriter, r *http.Request) { os.Exit(3) })
	mux.HandleFunc("/split", func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X"] = []string{"a\r\nSet-Cookie: b"}
		fmt.Fprint(w, "split")
	})
	mux.HandleFunc("/sleep", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond)
		fmt.Fprint(w, "slept")
	})
	worker.Handle(mux)
}

func main() {}
