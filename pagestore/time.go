package pagestore

import "time"

// FormatTime writes a time for people: local, with its zone, rounded up to
// milliseconds, so that a commit's time, written after an '@', names that
// commit. ParseRef reads it.
func FormatTime(t time.Time) string {
	return t.Add(time.Millisecond - 1).Truncate(time.Millisecond).Local().Format("2006-01-02T15:04:05.000Z07:00")
}

var timeLayouts = []string{
	time.RFC3339Nano,
	"2006-01-02T15:04Z07:00",
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999 Z07:00",
	"2006-01-02 15:04:05.999999999 -0700",
	"2006-01-02T15:04:05.999999999",
	"2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04",
	"2006-01-02 15:04",
	"2006-01-02",
}

// Zones by name; the name must be one of the local zone, or UTC.
var namedZoneLayouts = []string{
	"2006-01-02T15:04:05.999999999 MST",
	"2006-01-02 15:04:05.999999999 MST",
	"2006-01-02 15:04:05.999999999 -0700 MST",
}

// parseTime reads a time, which is local if it tells no zone. It reports false
// if text is none.
func parseTime(text string) (time.Time, bool) {
	for _, layout := range timeLayouts {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, true
		}
	}
	for _, layout := range namedZoneLayouts {
		t, err := time.ParseInLocation(layout, text, time.Local)
		if err != nil {
			continue
		}
		// Of a name that it does not know, Go makes a zone of offset 0.
		if name, offset := t.Zone(); t.Location() == time.Local || t.Location() == time.UTC || offset == 0 && (name == "UTC" || name == "GMT") {
			return t, true
		}
	}
	return time.Time{}, false
}
