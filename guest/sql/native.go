//go:build !wasip1

package sql

import _ "github.com/hako-run/hako/sqlite" // the driver
