// A guest that answers, fails and keeps things in all the ways that a soak of
// the server asks for. Each answer carries the nonce of its request.
package main

import (
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"

	_ "github.com/hako-run/hako/guest/sql"
	"github.com/hako-run/hako/guest/worker"
)

var (
	db, _ = sql.Open("hako", "soak?_txlock=immediate&_busy_timeout=20000")
	kept  [][]byte
	spins int
)

func init() {
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		for i := range 5 {
			fmt.Fprintf(w, "%s %d\n", r.Header.Get("X-Nonce"), i)
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) {
		part := bytes.Repeat([]byte(r.Header.Get("X-Nonce")+"\n"), 1000)
		n, _ := strconv.Atoi(r.FormValue("n"))
		for range n {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/keep", func(w http.ResponseWriter, r *http.Request) {
		nonce := r.Header.Get("X-Nonce")
		tx, err := db.BeginTx(r.Context(), nil)
		if err == nil {
			defer tx.Rollback()
			_, err = tx.Exec("CREATE TABLE IF NOT EXISTS last(n INTEGER PRIMARY KEY, nonce TEXT)")
		}
		if err == nil {
			_, err = tx.Exec("INSERT OR REPLACE INTO last VALUES(1, ?)", nonce)
		}
		var back string
		if err == nil {
			err = tx.QueryRow("SELECT nonce FROM last").Scan(&back)
		}
		if err == nil {
			err = tx.Commit()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, back)
	})
	mux.HandleFunc("/exit", func(w http.ResponseWriter, r *http.Request) { os.Exit(3) })
	mux.HandleFunc("/panic", func(w http.ResponseWriter, r *http.Request) { panic("on purpose") })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half")
		w.(http.Flusher).Flush()
		panic("on purpose")
	})
	mux.HandleFunc("/grow", func(w http.ResponseWriter, r *http.Request) {
		for {
			kept = append(kept, make([]byte, 1<<20))
		}
	})
	mux.HandleFunc("/spin", func(w http.ResponseWriter, r *http.Request) {
		for {
			spins++
		}
	})
	worker.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Echo-Nonce", r.Header.Get("X-Nonce"))
		mux.ServeHTTP(w, r)
	}))
}

func main() {}
