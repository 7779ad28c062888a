package guest

import "testing"

// BenchmarkReadPage is what a guest's read of a page takes at the host, the
// crossing of the border apart, and what of it is the core's.
func BenchmarkReadPage(b *testing.B) {
	c := newCaller(b)
	c.begin(b, Options{})
	defer c.end(b)
	c.prepare(1)
	shop := c.open(b, 0)
	c.call(byName["lock"], shop, 4)
	c.call(byName["journal"], shop, outAt)
	c.m.Memory().WriteByte(headerAt+24, 9)
	c.call(byName["write"], shop, headerAt, 4096, 0)
	if code := c.call(byName["sync"], shop, textAt, 0); code != 0 {
		b.Fatal(c.d.err)
	}
	c.call(byName["unlock"], shop, 0)
	c.call(byName["lock"], shop, 1)
	page, _ := c.m.Memory().Read(headerAt, 4096)
	stack := make([]uint64, 4)
	read := byName["read"]
	b.Run("import", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			stack[0], stack[1], stack[2], stack[3] = shop, headerAt, 4096, 0
			read.Call(c.ctx, c.m, stack)
		}
	})
	main := c.d.files[shop].main
	b.Run("core", func(b *testing.B) {
		for b.Loop() {
			main.Read(page, 0)
		}
	})
}
