package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/hako-run/hako/examples/filters/waf/rules"
)

// A request of testdata/requests.json, and the status that it is refused
// with, or 0.
type request struct {
	Name, Method, Path, Body string
	Headers                  map[string]string
	Status                   int
}

func requests(t testing.TB) []request {
	text, err := os.ReadFile("testdata/requests.json")
	if err != nil {
		t.Fatal(err)
	}
	var list []request
	if err := json.Unmarshal(text, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func firewall(t testing.TB, config string) coraza.WAF {
	settings, err := rules.Parse([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	waf, err := coraza.NewWAF(coraza.NewWAFConfig().WithRootFS(coreruleset.FS).WithDirectives(settings.Directives()))
	if err != nil {
		t.Fatal(err)
	}
	return waf
}

// judge does natively what the plugin does, and returns the status.
func judge(t testing.TB, waf coraza.WAF, r request) int {
	tx := waf.NewTransaction()
	defer tx.Close()
	status := func(it *types.Interruption) int { return it.Status }
	method := r.Method
	if method == "" {
		method = "GET"
	}
	tx.ProcessConnection("192.0.2.7", 4711, "127.0.0.1", 80)
	tx.ProcessURI(r.Path, method, "HTTP/1.1")
	tx.AddRequestHeader("accept", "*/*")
	if r.Headers["user-agent"] == "" {
		tx.AddRequestHeader("user-agent", "Mozilla/5.0")
	}
	for name, value := range r.Headers {
		tx.AddRequestHeader(name, value)
	}
	tx.AddRequestHeader("Host", "shop.test")
	tx.SetServerName("shop.test")
	if it := tx.ProcessRequestHeaders(); it != nil {
		return status(it)
	}
	if r.Body != "" {
		if it, _, err := tx.WriteRequestBody([]byte(r.Body)); err != nil {
			t.Fatal(err)
		} else if it != nil {
			return status(it)
		}
	}
	it, err := tx.ProcessRequestBody()
	if err != nil {
		t.Fatal(err)
	}
	if it != nil {
		return status(it)
	}
	return 0
}

func TestVerdicts(t *testing.T) {
	waf := firewall(t, "")
	for _, r := range requests(t) {
		if got := judge(t, waf, r); got != r.Status {
			t.Errorf("%s: status %d, want %d", r.Name, got, r.Status)
		}
	}
}

func TestSettings(t *testing.T) {
	attack := request{Path: "/?q=%3Cscript%3Ealert(1)%3C%2Fscript%3E"}
	for config, want := range map[string]int{
		`{"detect_only": true}`: 0,
		`{"core_rules": false}`: 0,
		` `:                     403,
		`{"rules": ["SecRule ARGS:q \"@contains script\" \"id:1,phase:1,deny,status:418\""], "core_rules": false}`: 418,
		`{"setup": ["SecAction \"id:2,phase:1,nolog,pass,setvar:tx.inbound_anomaly_score_threshold=1000\""]}`:      0,
		`{"rules": ["SecRuleRemoveByTag attack-xss", "SecRuleRemoveById 941100-949999"]}`:                          0,
	} {
		if got := judge(t, firewall(t, config), attack); got != want {
			t.Errorf("%s: status %d, want %d", config, got, want)
		}
	}
	for _, config := range []string{`{"rule": []}`, `[]`, `{"rules": "x"}`} {
		if _, err := rules.Parse([]byte(config)); err == nil || !strings.Contains(err.Error(), "configuration") {
			t.Errorf("%s: %v", config, err)
		}
	}
}
