// A guest whose SQL runs in the host: a worker, or a command where it is built
// as one. It counts visits of /add, and tells at /list how many there were.
package main

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	_ "github.com/hako-run/hako/guest/sql"
	"github.com/hako-run/hako/guest/worker"
)

var db, _ = sql.Open("hako", "shop") // by its name, which a pin keeps

// answer is what SQLite says.
func answer(path, pinned string) string {
	var count string
	var err error
	if path == "/add" {
		_, err = db.Exec("CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES (1)")
	}
	if err == nil {
		err = db.QueryRow("SELECT count(*) FROM t").Scan(&count)
	}
	rc := 0
	switch {
	case err == nil:
	case strings.Contains(strings.ReplaceAll(err.Error(), "-", ""), "readonly"):
		rc = 8
	default:
		rc = 1
	}
	return fmt.Sprintf("count=%s rc=%d pinned=%s", count, rc, pinned)
}

func init() {
	// Says what was said, and how many have said something.
	http.HandleFunc("/say", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		var n int
		if err == nil {
			_, err = db.Exec("CREATE TABLE IF NOT EXISTS said(x); INSERT INTO said VALUES (?)", string(b))
		}
		if err == nil {
			err = db.QueryRow("SELECT count(*) FROM said").Scan(&n)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		fmt.Fprintf(w, "%d: %s by %s", n, b, r.Header.Get("X-Speaker"))
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, answer(r.URL.Path, r.Header.Get("X-Hako-Snapshot")))
	})
}

func main() {
	if os.Getenv("GATEWAY_INTERFACE") != "" {
		fmt.Print("Content-Type: text/plain\n\n", answer(os.Getenv("PATH_INFO"), os.Getenv("HTTP_X_HAKO_SNAPSHOT")))
		return
	}
	_ = worker.ListenAndServe()
}
