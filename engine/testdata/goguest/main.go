// A Go program: goroutines, garbage, maps, a panic, a loop without an end.
package main

import (
	"fmt"
	"os"
	"strings"
)

func main() {
	switch os.Args[1] {
	case "work":
		parts := make(chan map[int]string)
		for i := range 10 {
			go func() {
				m := map[int]string{}
				for j := range 2000 {
					m[j] = strings.Repeat("x", j%50+i)
				}
				parts <- m
			}()
		}
		total := 0
		for range 10 {
			for _, s := range <-parts {
				total += len(s)
			}
		}
		fmt.Println("total", total)
	case "panic":
		panic("on purpose")
	case "spin":
		for {
		}
	case "exit":
		os.Exit(7)
	}
}
