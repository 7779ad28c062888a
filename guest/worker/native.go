//go:build !wasip1

package worker

import (
	"net/http"
	"os"
)

// ListenAndServe serves the handler natively on $HAKO_LISTEN, or on
// 127.0.0.1:8080. In a guest it does nothing.
func ListenAndServe() error {
	address := os.Getenv("HAKO_LISTEN")
	if address == "" {
		address = "127.0.0.1:8080"
	}
	return http.ListenAndServe(address, handler)
}

// Prefix returns the part of the path that led to this app, "" natively.
func Prefix(*http.Request) string { return "" }

// Finish ends the response while the handler goes on. Natively it flushes.
func Finish(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() }
