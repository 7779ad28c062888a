//go:build linux || darwin

package wasi

// UseOpenat2 lets directories be walked by the kernel, or by os.Root only.
func UseOpenat2(on bool) { beneathOff.Store(!on) }
