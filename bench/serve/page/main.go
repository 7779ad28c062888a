// Command page answers with a page that takes three queries: a worker, or
// natively a server of its own on the store in HAKO_STORE.
package main

import (
	"database/sql"
	"html/template"
	"log"
	"math/rand/v2"
	"net/http"

	_ "github.com/hako-run/hako/guest/sql"
	"github.com/hako-run/hako/guest/worker"
)

var db, errOpen = sql.Open("hako", "blog")

var page = template.Must(template.New("").Parse(`<!doctype html>
<title>{{.Title}}</title>
<h1>{{.Title}}</h1>
<p>{{.Text}}
<h2>Comments</h2>
{{range .Comments}}<p><b>{{.Name}}</b> {{.Text}}
{{end}}<h2>Newest</h2>
{{range .Newest}}<p><a href="/{{.ID}}">{{.Title}}</a>
{{end}}`))

type post struct {
	ID          int64
	Title, Text string
	Comments    []struct{ Name, Text string }
	Newest      []post
}

func init() {
	worker.Handle(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := post{ID: 1 + rand.Int64N(1000)}
		if err := p.read(r); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := page.Execute(w, &p); err != nil {
			log.Print(err)
		}
	}))
}

func (p *post) read(r *http.Request) error {
	if errOpen != nil {
		return errOpen
	}
	err := db.QueryRowContext(r.Context(), "SELECT title, text FROM post WHERE id = ?", p.ID).Scan(&p.Title, &p.Text)
	if err != nil {
		return err
	}
	rows, err := db.QueryContext(r.Context(), "SELECT name, text FROM comment WHERE post = ? ORDER BY id", p.ID)
	if err != nil {
		return err
	}
	for rows.Next() {
		var c struct{ Name, Text string }
		if err := rows.Scan(&c.Name, &c.Text); err != nil {
			return err
		}
		p.Comments = append(p.Comments, c)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows, err = db.QueryContext(r.Context(), "SELECT id, title FROM post ORDER BY id DESC LIMIT 10")
	if err != nil {
		return err
	}
	for rows.Next() {
		var n post
		if err := rows.Scan(&n.ID, &n.Title); err != nil {
			return err
		}
		p.Newest = append(p.Newest, n)
	}
	return rows.Err()
}

func main() { log.Fatal(worker.ListenAndServe()) }
