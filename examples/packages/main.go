// Command packages loads Debian's package index, as apt keeps it, into a
// database of a Hako store.
//
//	packages -store DIR -database NAME FILE...
//
// Each FILE is an index (a "Packages" file, compressed or not). All of them
// become one version: packages that are new are added, and those of a later
// version are updated. It is an example of a program that uses package
// database/sql with Hako's driver, and the data behind "make run".
package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"

	_ "github.com/hako-run/hako/sqlite"
)

const schema = `
CREATE TABLE IF NOT EXISTS package(
	id INTEGER PRIMARY KEY,
	name TEXT NOT NULL,
	architecture TEXT NOT NULL,
	version TEXT NOT NULL,
	source TEXT NOT NULL,
	section TEXT,
	priority TEXT,
	installed_kib INT,
	download_bytes INT,
	maintainer TEXT,
	homepage TEXT,
	summary TEXT,
	UNIQUE(name, architecture)
);
CREATE TABLE IF NOT EXISTS dependency(
	package INTEGER NOT NULL REFERENCES package(id),
	kind TEXT NOT NULL,         -- Depends, Pre-Depends, Recommends
	position INT NOT NULL,      -- in the list, from 0
	alternative INT NOT NULL,   -- of several joined by '|', from 0
	name TEXT NOT NULL,
	requirement TEXT,           -- as in '>= 2.34'
	PRIMARY KEY(package, kind, position, alternative)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS dependency_name ON dependency(name);
CREATE INDEX IF NOT EXISTS package_source ON package(source);
`

func main() {
	store := flag.String("store", ".hako", "the store's directory")
	database := flag.String("database", "packages", "the database to load into; made if it does not exist")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *store, *database, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "packages:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, store, database string, files []string) error {
	db, err := sql.Open("hako", "hako:"+database+"?create=1&store="+url.QueryEscape(store))
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	l := loader{ctx: ctx, tx: tx}
	if err := l.prepare(); err != nil {
		return err
	}
	for _, f := range files {
		if err := l.load(f); err != nil {
			return fmt.Errorf("load %s: %w", f, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	var version int64
	if err := db.QueryRowContext(ctx, "SELECT hako_version()").Scan(&version); err != nil {
		return err
	}
	fmt.Printf("%s@%d: %d packages read, %d added, %d updated, %d dependencies written\n",
		database, version, l.read, l.added, l.updated, l.dependencies)
	return db.Close()
}

// A loader writes packages within one transaction.
type loader struct {
	ctx                                context.Context
	tx                                 *sql.Tx
	find, add, update, forget, require *sql.Stmt

	read, added, updated, dependencies int
}

func (l *loader) prepare() error {
	if _, err := l.tx.ExecContext(l.ctx, schema); err != nil {
		return err
	}
	for _, s := range []struct {
		stmt  **sql.Stmt
		query string
	}{
		{&l.find, "SELECT id, version FROM package WHERE name = ? AND architecture = ?"},
		{&l.add, `INSERT INTO package(name, architecture, version, source, section, priority, installed_kib, download_bytes, maintainer, homepage, summary)
			VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`},
		{&l.update, `UPDATE package SET version = ?, source = ?, section = ?, priority = ?, installed_kib = ?, download_bytes = ?,
			maintainer = ?, homepage = ?, summary = ? WHERE id = ?`},
		{&l.forget, "DELETE FROM dependency WHERE package = ?"},
		{&l.require, "INSERT INTO dependency(package, kind, position, alternative, name, requirement) VALUES(?, ?, ?, ?, ?, ?)"},
	} {
		var err error
		if *s.stmt, err = l.tx.PrepareContext(l.ctx, s.query); err != nil {
			return err
		}
	}
	return nil
}

// load reads one index. apt's own helper takes the compression off.
func (l *loader) load(file string) error {
	cmd := exec.CommandContext(l.ctx, "/usr/lib/apt/apt-helper", "cat-file", file)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s := bufio.NewScanner(out)
	s.Buffer(nil, 16<<20)
	fields, last := map[string]string{}, ""
	for s.Scan() {
		line := s.Bytes()
		switch {
		case len(line) == 0:
			if err := l.pkg(fields); err != nil {
				return err
			}
			clear(fields)
			last = ""
		case line[0] == ' ' || line[0] == '\t':
			fields[last] += "\n" + string(bytes.TrimSpace(line))
		default:
			k, v, _ := bytes.Cut(line, []byte(":"))
			last = string(k)
			fields[last] = string(bytes.TrimSpace(v))
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	if err := l.pkg(fields); err != nil {
		return err
	}
	return cmd.Wait()
}

// pkg writes one stanza of an index.
func (l *loader) pkg(f map[string]string) error {
	if f["Package"] == "" {
		return nil
	}
	l.read++
	source, _, _ := strings.Cut(f["Source"], " ")
	if source == "" {
		source = f["Package"]
	}
	summary, _, _ := strings.Cut(f["Description"], "\n")
	columns := []any{f["Version"], source, null(f["Section"]), null(f["Priority"]), number(f["Installed-Size"]), number(f["Size"]),
		null(f["Maintainer"]), null(f["Homepage"]), summary}
	var id int64
	var version string
	switch err := l.find.QueryRowContext(l.ctx, f["Package"], f["Architecture"]).Scan(&id, &version); {
	case err == sql.ErrNoRows:
		r, err := l.add.ExecContext(l.ctx, append([]any{f["Package"], f["Architecture"]}, columns...)...)
		if err != nil {
			return err
		}
		if id, err = r.LastInsertId(); err != nil {
			return err
		}
		l.added++
	case err != nil:
		return err
	case !newer(f["Version"], version):
		return nil
	default:
		if _, err := l.update.ExecContext(l.ctx, append(columns, id)...); err != nil {
			return err
		}
		if _, err := l.forget.ExecContext(l.ctx, id); err != nil {
			return err
		}
		l.updated++
	}
	for _, kind := range []string{"Pre-Depends", "Depends", "Recommends"} {
		if f[kind] == "" {
			continue
		}
		for position, clause := range strings.Split(f[kind], ",") {
			for alternative, one := range strings.Split(clause, "|") {
				name, requirement, _ := strings.Cut(strings.TrimSpace(one), " ")
				name, _, _ = strings.Cut(name, ":") // python3:any
				requirement = strings.Trim(requirement, "()")
				if _, err := l.require.ExecContext(l.ctx, id, kind, position, alternative, name, null(requirement)); err != nil {
					return err
				}
				l.dependencies++
			}
		}
	}
	return nil
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func number(s string) any {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return nil
	}
	return n
}
