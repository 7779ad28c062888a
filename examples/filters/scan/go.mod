module github.com/hako-run/hako/examples/filters/scan

go 1.26

require (
	github.com/hako-run/hako/guest/filter v0.0.0
	github.com/proxy-wasm/proxy-wasm-go-sdk v0.0.0-20260105142703-44c7d5847745
)

replace github.com/hako-run/hako/guest/filter => ../../../guest/filter
