// Package rules reads the firewall's configuration.
package rules

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Settings are the plugin's configuration:
//
//	{
//	  "setup": ["SecAction \"id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level=2\""],
//	  "rules": ["SecRuleRemoveById 920350"]
//	}
type Settings struct {
	// Setup are SecLang directives that come before the Core Rule Set, such as
	// those that set its paranoia level and its thresholds.
	Setup []string `json:"setup"`

	// Rules are directives that come after it: rules of one's own, and
	// exclusions from the Core Rule Set.
	Rules []string `json:"rules"`

	// CoreRules false leaves the Core Rule Set out.
	CoreRules *bool `json:"core_rules"`

	// HoldHeaders keeps the headers of a message back, too, until its body has
	// been looked at. The host must then go on with the body's callbacks
	// after a pause in those of headers, which Envoy and Hako do if asked
	// for (allow_on_headers_stop_iteration). Without, the headers of what is
	// blocked for its body may have been passed on; the body never is.
	HoldHeaders bool `json:"hold_headers"`

	// DetectOnly logs what would have been blocked and lets it pass.
	DetectOnly bool `json:"detect_only"`
}

// The body limit holds for what is looked at in memory; a longer request is
// refused, the rest of a longer response passes unseen.
const base = `
Include @coraza.conf-recommended
SecRuleEngine %s
SecAuditEngine Off
SecRequestBodyLimit 1048576
SecRequestBodyInMemoryLimit 1048576
`

// Parse reads a configuration; it may be empty.
func Parse(text []byte) (s Settings, err error) {
	if len(bytes.TrimSpace(text)) > 0 {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&s); err != nil {
			return s, fmt.Errorf("the configuration is not the JSON object that the WAF takes: %w", err)
		}
	}
	return s, nil
}

// Directives returns the SecLang that the settings stand for.
func (s *Settings) Directives() string {
	engine := "On"
	if s.DetectOnly {
		engine = "DetectionOnly"
	}
	lines := []string{fmt.Sprintf(base, engine)}
	core := s.CoreRules == nil || *s.CoreRules
	if core {
		lines = append(lines, "Include @crs-setup.conf.example")
	}
	lines = append(lines, s.Setup...)
	if core {
		lines = append(lines, "Include @owasp_crs/*.conf")
	}
	return strings.Join(append(lines, s.Rules...), "\n")
}
