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

	// The app is to read the snapshots of the list Pin, in the place of its
	// databases, and says in Pinned which those are before it answers, or in
	// Refused why it cannot.
	Pin     string
	Pinned  string
	Refused string
	// A replay shows the guest not Pinned but Told: what it saw at first.
	Replay bool
	Told   string
	// If Branch is not "", the app is to work on branches of those of the
	// databases that are in Branched, and says in Branches which it has made.
	Branch   string
	Branched []string
	Branches []string
}

// A DatabaseAt is a database and the version that a request saw or made.
type DatabaseAt struct {
	Name    string
	Version uint64
	Wrote   bool
	Before  uint64 // if it wrote, the version before the first that it made
}
