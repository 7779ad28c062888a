package filter

import "fmt"

// A Status is the error that the host answered with.
type Status uint32

// Statuses that are answered.
const (
	NotFound        Status = 1  // no such call; of every function, the host is not Hako
	BadArgument     Status = 2  // also an upstream that the filter may not call
	InternalFailure Status = 10 // such as too many calls under way
	Unimplemented   Status = 12 // the host keeps no bodies, or streams no calls
)

func (s Status) Error() string {
	switch s {
	case NotFound:
		return "not found"
	case BadArgument:
		return "bad argument, or an upstream that is not allowed"
	case InternalFailure:
		return "the host failed"
	case Unimplemented:
		return "not implemented by this host"
	}
	return fmt.Sprintf("status %d", uint32(s))
}
