package engine

import (
	"bytes"
	"encoding/gob"

	"github.com/hako-run/hako/engine/wasm"
)

// kept is a rewritten module as the cache of compiled code has it.
type kept struct {
	Binary            []byte
	Data              []wasm.Segment
	Globals           []wasm.ExportedGlobal
	Start             string
	HasMemory         bool
	Memory            wasm.Limits
	Imports           []Import
	Exports           []Export
	Functions         map[string]keptFunction
	Imported, Defined uint32
	Exceptions        bool
	NotFrozen         string
}

type keptFunction struct {
	Name            string
	Params, Results int
}

func encodeRewritten(r *rewritten) ([]byte, error) {
	k := kept{
		Binary: r.binary, Data: r.data, Globals: r.globals, Start: r.start,
		HasMemory: r.hasMemory, Memory: r.memory, Imports: r.imports, Exports: r.exports,
		Functions: make(map[string]keptFunction, len(r.functions)),
		Imported:  r.imported, Defined: r.defined, Exceptions: r.exceptions, NotFrozen: r.notFrozen,
	}
	for name, f := range r.functions {
		k.Functions[name] = keptFunction{f.name, f.params, f.results}
	}
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(&k)
	return b.Bytes(), err
}

func decodeRewritten(b []byte) (*rewritten, error) {
	var k kept
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&k); err != nil {
		return nil, err
	}
	r := &rewritten{
		binary: k.Binary, data: k.Data, globals: k.Globals, start: k.Start,
		hasMemory: k.HasMemory, memory: k.Memory, imports: k.Imports, exports: k.Exports,
		functions: make(map[string]*exportedFunction, len(k.Functions)),
		imported:  k.Imported, defined: k.Defined, exceptions: k.Exceptions, notFrozen: k.NotFrozen,
	}
	for name, f := range k.Functions {
		r.functions[name] = &exportedFunction{f.Name, f.Params, f.Results}
	}
	return r, nil
}
