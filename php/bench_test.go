package php

import (
	"net/http/httptest"
	"testing"

	"github.com/hako-run/hako/app"
)

// BenchmarkRequest is what a request costs without the network: a fork or an
// instance that lives on, a script that does nothing, and one that works.
func BenchmarkRequest(b *testing.B) {
	f := files{
		"hello.php": `<?php echo 'hello';`,
		"work.php":  `<?php $s = 0; for ($i = 0; $i < 100000; $i++) $s += strlen(md5((string)$i)); echo $s;`,
		"x.css":     "body{}",
	}
	for _, session := range []bool{false, true} {
		for _, path := range []string{"/hello.php", "/work.php", "/x.css"} {
			name := "fork" + path
			if session {
				name = "session" + path
			}
			b.Run(name, func(b *testing.B) {
				s := open(b, f, func(c *app.ServiceConfig) {
					c.Session, c.Instances, c.Warm = session, 1, []string{"/hello.php", "/work.php"}
				})
				for b.Loop() {
					w := httptest.NewRecorder()
					s.service.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
					if w.Code != 200 {
						b.Fatal(w.Code, s.log)
					}
				}
			})
		}
	}
}
