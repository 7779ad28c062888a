// Command waf is a Proxy-Wasm plugin: the Coraza web application firewall
// with the OWASP Core Rule Set inside. It blocks requests and responses that
// the rules find hostile with the rules' status, mostly 403.
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -tags no_fs_access -o waf.wasm .
//
// Its configuration is JSON; see [rules.Settings]. Without any, the Core Rule Set
// blocks at paranoia level 1.
package main

import (
	"fmt"
	"runtime/debug"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	sdk "github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"

	"github.com/hako-run/hako/examples/filters/waf/rules"
)

func main() {}

func init() {
	// The rules are 20 MiB that every collection walks through, and one thread
	// does that while a request waits: better seldom than small.
	debug.SetGCPercent(300)
	proxywasm.SetPluginContext(func(uint32) sdk.PluginContext { return &plugin{} })
}

// A plugin is one configuration: one set of parsed rules, shared by its streams.
type plugin struct {
	sdk.DefaultPluginContext
	waf      coraza.WAF
	onHold   sdk.Action // of headers whose body is to be looked at
	requests proxywasm.MetricCounter
	blocked  proxywasm.MetricCounter
}

// OnPluginStart parses the rules. This is the slow part, and is over when
// Hako freezes the template that streams' VMs are forked from.
func (p *plugin) OnPluginStart(size int) sdk.OnPluginStartStatus {
	var text []byte
	if size > 0 {
		var err error
		if text, err = proxywasm.GetPluginConfiguration(); err != nil {
			proxywasm.LogCriticalf("read the configuration: %v", err)
			return sdk.OnPluginStartStatusFailed
		}
	}
	settings, err := rules.Parse(text)
	if err != nil {
		proxywasm.LogCritical(err.Error())
		return sdk.OnPluginStartStatusFailed
	}
	p.waf, err = coraza.NewWAF(coraza.NewWAFConfig().
		WithRootFS(coreruleset.FS).
		WithErrorCallback(logMatch).
		WithDirectives(settings.Directives()))
	if err != nil {
		proxywasm.LogCriticalf("parse the rules: %v", err)
		return sdk.OnPluginStartStatusFailed
	}
	if settings.HoldHeaders {
		p.onHold = sdk.ActionPause
	}
	p.requests = proxywasm.DefineCounterMetric("waf_requests")
	p.blocked = proxywasm.DefineCounterMetric("waf_blocked")
	return sdk.OnPluginStartStatusOK
}

func (p *plugin) NewHttpContext(uint32) sdk.HttpContext {
	return &stream{plugin: p, tx: p.waf.NewTransaction()}
}

// logMatch writes a line for each rule with "log" that matched.
func logMatch(match types.MatchedRule) {
	line := fmt.Sprintf("rule %d: %s [%s] uri=%q client=%s %s", match.Rule().ID(), match.Message(),
		match.Rule().Severity(), match.URI(), match.ClientIPAddress(), match.Data())
	switch match.Rule().Severity() {
	case types.RuleSeverityEmergency, types.RuleSeverityAlert, types.RuleSeverityCritical, types.RuleSeverityError:
		proxywasm.LogWarn(line)
	default:
		proxywasm.LogInfo(line)
	}
}
