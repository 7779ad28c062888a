//go:build !(linux && amd64)

package engine

// guarding reports whether memories are guarded.
func guarding() bool { return false }
