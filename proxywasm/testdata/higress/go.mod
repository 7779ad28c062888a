module github.com/hako-run/hako/proxywasm/testdata/higress

go 1.26

require github.com/higress-group/proxy-wasm-go-sdk v0.0.0-20251103120604-77e9cce339d2
