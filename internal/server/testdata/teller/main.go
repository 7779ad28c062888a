// A command that tells what it was given, and adds a row.
package main

import (
	"database/sql"
	"fmt"
	"io"
	"os"
	"strings"

	_ "github.com/hako-run/hako/guest/sql"
)

func main() {
	in, _ := io.ReadAll(os.Stdin)
	db, err := sql.Open("hako", "shop")
	if err == nil {
		_, err = db.Exec("CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES(2)")
	}
	fmt.Println(strings.Join(os.Args, " "), os.Getenv("MODE"), string(in), err)
	os.Exit(3)
}
