// Package app runs Wasm apps: it makes of a module and its grants what the
// engine needs, runs it as a program or answers HTTP requests by it, and keeps
// a list of what runs on this machine.
//
// A [Spec] says what a guest is granted. A [Runner] has the engine and the
// databases; [Runner.Start] makes a [Process] of a module, with its directories
// opened and its ports bound: [Process.Run] runs it to its end and returns its
// exit code, [Process.Exec] runs others beside it with the same grants.
// [Runner.Serve] makes a [Service], which answers HTTP requests by instances of
// a worker or by runs of a CGI program.
//
// A process that is registered ([Registry.Register]) is seen by others of the
// same machine and user ([Registry.List]), which may run guests beside it, end
// it, or have it run commands on the databases that it has.
package app
