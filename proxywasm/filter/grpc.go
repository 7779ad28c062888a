package filter

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/hako-run/hako/proxywasm"
)

// isGRPC tells whether the client speaks gRPC.
func isGRPC(r *http.Request) bool {
	t := r.Header.Get("Content-Type")
	return t == "application/grpc" || strings.HasPrefix(t, "application/grpc+") || strings.HasPrefix(t, "application/grpc;")
}

// grpcStatus is the status of gRPC for a response: the filter's, or the one
// that gRPC's protocol maps that of HTTP to.
func grpcStatus(l *proxywasm.LocalResponse) int32 {
	if l.GRPCStatus >= 0 {
		return l.GRPCStatus
	}
	switch l.Status {
	case http.StatusOK:
		return 0
	case http.StatusBadRequest:
		return 13 // internal
	case http.StatusUnauthorized:
		return 16
	case http.StatusForbidden:
		return 7
	case http.StatusNotFound:
		return 12 // unimplemented
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return 14 // unavailable
	}
	return 2 // unknown
}

// grpcMessage is a message as gRPC has it in headers: percent-encoded.
func grpcMessage(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		if c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&s, "%%%02X", c)
		} else {
			s.WriteByte(c)
		}
	}
	return s.String()
}
