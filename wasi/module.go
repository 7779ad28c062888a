package wasi

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// ModuleName is the host module that guests import preview 1 from, with the
// socket functions of WasmEdge in it.
const ModuleName = "wasi_snapshot_preview1"

// UnstableModuleName is the preview before it. Its functions are the same but
// for the layouts of a file's attributes, of what is polled, and of where a
// seek begins.
const UnstableModuleName = "wasi_unstable"

// hostFunc is one function of WASI. Parameters are in p, as the guest gave
// them: the upper halves of 32-bit ones are not to be looked at.
type hostFunc func(ctx context.Context, s *System, m memory, p []uint64) Errno

// function is a host function and its type: i for i32, I for i64. All return
// an errno but proc_exit.
type function struct {
	name   string
	params string
	call   hostFunc
}

// Instantiate gives a runtime the host modules, once. What it registers holds
// no state of any guest.
func Instantiate(ctx context.Context, r wazero.Runtime) error {
	for _, m := range []struct {
		name      string
		functions [][]function
	}{
		{ModuleName, [][]function{preview1, wasmEdge}},
		{UnstableModuleName, [][]function{preview1, unstable}},
		{LockModuleName, [][]function{locks}},
	} {
		b := r.NewHostModuleBuilder(m.name)
		for _, group := range m.functions {
			for _, f := range group {
				f.export(b)
			}
		}
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("register host module %s: %w", m.name, err)
		}
	}
	return instantiateFirst(ctx, r)
}

// export adds the function; of two with a name, the later holds.
func (f function) export(b wazero.HostModuleBuilder) {
	params := make([]api.ValueType, len(f.params))
	for i, c := range f.params {
		params[i] = api.ValueTypeI32
		if c == 'I' {
			params[i] = api.ValueTypeI64
		}
	}
	results := []api.ValueType{api.ValueTypeI32}
	if f.name == "proc_exit" {
		results = nil
	}
	call := f.call
	b.NewFunctionBuilder().WithName(f.name).WithGoModuleFunction(api.GoModuleFunc(
		func(ctx context.Context, mod api.Module, stack []uint64) {
			s, _ := ctx.Value(contextKey{}).(*System)
			if s == nil {
				panic(ErrNoSystem)
			}
			errno := call(ctx, s, memoryOf(mod), stack)
			if results != nil {
				stack[0] = uint64(errno)
			}
		}), params, results).Export(f.name)
}

// preview1 is the whole of preview 1.
var preview1 = []function{
	{"args_get", "ii", argsGet},
	{"args_sizes_get", "ii", argsSizesGet},
	{"environ_get", "ii", environGet},
	{"environ_sizes_get", "ii", environSizesGet},
	{"clock_res_get", "ii", clockResGet},
	{"clock_time_get", "iIi", clockTimeGet},
	{"fd_advise", "iIIi", fdAdvise},
	{"fd_allocate", "iII", fdAllocate},
	{"fd_close", "i", fdClose},
	{"fd_datasync", "i", fdDatasync},
	{"fd_fdstat_get", "ii", fdFdstatGet},
	{"fd_fdstat_set_flags", "ii", fdFdstatSetFlags},
	{"fd_fdstat_set_rights", "iII", fdFdstatSetRights},
	{"fd_filestat_get", "ii", fdFilestatGet},
	{"fd_filestat_set_size", "iI", fdFilestatSetSize},
	{"fd_filestat_set_times", "iIIi", fdFilestatSetTimes},
	{"fd_pread", "iiiIi", fdPread},
	{"fd_prestat_get", "ii", fdPrestatGet},
	{"fd_prestat_dir_name", "iii", fdPrestatDirName},
	{"fd_pwrite", "iiiIi", fdPwrite},
	{"fd_read", "iiii", fdRead},
	{"fd_readdir", "iiiIi", fdReaddir},
	{"fd_renumber", "ii", fdRenumber},
	{"fd_seek", "iIii", fdSeek},
	{"fd_sync", "i", fdSync},
	{"fd_tell", "ii", fdTell},
	{"fd_write", "iiii", fdWrite},
	{"path_create_directory", "iii", pathCreateDirectory},
	{"path_filestat_get", "iiiii", pathFilestatGet},
	{"path_filestat_set_times", "iiiiIIi", pathFilestatSetTimes},
	{"path_link", "iiiiiii", pathLink},
	{"path_open", "iiiiiIIii", pathOpen},
	{"path_readlink", "iiiiii", pathReadlink},
	{"path_remove_directory", "iii", pathRemoveDirectory},
	{"path_rename", "iiiiii", pathRename},
	{"path_symlink", "iiiii", pathSymlink},
	{"path_unlink_file", "iii", pathUnlinkFile},
	{"poll_oneoff", "iiii", pollOneoff},
	{"proc_exit", "i", procExit},
	{"proc_raise", "i", procRaise},
	{"random_get", "ii", randomGet},
	{"sched_yield", "", schedYield},
	{"sock_accept", "iii", sockAccept},
	{"sock_recv", "iiiiii", sockRecv},
	{"sock_send", "iiiii", sockSend},
	{"sock_shutdown", "ii", sockShutdown},
}
