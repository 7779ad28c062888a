package engine

import "context"

// Where it can be done, guests' accesses to their memory are not checked one
// by one: the address space around a memory is reserved and inaccessible, as
// far as a guest's address and offset can reach, and the fault that an access
// there makes ends the call (docs/engine.md tells how and what it gains).
//
// It takes a wazero that leaves the checks out when it is asked to, by a value
// of the context, and Linux on an amd64 processor. Whether all of it works is
// tried once.

// guardSpan is how much is reserved for a guarded memory: what a 32-bit address
// reaches, and the offsets up to which wazero leaves the check out.
const guardSpan = 4<<30 + 64<<20

// guardVersion tells code apart that was compiled for guarded memories. It
// changes whenever what wazero makes of a module does (patches/wazero).
const guardVersion = " guarded 7"

// guardKey is the key under which wazero looks for the wish. It is a string so
// that neither side needs the other's types.
const guardKey = "guard pages"

func withGuard(ctx context.Context) context.Context {
	return context.WithValue(ctx, guardKey, true) //lint:ignore SA1029 a plain string is what is agreed on
}
