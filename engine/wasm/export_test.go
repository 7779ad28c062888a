package wasm

// Form makes options that choose a way of counting.
func Form(f int) InterruptOptions { return InterruptOptions{form: form(f)} }
