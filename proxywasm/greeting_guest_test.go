package proxywasm_test

import (
	"testing"

	"github.com/hako-run/hako/internal/guestbuild"
	pw "github.com/hako-run/hako/proxywasm"
)

// The example of examples/filters does the same in every language.
func TestGreeting(t *testing.T) {
	const dir = "../examples/filters/"
	for language, build := range map[string]func(testing.TB) string{
		"Go": func(t testing.TB) string { return guestbuild.Go(t, dir+"go", "-buildmode=c-shared") },
		"C":  func(t testing.TB) string { return cGuest(t, dir+"c/greeting.c") },
		"Rust": func(t testing.TB) string {
			return guestbuild.Rust(t, dir+"rust/greeting.rs", "../guest/rust/proxy_wasm.rs")
		},
		"AssemblyScript": func(t testing.TB) string {
			return guestbuild.AssemblyScript(t, dir+"assemblyscript/greeting.ts")
		},
	} {
		t.Run(language, func(t *testing.T) {
			metrics := pw.NewRegistry()
			p, _ := load(t, build(t), pw.Config{
				Name: "greeting", Metrics: metrics,
				Roots: []pw.Root{{RootID: "greeting"}, {Name: "polite", RootID: "greeting", Config: []byte("good day, héllo")}},
			})
			if forked, why := p.Forked(); !forked {
				t.Errorf("VMs are not forked: %v", why)
			}
			plain := exchange(t, p, 0, get("/"), answer("200", "text"))
			expect(t, plain.client.headers, "x-greeting", "hello")
			if plain.client.text() != "text" || plain.upstream == nil {
				t.Errorf("the exchange was disturbed: %q", plain.client.text())
			}
			refused := exchange(t, p, 0, get("/private/plans"), answer("200"))
			expect(t, refused.client.headers, ":status", "403")
			if refused.upstream != nil || refused.client.text() != "a key is needed\n" {
				t.Errorf("the refusal is %q; the upstream got %v", refused.client.text(), refused.upstream)
			}
			if got := exchange(t, p, 0, get("/private/plans", "x-key", "k"), answer("200")); got.upstream == nil {
				t.Errorf("refused in spite of the key")
			}
			var count uint64
			for _, m := range metrics.All() {
				if m.Name == "greeting_refused" {
					count = m.Value()
				}
			}
			if count != 1 {
				t.Errorf("greeting_refused is %d", count)
			}
			polite := exchange(t, p, 1, get("/"), answer("200"))
			expect(t, polite.client.headers, "x-greeting", "good day, héllo")
		})
	}
}
