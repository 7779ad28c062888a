// Package wasi is WASI preview 1 for guests that are pooled and reused: what a
// guest sees lies in a [System] that the host functions find in the context
// of the call, not in the module. Beside preview 1 there are the socket
// functions that WasmEdge added to it.
//
// A runtime gets the host modules once, by [Instantiate]. For each guest there
// is a System, made of a [Config] that grants it arguments, variables, streams,
// directories and addresses; what is not granted is not there:
//
//	grants, err := wasi.OpenGrants(wasi.GrantConfig{Dirs: []wasi.DirGrant{{Host: "public", Guest: "/srv", ReadOnly: true}}})
//	...
//	system, err := wasi.NewSystem(wasi.Config{Args: []string{"app"}, Stdout: os.Stdout, Grants: grants})
//	...
//	_, err = start.Call(wasi.NewContext(ctx, system))
//	system.Close()
//
// Grants may be shared by any number of Systems: directories are opened and
// ports are bound once, and a System of shared Grants is made in about a
// microsecond. A guest whose memory is put back to an earlier state gets a new
// System.
//
// A System is used by one call at a time. Host functions that end the guest
// panic with an [ExitError], a [LimitError] or the cause of a context that is
// done; what the call returns wraps them.
//
// # Caveats
//
// Paths are confined: no symbolic link, "..", rename or hard link leads out of
// a granted directory, even while the host changes it (docs/wasi.md tells the
// rules). What lies inside is the guest's: two grants of one directory show
// the same files.
//
// Reading from a stream that never ends, as a terminal, is done by a goroutine
// that belongs to an [Input]; it outlasts the guest that waited for it until
// the stream gives something or is closed.
package wasi
