// Command guestbook is a guest that answers HTTP requests from a database that
// remembers every version.
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o guestbook.wasm .
//	hako up .
//
// Built as usual it serves natively.
package main

import (
	"database/sql"
	"html/template"
	"log"
	"net/http"
	"strings"
	"time"

	_ "github.com/hako-run/hako/guest/sql"
	"github.com/hako-run/hako/guest/worker"
)

var db, errOpen = sql.Open("hako", "guestbook")

func init() {
	http.HandleFunc("GET /{$}", list)
	http.HandleFunc("POST /{$}", add)
}

func main() {
	if errOpen != nil {
		log.Fatal(errOpen)
	}
	if err := worker.ListenAndServe(); err != nil {
		log.Fatal(err)
	}
}

// An entry is what somebody wrote.
type entry struct {
	Name, Text string
	At         string
}

var page = template.Must(template.New("page").Parse(`<!doctype html>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Guestbook</title>
<style>body{font:16px/1.5 sans-serif;max-width:36em;margin:2em auto;padding:0 1em}
article{border-top:1px solid #ccc;padding:.5em 0}small{color:#666}
input,textarea{font:inherit;width:100%;box-sizing:border-box;margin:.2em 0}</style>
<h1>Guestbook</h1>
<form method="post"><input name="name" placeholder="Your name" maxlength="80" required>
<textarea name="text" placeholder="Leave a word" maxlength="2000" required></textarea>
<button>Write</button></form>
{{range .}}<article><b>{{.Name}}</b> <small>{{.At}}</small><br>{{.Text}}</article>
{{else}}<p>Nobody was here yet.</p>
{{end}}`))

// prepare makes the table on the first write: a database begins empty.
const prepare = `CREATE TABLE IF NOT EXISTS entry(
	id INTEGER PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL, at TEXT NOT NULL)`

func list(w http.ResponseWriter, r *http.Request) {
	if errOpen != nil {
		fail(w, errOpen)
		return
	}
	entries, err := read(r)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := page.Execute(w, entries); err != nil {
		log.Print(err)
	}
}

func read(r *http.Request) ([]entry, error) {
	rows, err := db.QueryContext(r.Context(), "SELECT name, text, at FROM entry ORDER BY id DESC LIMIT 100")
	if err != nil {
		if strings.Contains(err.Error(), "no such table") {
			return nil, nil
		}
		return nil, err
	}
	defer rows.Close()
	var entries []entry
	for rows.Next() {
		var e entry
		if err := rows.Scan(&e.Name, &e.Text, &e.At); err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, rows.Err()
}

func add(w http.ResponseWriter, r *http.Request) {
	if errOpen != nil {
		fail(w, errOpen)
		return
	}
	name, text := strings.TrimSpace(r.FormValue("name")), strings.TrimSpace(r.FormValue("text"))
	if name == "" || text == "" || len(name) > 200 || len(text) > 10_000 {
		http.Error(w, "A name and a word are needed, neither too long.", http.StatusBadRequest)
		return
	}
	tx, err := db.BeginTx(r.Context(), nil)
	if err != nil {
		fail(w, err)
		return
	}
	defer tx.Rollback()
	if _, err = tx.Exec(prepare); err == nil {
		_, err = tx.Exec("INSERT INTO entry(name, text, at) VALUES(?, ?, ?)", name, text, time.Now().UTC().Format(time.DateTime))
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, worker.Prefix(r)+"/", http.StatusSeeOther)
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	http.Error(w, "The guestbook cannot be opened now.", http.StatusInternalServerError)
}
