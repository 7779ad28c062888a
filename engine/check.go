package engine

import (
	"context"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/hako-run/hako/engine/wasm"
)

// checkEvery is how long a guest runs between two checks, about. A check
// costs half a microsecond; Go's runtime can stop the world, and deadlines are
// looked at, in checks and host calls alone.
const checkEvery = 200 * time.Microsecond

// The work between two checks, in the rewriter's units, which are a few to
// the nanosecond: at first, and the bounds. The upper one makes sure that a
// guest which turns to slower work comes back within 10 ms.
const (
	firstCount = 1 << 14
	minCount   = 1 << 10
	maxCount   = 1 << 19
)

// pace is how quickly a guest works. Its zero value knows nothing yet.
type pace struct {
	count int64         // what the guest counts down from
	at    time.Duration // the call's processor time when it began to, -1 if that was in an earlier call
}

// next returns what to count down from so that the next check comes after
// about checkEvery of processor time, and in about left if that is sooner
// and not 0.
func (p *pace) next(cpu, left time.Duration) int64 {
	if p.count == 0 {
		p.count = firstCount
	} else if p.at >= 0 {
		want := checkEvery
		if left > 0 {
			want = min(want, left)
		}
		took := max(cpu-p.at, time.Microsecond)
		count := int64(float64(p.count) * float64(want) / float64(took))
		// By steps, so that one odd round does not upset it.
		count = min(max(count, p.count/4), p.count*4)
		p.count = min(max(count, minCount), maxCount)
	}
	p.at = cpu
	return p.count
}

// instantiateCheck registers the host function that the rewriter makes guests
// call.
func instantiateCheck(ctx context.Context, rt wazero.Runtime) error {
	_, err := rt.NewHostModuleBuilder(wasm.CheckModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(check), nil, []api.ValueType{api.ValueTypeI32}).
		Export(wasm.CheckName).Instantiate(ctx)
	return err
}

func check(ctx context.Context, m api.Module, stack []uint64) {
	c := callOf(ctx)
	if c == nil {
		// A host function that made a call of its own out of another context:
		// nothing bounds that, but it still lets Go's runtime in.
		stack[0] = minCount
		return
	}
	stack[0] = uint64(uint32(c.check(m)))
}

// check ends the guest if it has used up what it has, or returns what it may
// count down from next.
func (c *call) check(m api.Module) int64 {
	now := monotonic()
	in := c.in
	if in.stopping.Load() {
		panic(errStopped)
	}
	select {
	case <-c.done:
		panic(context.Cause(c.parent))
	default:
	}
	cpu := c.spent()
	in.running.Store(int64(cpu))
	if c.deadline > 0 && now >= c.deadline {
		panic(in.wallError())
	}
	if c.cpuLimit > 0 && cpu >= c.cpuLimit {
		panic(in.cpuError())
	}
	c.alarm.due(m, cpu, now)
	deep, err := in.body.excess()
	if err != nil {
		panic(err)
	}
	var left time.Duration
	if c.deadline > 0 {
		left = c.deadline - now
	}
	if c.cpuLimit > 0 && (left == 0 || c.cpuLimit-cpu < left) {
		left = c.cpuLimit - cpu
	}
	count := in.body.pace.next(cpu, left)
	if deep && in.module.exceptions {
		in.body.pace.at = -1 // what follows says nothing of the pace
		return deepCount
	}
	return count
}
