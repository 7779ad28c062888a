package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tetratelabs/wazero/api"

	"github.com/hako-run/hako/engine/wasm"
)

// checkImports makes sure that everything a module imports is there. Other is
// the error about imports that are there with another type, which only
// Options.Imports can help.
func (e *Engine) checkImports(name string, imports []Import) (other, err error) {
	var missing, differ []string
	for _, im := range imports {
		why, there := e.missing(im)
		switch {
		case why == "":
		case there:
			differ = append(differ, why)
		default:
			missing = append(missing, why)
		}
	}
	explain := func(list []string) error {
		if len(list) == 0 {
			return nil
		}
		e := &ModuleError{Module: name, Hint: importHint(imports)}
		const shown = 5
		e.Reason = "it imports what is not there: " + strings.Join(list[:min(len(list), shown)], ", ")
		if n := len(list) - shown; n > 0 {
			e.Reason += fmt.Sprintf(" and %d more", n)
		}
		return e
	}
	if len(missing) > 0 {
		return nil, explain(append(missing, differ...))
	}
	return explain(differ), nil
}

// missing says what of an import is not there, "" if all is well, and whether
// there is one of that name.
func (e *Engine) missing(im Import) (why string, there bool) {
	what := printable(im.Module) + "." + printable(im.Name)
	if im.Kind != wasm.FuncKind {
		return fmt.Sprintf("%v %s", im.Kind, what), false
	}
	def, ok := e.hostFunctions(im.Module)[im.Name]
	if !ok {
		return what, false
	}
	if !sameTypes(im.Type.Params, def.ParamTypes()) || !sameTypes(im.Type.Results, def.ResultTypes()) {
		return fmt.Sprintf("%s as %s where it is %s", what, signatureText(im.Type),
			signatureText(wasm.FuncType{Params: valTypes(def.ParamTypes()), Results: valTypes(def.ResultTypes())})), true
	}
	return "", true
}

// hostFunctions returns the functions of a host module.
func (e *Engine) hostFunctions(module string) map[string]api.FunctionDefinition {
	e.mu.Lock()
	defer e.mu.Unlock()
	functions, ok := e.hosts[module]
	if !ok {
		if mod := e.runtime.Module(module); mod != nil {
			functions = mod.ExportedFunctionDefinitions()
			e.hosts[module] = functions
		}
	}
	return functions
}

// signatureText is a function's type as (i32, i32) -> i32.
func signatureText(t wasm.FuncType) string {
	list := func(types []wasm.ValType) string {
		var names []string
		for _, v := range types {
			names = append(names, v.String())
		}
		return strings.Join(names, ", ")
	}
	text := "(" + list(t.Params) + ")"
	switch len(t.Results) {
	case 0:
	case 1:
		text += " -> " + list(t.Results)
	default:
		text += " -> (" + list(t.Results) + ")"
	}
	return text
}

func valTypes(list []api.ValueType) []wasm.ValType {
	types := make([]wasm.ValType, len(list))
	for i, t := range list {
		types[i] = wasm.ValType(t)
	}
	return types
}

func sameTypes(a []wasm.ValType, b []api.ValueType) bool { return slices.Equal(a, valTypes(b)) }

// importHint guesses from its imports what a module was made for.
func importHint(imports []Import) string {
	for _, im := range imports {
		switch {
		case strings.HasPrefix(im.Module, "wasi:"):
			return "it is made for WASI preview 2: compile it for preview 1 (wasm32-wasip1)"
		case im.Module == "wasi" && strings.HasPrefix(im.Name, "thread"):
			return "it is made for threads: compile it for wasm32-wasip1"
		case im.Module == "env" && im.Name == "abort":
			return "it looks like AssemblyScript: compile it with the WASI shim (@assemblyscript/wasi-shim)"
		case im.Module == "env" && (strings.HasPrefix(im.Name, "emscripten_") || strings.HasPrefix(im.Name, "invoke_") ||
			strings.HasPrefix(im.Name, "__syscall_") || strings.HasPrefix(im.Name, "_emscripten") || im.Name == "__cxa_throw"):
			return "it was built by Emscripten for a browser: build it with -sSTANDALONE_WASM, or with wasi-sdk"
		case im.Module == "a" && len(im.Name) <= 2:
			return "it was built by Emscripten for a browser and minified: build it with -sSTANDALONE_WASM, or with wasi-sdk"
		case im.Module == "gojs" || im.Module == "go":
			return "it was built by Go for a browser: build it with GOOS=wasip1 GOARCH=wasm"
		case strings.HasPrefix(im.Module, "__wbindgen") || im.Module == "wbg":
			return "it was built by wasm-bindgen for a browser: build it for wasm32-wasip1"
		case im.Module == "wasi_unstable":
			return "it is made for the WASI before preview 1: compile it with a current toolchain"
		}
	}
	for _, im := range imports {
		if im.Module == "env" && im.Kind != wasm.FuncKind {
			return "it wants to share a memory or table with its host: link it as a program of its own"
		}
	}
	return ""
}
