package proxywasm

import (
	"fmt"
	"slices"
	"strings"
)

// capabilities are what Config.Allow can name.
var capabilities = []string{"http_call", "grpc_call", "redis", "foreign", "queue"}

// allowed is what a plugin may do.
type allowed map[string]map[string]bool

func parseAllow(list []string) (allowed, error) {
	a := allowed{}
	for _, entry := range list {
		capability, name, ok := strings.Cut(entry, ":")
		if !ok || name == "" || !slices.Contains(capabilities, capability) {
			return nil, fmt.Errorf("allow %q: it is to be one of %s, with a colon and a name or *", entry, strings.Join(capabilities, ", "))
		}
		if a[capability] == nil {
			a[capability] = map[string]bool{}
		}
		a[capability][name] = true
	}
	return a, nil
}

func (a allowed) may(capability, name string) bool {
	return a[capability][name] || a[capability]["*"]
}
