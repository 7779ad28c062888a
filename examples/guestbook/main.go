// Command guestbook is a guest that answers HTTP requests from a database that
// remembers every version.
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -o guestbook.wasm .
//	hako up .
//
// Built as usual it serves natively.
package main

import (
	"context"
	"database/sql"
	_ "embed"
	"html/template"
	"log"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	_ "github.com/hako-run/hako/guest/sql"
	"github.com/hako-run/hako/guest/worker"
)

// Writers queue from the start of their transaction: what it then reads is the
// newest, and nobody has to begin anew.
var db, errOpen = sql.Open("hako", "guestbook?_txlock=immediate&_busy_timeout=5000")

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

// A book is what the page shows.
type book struct {
	Home    string // where the page is
	Entries []entry
	Version int64  // of the database
	Since   string // when it was made, "" for version 0
	Past    bool   // this is not the newest one
}

// An entry is what somebody wrote.
type entry struct {
	Name, Text string
	At         string
}

// snapshotParameter asks the server for an older version; see pin in hako.toml.
const snapshotParameter = "hako-snapshot"

// At is where the page is to be seen as it was at a version.
func (b *book) At(version int64) string {
	return b.Home + "?" + snapshotParameter + "=" + url.QueryEscape("guestbook@"+strconv.FormatInt(version, 10))
}

// Versions are the last ones, to choose from.
func (b *book) Versions() (list []int64) {
	for v := max(b.Version-9, 0); v <= b.Version && b.Version > 0; v++ {
		list = append(list, v)
	}
	return list
}

// clock is how times are written.
const clock = "2 Jan 2006, 15:04"

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// prepare makes the table on the first write: a database begins empty.
const prepare = `CREATE TABLE IF NOT EXISTS entry(
	id INTEGER PRIMARY KEY, name TEXT NOT NULL, text TEXT NOT NULL, at TEXT NOT NULL)`

func list(w http.ResponseWriter, r *http.Request) {
	if errOpen != nil {
		fail(w, errOpen)
		return
	}
	b := book{Home: worker.Prefix(r) + "/", Past: r.Header.Get("X-Hako-Snapshot") != ""}
	if err := b.read(r.Context()); err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := page.Execute(w, &b); err != nil {
		log.Print(err)
	}
}

// read fills the book from one version of the database.
func (b *book) read(ctx context.Context) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var since sql.NullString
	if err := tx.QueryRowContext(ctx, "SELECT hako_version(), hako_time()").Scan(&b.Version, &since); err != nil {
		return err
	}
	if t, err := time.Parse(time.RFC3339Nano, since.String); err == nil {
		b.Since = t.UTC().Format(clock)
	}
	rows, err := tx.QueryContext(ctx, "SELECT name, text, at FROM entry ORDER BY id DESC LIMIT 100")
	if err != nil {
		if strings.Contains(err.Error(), "no such table") {
			return nil
		}
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var e entry
		if err := rows.Scan(&e.Name, &e.Text, &e.At); err != nil {
			return err
		}
		b.Entries = append(b.Entries, e)
	}
	return rows.Err()
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
		_, err = tx.Exec("INSERT INTO entry(name, text, at) VALUES(?, ?, ?)", name, text, time.Now().UTC().Format(clock))
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
