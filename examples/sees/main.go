// Command sees is a guest that tells what it can see of the machine that it
// runs on.
//
//	GOOS=wasip1 GOARCH=wasm go build -o sees.wasm ./examples/sees
//	hako run sees.wasm
//	hako run -e HOME --dir .:/here:ro sees.wasm /here /etc/passwd
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	fmt.Printf("I am a guest on %s/%s. I see\n", runtime.GOOS, runtime.GOARCH)
	fmt.Printf("  %d variables", len(os.Environ()))
	for _, v := range os.Environ() {
		fmt.Printf(" %s", v)
	}
	fmt.Println()
	for _, path := range append([]string{"/"}, os.Args[1:]...) {
		look(path)
	}
}

// look tells what there is at a path, and whether it can be changed.
func look(path string) {
	info, err := os.Stat(path)
	if err != nil {
		fmt.Printf("  at %-12s nothing: %v\n", path, err)
		return
	}
	if !info.IsDir() {
		fmt.Printf("  at %-12s a file of %d bytes\n", path, info.Size())
		return
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		fmt.Printf("  at %-12s a directory that I cannot read: %v\n", path, err)
		return
	}
	fmt.Printf("  at %-12s a directory of %d entries", path, len(entries))
	probe := path + "/.hako-probe"
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		fmt.Printf(", which I cannot change: %v\n", err)
		return
	}
	_ = os.Remove(probe)
	fmt.Println(", which I can change")
}
