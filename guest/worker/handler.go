package worker

import "net/http"

var handler http.Handler = http.DefaultServeMux

// Handle sets the handler of all requests. It is to be called from an init
// function. Without it, [http.DefaultServeMux] answers.
func Handle(h http.Handler) { handler = h }
