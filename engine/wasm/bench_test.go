package wasm_test

import (
	"testing"

	"github.com/hako-run/hako/engine/wasm"
)

func BenchmarkDecode(b *testing.B) {
	source := goGuest(b)
	b.SetBytes(int64(len(source)))
	for b.Loop() {
		if _, err := wasm.Decode(source); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInterrupt(b *testing.B) {
	source := goGuest(b)
	b.SetBytes(int64(len(source)))
	for b.Loop() {
		m, err := wasm.Decode(source)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := m.Interrupt(wasm.InterruptOptions{}); err != nil {
			b.Fatal(err)
		}
		m.Encode()
	}
}
