package randsql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// A Querier runs a query: a database, a connection or a transaction.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Rows returns what a statement answers, a line for each row with '|' between
// the columns, so that answers can be compared. Blobs are in hexadecimal.
func Rows(q Querier, statement string, args ...any) (string, error) {
	rows, err := q.QueryContext(context.Background(), statement, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	var lines []string
	for rows.Next() {
		values := make([]any, len(columns))
		for i := range values {
			values[i] = new(any)
		}
		if err := rows.Scan(values...); err != nil {
			return "", err
		}
		line := make([]string, len(values))
		for i, v := range values {
			switch v := (*v.(*any)).(type) {
			case []byte:
				line[i] = fmt.Sprintf("x'%x'", v)
			default:
				line[i] = fmt.Sprint(v)
			}
		}
		lines = append(lines, strings.Join(line, "|"))
	}
	return strings.Join(lines, "\n"), rows.Err()
}
