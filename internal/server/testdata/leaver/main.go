// A guest that leaves a transaction open.
package main

import (
	"database/sql"
	"fmt"
	"net/http"

	_ "github.com/hako-run/hako/guest/sql"
	"github.com/hako-run/hako/guest/worker"
)

var (
	db, _    = sql.Open("hako", "shop")
	left     []*sql.Tx
	requests int
)

func init() {
	http.HandleFunc("/leave", func(w http.ResponseWriter, r *http.Request) {
		tx, err := db.Begin()
		if err == nil {
			_, err = tx.Exec("CREATE TABLE left_open(x)")
			left = append(left, tx)
		}
		fmt.Fprint(w, err)
	})
	http.HandleFunc("/write", func(w http.ResponseWriter, r *http.Request) {
		requests++
		_, err := db.Exec("CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES(1)")
		fmt.Fprint(w, requests, err)
	})
}

func main() { _ = worker.ListenAndServe() }
