package sqlhost

import "time"

// Options bound what guests can make the host do and keep. The zero value
// works.
type Options struct {
	MaxValue       int   // bytes of a text, a blob or a row; 0: 16 MiB
	MaxSQL         int   // bytes of a statement; 0: 1 MiB
	MaxTemp        int64 // bytes of a connection's temporary files together; 0: 1 GiB
	MaxConnections int   // of an instance, at a time; 0: 16
	MaxCursors     int   // of a connection, at a time; 0: 64

	// Idle is how many connections to a database are kept for others when
	// nobody has them; 0: 16. They are closed after a minute, when the pool is
	// next used.
	Idle int
	// BusyTimeout is how long a writer waits for its turn unless the guest
	// says otherwise; 0: 5 s.
	BusyTimeout time.Duration
}

const idleTime = time.Minute

func (o Options) withDefaults() Options {
	set := func(n *int, to int) {
		if *n <= 0 {
			*n = to
		}
	}
	set(&o.MaxValue, 16<<20)
	set(&o.MaxSQL, 1<<20)
	set(&o.MaxConnections, 16)
	set(&o.MaxCursors, 64)
	set(&o.Idle, 16)
	if o.MaxTemp <= 0 {
		o.MaxTemp = 1 << 30
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = 5 * time.Second
	}
	return o
}
