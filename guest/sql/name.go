package sql

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// A name is what a data source name says.
type name struct {
	database   string
	readOnly   bool
	optimistic bool
	begin      string   // the statement that begins a transaction
	setUp      []string // statements for a new connection
	timeFormat string   // for times that are written, "" for time.Time.String
	intToTime  bool
	textToTime bool
}

var timeFormats = map[string]string{
	"sqlite":              "2006-01-02 15:04:05.999999999-07:00",
	"datetime":            "2006-01-02 15:04:05",
	"string_no_monotonic": "2006-01-02 15:04:05.999999999 -0700 MST",
}

func parseName(s string) (*name, error) {
	n := &name{begin: "BEGIN"}
	database, query, _ := strings.Cut(strings.TrimPrefix(s, "hako:"), "?")
	fail := func(err error) (*name, error) { return nil, fmt.Errorf("data source name %q: %w", s, err) }
	n.database = database
	values, err := url.ParseQuery(query)
	if err != nil {
		return fail(err)
	}
	for key, list := range values {
		value := list[len(list)-1]
		err = nil
		switch key {
		case "locking":
			switch value {
			case "optimistic":
				n.optimistic = true
			case "", "writer":
			default:
				err = fmt.Errorf("locking=%s: write writer or optimistic", value)
			}
		case "mode":
			switch value {
			case "ro":
				n.readOnly = true
			case "rw", "rwc":
			default:
				err = fmt.Errorf("mode=%s: write ro or rw", value)
			}
		case "store", "create", "_error_rc", "_dqs", "_defensive": // of the driver for native programs
		case "_txlock":
			switch value = strings.ToUpper(value); value {
			case "DEFERRED", "IMMEDIATE", "EXCLUSIVE":
				n.begin = "BEGIN " + value
			default:
				err = fmt.Errorf("_txlock=%s: write deferred, immediate or exclusive", value)
			}
		case "_busy_timeout":
			var ms int
			if ms, err = strconv.Atoi(value); err == nil {
				n.setUp = append(n.setUp, fmt.Sprintf("PRAGMA busy_timeout=%d", ms))
			}
		case "_pragma":
			for _, p := range list {
				n.setUp = append(n.setUp, "PRAGMA "+p)
			}
		case "_time_format":
			var ok bool
			if n.timeFormat, ok = timeFormats[value]; !ok {
				err = fmt.Errorf("_time_format=%s: write sqlite, datetime or string_no_monotonic", value)
			}
		case "_inttotime":
			n.intToTime, err = strconv.ParseBool(value)
		case "_texttotime":
			n.textToTime, err = strconv.ParseBool(value)
		default:
			err = fmt.Errorf("unknown parameter %q", key)
		}
		if err != nil {
			return fail(err)
		}
	}
	return n, nil
}
