package wasm

// Form makes options that choose a way of counting.
func Form(f int) InterruptOptions { return InterruptOptions{form: form(f)} }

// ExportCount exports what is left of the count, by the name "count".
func ExportCount(m *Module) {
	m.addExport("count", GlobalKind, m.imported[GlobalKind]+uint32(len(m.globals)-1))
}
