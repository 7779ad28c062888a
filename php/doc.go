// Package php is PHP for Hako: its build for WebAssembly (build), the SAPI
// that answers requests by the worker protocol (sapi) and the images made of
// them (image). docs/php.md tells how to use them.
//
// The Go code here finds what the build made, for tests and examples:
//
//	dir, err := php.Build()
//	module := filepath.Join(dir, php.Worker)
package php
