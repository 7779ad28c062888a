// Package offline drives one request through a Proxy-Wasm plugin without a
// server: for trying plugins, for bug reports and for tests of plugins.
//
// [Run] makes the callbacks that a gateway would make for a request and its
// response, answers the plugin's HTTP calls from messages that it is given,
// and keeps every step between plugin and host as [proxywasm.Event], which
// [Describe] tells in words. The steps are a recording: [Write] and [Read]
// keep it as a line of JSON for each, and [proxywasm.Replay] runs the plugin
// from it again.
package offline
