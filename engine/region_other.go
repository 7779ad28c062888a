//go:build !linux

package engine

var defaultBacking backing = heapBacking{}
