// Package filter has what Hako's host gives to Proxy-Wasm plugins beside the
// standard: HTTP calls whose bodies are streamed, and bodies that are held
// outside of memory. It is used beside an SDK, such as
// github.com/proxy-wasm/proxy-wasm-go-sdk, and is a module of its own, without
// dependencies.
//
// A plugin that has a service look at an upload opens a call when it sees the
// headers, has the body kept, and pauses:
//
//	func (s *stream) OnHttpRequestHeaders(int, bool) types.Action {
//		s.call, err = filter.Open(s.id, filter.Request{Upstream: "scanner", Headers: headers}, s)
//		filter.Spool(filter.RequestBody)
//		return types.ActionPause
//	}
//
// What comes of the call is told to the [Events] that it was opened with, in
// the context of that stream: functions of the SDK act on it.
//
// Importing the package exports proxy_on_foreign_function, which no SDK for Go
// does. Other hosts than Hako answer every function with [NotFound].
package filter
