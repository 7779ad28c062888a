package engine

import (
	"context"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// AlarmModule is the module that guests import the function "set" from, with
// two parameters ms and flag and a result, all i32. It is there in every
// engine.
//
// Once the call under way has used ms milliseconds of processor time from then
// on, the byte of memory at flag becomes 1, while the guest goes on: an
// interpreter sees it between two steps and ends what it runs in good order,
// where the limit itself would end the guest. The same happens shortly before
// the limits CPU and Wall: a tenth of them before, and a second at most. With ms
// 0 it happens then alone. A call has one alarm, the last that was set; with
// flag 0 it has none. It is over when the call is.
//
// The result is 0, or -1 if flag is not in the memory. While the guest waits
// in a host function nothing is written.
const AlarmModule = "hako_alarm_v1"

// maxNotice is how long before a limit an alarm goes off, at most.
const maxNotice = time.Second

// An alarm is to be written into a guest's memory.
type alarm struct {
	flag uint32
	cpu  time.Duration // of the call, 0 for none
	wall time.Duration // on the monotonic clock, 0 for none
}

// instantiateAlarm registers AlarmModule.
func instantiateAlarm(ctx context.Context, rt wazero.Runtime) error {
	i32 := api.ValueTypeI32
	_, err := rt.NewHostModuleBuilder(AlarmModule).NewFunctionBuilder().
		WithGoModuleFunction(api.GoModuleFunc(setAlarm), []api.ValueType{i32, i32}, []api.ValueType{i32}).
		Export("set").Instantiate(ctx)
	return err
}

func setAlarm(ctx context.Context, m api.Module, stack []uint64) {
	ms, flag := uint32(stack[0]), uint32(stack[1])
	stack[0] = 0
	if memory := m.Memory(); memory == nil || uint64(flag) >= uint64(memory.Size()) {
		stack[0] = uint64(^uint32(0))
		return
	}
	if c := callOf(ctx); c != nil {
		c.setAlarm(time.Duration(ms)*time.Millisecond, flag)
	}
}

func (c *call) setAlarm(after time.Duration, flag uint32) {
	c.alarm = alarm{}
	if flag == 0 {
		return
	}
	a := alarm{flag: flag}
	if after > 0 {
		a.cpu = c.spent() + after
	}
	if c.cpuLimit > 0 {
		before := c.cpuLimit - min(c.in.limits.CPU/10, maxNotice)
		if a.cpu == 0 || before < a.cpu {
			a.cpu = max(before, 1)
		}
	}
	if c.deadline > 0 {
		a.wall = max(c.deadline-min(c.in.limits.Wall/10, maxNotice), 1)
	}
	c.alarm = a
}

// due lets the alarm go off if it is time.
func (a *alarm) due(m api.Module, cpu, now time.Duration) {
	if a.flag == 0 || !(a.cpu > 0 && cpu >= a.cpu || a.wall > 0 && now >= a.wall) {
		return
	}
	m.Memory().WriteByte(a.flag, 1) // memories do not shrink
	*a = alarm{}
}
