// Package filter runs HTTP exchanges through Proxy-Wasm plugins: a Chain of
// Filters around any http.Handler.
//
//	chain := filter.New([]filter.Filter{{Plugin: waf}, {Plugin: quota, Root: 1}}, filter.Options{})
//	http.ListenAndServe(addr, chain.Handler(app))
//
// Requests pass the filters in their order, responses in the reverse one, as
// in Envoy. Headers go on when every filter lets them. Bodies are streamed: the
// handler reads a request's body through the filters, and what it writes
// passes them on the way out, unless one of them holds it. Once the headers
// are with the handler, or with the client, a filter cannot change them any
// more.
//
// A response that a filter gives in the request's phase passes the response
// callbacks of those filters that have seen the request. One that it gives in
// the response's phase replaces the other, and is shown to nobody. If the
// response is on its way to the client already, its connection is cut.
//
// What upgrades a connection (websockets) is shown to filters as headers; the
// bytes after that pass by them.
package filter
