// Command sqlguest runs the SQL that it reads from standard input, and is a
// library whose functions tests call.
package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"

	"github.com/hako-run/hako/app/sqlhost/internal/script"
	_ "github.com/hako-run/hako/guest/sql"
)

func main() {}

// run reads steps for the database that the first argument names.
//
//go:wasmexport run
func run() int32 {
	var steps []script.Step
	if err := json.NewDecoder(os.Stdin).Decode(&steps); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	db, err := sql.Open("hako", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := json.NewEncoder(os.Stdout).Encode(script.Run(db, steps)); err != nil {
		return 1
	}
	if len(os.Args) > 2 { // leave the connection open
		return 0
	}
	if err := db.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

var kept *sql.DB

// count counts the rows of t by a connection that is kept.
//
//go:wasmexport count
func count() int32 {
	if kept == nil {
		var err error
		if kept, err = sql.Open("hako", "shop"); err != nil {
			return -1
		}
	}
	var n int32
	if err := kept.QueryRow("SELECT count(*) FROM t").Scan(&n); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return -2
	}
	return n
}

// three makes three queries, n times.
//
//go:wasmexport three
func three(n int32) int32 {
	if count() < 0 {
		return -1
	}
	sum, err := script.Three(kept, int(n))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return -2
	}
	return int32(sum)
}
