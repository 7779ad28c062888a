// Package gateway is the HTTP server at the edge: it listens, terminates TLS,
// finds the route of a request, and answers from an app, an upstream, files or
// by a redirect. It passes streams of TCP on to upstreams, too.
//
// A [Gateway] is made of a checked configuration by [New], which opens all
// listeners, so that what cannot work fails there. [Gateway.Run] serves until
// its context ends and then lets running requests finish for as long as
// server.timeouts.shutdown says. [Gateway.Reload] puts another configuration
// in force: requests that have begun finish under the old one, listeners that
// both have are kept open, and connections are not closed but asked to close
// where they have to be made anew. A configuration that cannot be put in force
// leaves the old one as it is. [Gateway.Close] ends everything at once.
//
// What a route needs of other packages comes through [Options]: apps by their
// names, and filters. The gateway knows nothing of Wasm.
//
// Everything of one configuration (routes, open folders, connections to
// upstreams, apps) belongs to one state, which counts the requests that use it
// and is released when it is out of force and the last of them has ended. A
// connection of a stream uses it until it is connected to its upstream, and
// goes on for as long as it lasts.
package gateway
