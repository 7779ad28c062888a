// Package app runs Wasm apps: it makes of an image and its grants what the
// engine needs, runs the guest, and keeps a list of what runs on this machine.
//
// A [Spec] says what to run and what it is granted. [Start] makes a [Process]
// of it: the module compiled, its directories opened, its ports bound, its
// databases at hand. [Process.Wait] returns the guest's exit code. A process
// that is registered ([Register]) is seen by others on the same machine
// ([List]), which may run another guest with the same grants beside it
// ([Exec]) or end it ([Stop]).
package app
