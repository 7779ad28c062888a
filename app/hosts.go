package app

import (
	"context"

	"github.com/hako-run/hako/app/sqlhost"
	"github.com/hako-run/hako/app/tty"
	"github.com/hako-run/hako/app/worker"
	"github.com/hako-run/hako/sqlite/guest"
	"github.com/hako-run/hako/wasi"
	"github.com/tetratelabs/wazero"
)

// Hosts register all the host functions that guests of Hako may import, for
// engine.Options.
var Hosts = []func(context.Context, wazero.Runtime) error{
	wasi.Instantiate,
	guest.Instantiate,
	worker.Instantiate,
	tty.Instantiate,
	sqlhost.Instantiate,
}
