package main

import "testing"

func TestNewer(t *testing.T) {
	ascending := []string{"0~", "0", "1.0~rc1-1", "1.0-1~deb12u1", "1.0-1", "1.0-1+b1", "1.0-1+deb12u1", "1.0-1+deb12u2", "1.0-1+deb12u10",
		"1.0-2", "1.0a-1", "1.0+dfsg-1", "1.0.1", "1.9", "1.10", "1:0.1"}
	for i, a := range ascending {
		for j, b := range ascending {
			if got := newer(a, b); got != (i > j) {
				t.Errorf("newer(%s, %s) is %v", a, b, got)
			}
		}
	}
	if newer("1.0", "1.00") || newer("01", "1") || newer("0:1", "1") {
		t.Error("equal versions differ")
	}
}
