// A guest that uses much of Go's runtime: goroutines, maps, sorting,
// formatting, garbage.
package main

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"sort"
	"strings"
)

func main() {
	counts := map[string]int{}
	results := make(chan string)
	for i := range 20 {
		go func() {
			sum := sha256.Sum256([]byte(strings.Repeat("x", i*100)))
			results <- fmt.Sprintf("%x", sum[:4])
		}()
	}
	for range 20 {
		for _, c := range <-results {
			counts[string(c)]++
		}
	}
	var list []string
	for c, n := range counts {
		list = append(list, fmt.Sprint(c, n))
	}
	sort.Strings(list)
	fmt.Println(regexp.MustCompile(`[a-f]\d+`).FindAllString(strings.Join(list, " "), -1))
}
