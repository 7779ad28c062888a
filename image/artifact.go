package image

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// writeArtifact keeps a stage's module as a CNCF Wasm artifact: a manifest
// whose only layer is the module.
func (b *builder) writeArtifact(ctx context.Context, st *stage) (v1.Descriptor, error) {
	name, n, err := st.module()
	if err != nil {
		return v1.Descriptor{}, err
	}
	if lost := lostInArtifact(st, n); len(lost) > 0 {
		return v1.Descriptor{}, usageError("an artifact is the module %s and nothing else; it cannot hold %s: build an image, or leave them out", name, strings.Join(lost, ", "))
	}
	module, err := b.store.writeBlob(wasmLayer, func(w io.Writer) error {
		r, err := n.open()
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(w, &contextReader{ctx, r})
		return err
	})
	if err != nil {
		return v1.Descriptor{}, err
	}
	config, err := b.store.writeJSON(ctx, wasmConfig, artifactConfig{
		Created: b.epoch.Format(time.RFC3339), Architecture: "wasm", OS: "wasip1", LayerDigests: []string{module.Digest.String()},
	})
	if err != nil {
		return v1.Descriptor{}, err
	}
	m := &v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config, Layers: []v1.Descriptor{module}, Annotations: st.notes}
	return b.store.writeJSON(ctx, types.OCIManifestSchema1, m)
}

// lostInArtifact lists what a stage has beside its module.
func lostInArtifact(st *stage, module *node) (lost []string) {
	for _, name := range st.files.paths() {
		if n := st.files.nodes[name]; !n.isDir() && n != module {
			if len(lost) == 3 {
				lost = append(lost, "more files")
				break
			}
			lost = append(lost, "/"+name)
		}
	}
	if len(st.config.Entrypoint)+len(st.config.Cmd) > 1 {
		lost = append(lost, "arguments")
	}
	if len(st.config.Env) > 0 {
		lost = append(lost, "variables")
	}
	if len(st.config.ExposedPorts) > 0 {
		lost = append(lost, "ports")
	}
	if names := slices.Sorted(maps.Keys(st.config.Labels)); len(names) > 0 {
		lost = append(lost, "the label "+names[0])
	}
	return lost
}
