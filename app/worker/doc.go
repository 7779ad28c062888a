// Package worker is the host's side of the worker protocol: a guest exports
// one function that answers one HTTP request, and reads the request and writes
// the response through imports as it goes, so that neither is ever held whole.
//
// [Instantiate] registers the imports once for a wazero runtime. For each
// request there is an [Exchange], which goes with the context that the guest
// is called with ([NewContext]). The protocol is specified, for authors of
// guests, in docs/worker-protocol.md.
package worker
