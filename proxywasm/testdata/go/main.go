// Command classes holds one plugin for each class of examples that the public
// SDKs have, in Go. A root id chooses among them.
package main

import (
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm"
	"github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/types"
)

func main() {}

func init() { proxywasm.SetVMContext(&vm{}) }

// plugins are made by root id.
var plugins = map[string]func(base) types.PluginContext{
	"auth":       func(b base) types.PluginContext { return &auth{base: b} },
	"body":       func(b base) types.PluginContext { return &body{base: b} },
	"chunks":     func(b base) types.PluginContext { return &chunks{base: b} },
	"configured": func(b base) types.PluginContext { return &configured{base: b} },
	"foreign":    func(b base) types.PluginContext { return &foreign{base: b} },
	"headers":    func(b base) types.PluginContext { return &headers{base: b} },
	"json":       func(b base) types.PluginContext { return &validator{base: b} },
	"lookups":    func(b base) types.PluginContext { return &lookups{base: b} },
	"metrics":    func(b base) types.PluginContext { return &metrics{base: b} },
	"network":    func(b base) types.PluginContext { return &network{base: b} },
	"postpone":   func(b base) types.PluginContext { return &postpone{base: b} },
	"properties": func(b base) types.PluginContext { return &properties{base: b} },
	"receiver":   func(b base) types.PluginContext { return &receiver{base: b} },
	"sender":     func(b base) types.PluginContext { return &sender{base: b} },
	"shared":     func(b base) types.PluginContext { return &shared{base: b} },
	"ticker":     func(b base) types.PluginContext { return &ticker{base: b} },
}

type vm struct {
	types.DefaultVMContext
	config []byte
}

func (v *vm) OnVMStart(size int) types.OnVMStartStatus {
	if size > 0 {
		v.config = must(proxywasm.GetVMConfiguration())
	}
	return types.OnVMStartStatusOK
}

func (v *vm) NewPluginContext(id uint32) types.PluginContext {
	root, err := proxywasm.GetProperty([]string{"plugin_root_id"})
	if err != nil {
		panic("a plugin without a root id")
	}
	plugin, ok := plugins[string(root)]
	if !ok {
		panic("no plugin of root id " + string(root))
	}
	return plugin(base{vm: v, id: id})
}

// base is what all plugins have.
type base struct {
	types.DefaultPluginContext
	vm     *vm
	id     uint32
	config string
}

func (b *base) OnPluginStart(size int) types.OnPluginStartStatus {
	if size > 0 {
		b.config = string(must(proxywasm.GetPluginConfiguration()))
	}
	return types.OnPluginStartStatusOK
}

// must panics, which ends the VM: the host's tests see it as a crash.
func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
