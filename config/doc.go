// Package config reads hako.toml, the file that says what a server serves.
//
// [Load] reads a file, [Parse] its text. Both return a whole, checked [Config]
// or an [Error] that lists every mistake found, each with its file, line,
// column and, where one is at hand, a hint. Nothing is ignored: an unknown key
// is a mistake, and so is a route to an app that does not exist.
//
// What is written in strings may name environment variables: ${NAME},
// ${NAME:-default}; $${ stands for ${ itself. They are put in after the file
// was parsed, so a variable's text is never read as TOML. Relative paths are
// taken from the folder of the file.
//
// The types are the reference: docs/configuration.md and the JSON schema for
// editors, docs/hako.schema.json, are made from them, their comments and their
// tags by go generate. The tags are
//
//	toml:"key"        the key; "key,short": a plain string in place of the
//	                  table sets this key
//	default:"text"    the value without the key
//	enum:"a b c"      the values that are allowed
//	required:"true"   the key has to be there
//	example:"text"    shown in the reference
package config

//go:generate go run ./generate -docs ../docs -source .
