package vfscore

import (
	"bytes"
	"testing"

	"github.com/hako-run/hako/pagestore"
)

func TestMetaRoundTrip(t *testing.T) {
	for _, m := range []Meta{
		{},
		{Base: 7, Cookie: 1<<32 - 1},
		{Base: 1<<32 - 1, Cookie: 3, Imported: true, Counter: 5, ValidFor: 6, WriteMode: 2, ReadMode: 1},
	} {
		got, err := ParseMeta(m.AppendMeta(nil))
		if err != nil || got != m {
			t.Errorf("%+v, %v: want %+v", got, err, m)
		}
	}
}

// Versions of one database never show the same counter, across imports and
// branches.
func TestChangeCounterOfVersions(t *testing.T) {
	imported := Meta{Base: 99, Imported: true, Counter: 100, ValidFor: 100}
	next := imported.Next(1, 4)
	if imported.ChangeCounter(1) != 100 || next.ChangeCounter(2) != 101 || next.ChangeCounter(5) != 104 || next.Cookie != 4 {
		t.Errorf("%+v", next)
	}
	branch := imported.Next(0, 4) // version 0 of a branch has the Meta that it began from
	if branch.ChangeCounter(1) != 101 {
		t.Errorf("%+v", branch)
	}
	if m := (Meta{}).Next(0, 1); m.ChangeCounter(1) != 1 {
		t.Errorf("%+v", m)
	}
}

func TestHeaderNormalisesAndRestores(t *testing.T) {
	page := bytes.Repeat([]byte{0xa5}, 512)
	page[offWriteMode], page[offReadMode] = 2, 2
	h := Header(bytes.Clone(page))
	m := Meta{Imported: true, Counter: h.Counter(), ValidFor: h.ValidFor()}
	m.WriteMode, m.ReadMode = h.Modes()
	h.Normalise()
	if h.Counter() != 0 || h.ValidFor() != 0 || h[offWriteMode] != 1 || h[offReadMode] != 1 {
		t.Errorf("stored: % x", h[:HeaderSize])
	}
	if h.Restore(m, m.Counter); !bytes.Equal(h, page) {
		t.Errorf("restored: % x", h[:HeaderSize])
	}
	m.ValidFor++ // the page count was not valid in the file: it must not become so
	if h.Restore(m, m.ValidFor); h.Counter() == h.ValidFor() {
		t.Error("the page count became valid")
	}
}

func FuzzParseMeta(f *testing.F) {
	f.Add([]byte{})
	f.Add(Meta{Base: 1, Cookie: 2}.AppendMeta(nil))
	f.Add(Meta{Imported: true, Counter: 3, WriteMode: 2}.AppendMeta(nil))
	f.Add([]byte{9, 9, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMeta(b)
		if err != nil || len(b) == 0 {
			return
		}
		if !bytes.Equal(m.AppendMeta(nil), b) {
			t.Errorf("%x reads as %+v", b, m)
		}
		m.Next(pagestore.Version(3), 4)
	})
}
