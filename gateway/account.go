package gateway

import "time"

// An Account is what a request took, for the access log and the metrics. The
// app that answers fills it.
type Account struct {
	Queued   time.Duration // waiting for an instance
	CPU      time.Duration // processor time of the guest
	Memory   int64         // bytes of memory that the guest had at its end
	Forked   bool          // a fresh instance was made for it
	Shed     bool          // it was turned away, as the queue was full
	Limit    string        // the limit that ended it ("memory", "cpu" ...), or ""
	Crashed  bool          // the guest trapped
	Instance string        // which instance answered
	Versions []DatabaseAt  // what it read or wrote
	Pinned   string        // the snapshot that it was pinned to, or ""
}

// A DatabaseAt is a database and the version that a request saw or made.
type DatabaseAt struct {
	Name    string
	Version uint64
}
