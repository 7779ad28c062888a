package image

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Media types of CNCF Wasm artifacts, and of those that came before them.
const (
	wasmConfig   types.MediaType = "application/vnd.wasm.config.v0+json"
	wasmConfigV1 types.MediaType = "application/vnd.wasm.config.v1+json"
	wasmLayer    types.MediaType = "application/wasm"
	wasmLayerV1  types.MediaType = "application/vnd.wasm.content.layer.v1+wasm"
)

// annotationVariant marks images of Wasm modules that pretend to be for an
// ordinary platform.
const annotationVariant = "module.wasm.image/variant"

func isWasmLayer(t types.MediaType) bool {
	return t == wasmLayer || t == wasmLayerV1 || t == pluginLayer
}

// parseManifest reads the manifest of an image and checks its shape.
func (s *Store) parseManifest(h v1.Hash, b []byte) (*v1.Manifest, error) {
	m, err := v1.ParseManifest(bytes.NewReader(b))
	if err != nil {
		return nil, errorOf(ErrDamaged, "the manifest %s is damaged: %v", h, err)
	}
	if m.SchemaVersion != 2 {
		return nil, errorOf(ErrNotWasm, "the manifest %s has version %d; only version 2 is supported", h, m.SchemaVersion)
	}
	if len(m.Layers) > s.limits.Layers {
		return nil, errorOf(ErrTooLarge, "the image %s has %d layers; %d are allowed", h, len(m.Layers), s.limits.Layers)
	}
	var total int64
	for _, d := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if err := checkDescriptor(d); err != nil {
			return nil, fmt.Errorf("the manifest %s: %w", h, err)
		}
		if !d.MediaType.IsDistributable() {
			return nil, errorOf(ErrNotWasm, "the image %s has a layer that is kept elsewhere (%s), which is not supported", h, d.MediaType)
		}
		if d.Size > s.limits.Blobs || total > s.limits.Blobs-d.Size {
			return nil, errorOf(ErrTooLarge, "the layers of %s are larger than the %d bytes that are allowed", h, s.limits.Blobs)
		}
		total += d.Size
	}
	if m.Config.Size > s.limits.Manifest {
		return nil, errorOf(ErrTooLarge, "the configuration of %s has %d bytes; %d are allowed", h, m.Config.Size, s.limits.Manifest)
	}
	return m, nil
}

// size is what an image takes in the store.
func size(manifest int64, m *v1.Manifest) int64 {
	n := manifest + m.Config.Size
	for _, d := range m.Layers {
		n += d.Size
	}
	return n
}

// isArtifact reports whether the image is one module without a file system.
func isArtifact(m *v1.Manifest) bool {
	return m.Config.MediaType == wasmConfig || m.Config.MediaType == wasmConfigV1 || len(m.Layers) == 1 && isWasmLayer(m.Layers[0].MediaType)
}

// artifactConfig is the part of a CNCF artifact's configuration that matters
// here.
type artifactConfig struct {
	Created      string   `json:"created"`
	Author       string   `json:"author,omitempty"`
	Architecture string   `json:"architecture"`
	OS           string   `json:"os"`
	LayerDigests []string `json:"layerDigests"`
}

// platformError says why a platform is not one that Hako runs; nil if it is.
func platformError(p v1.Platform) error {
	if p.Architecture != "wasm" && p.Architecture != "wasm32" {
		return errorOf(ErrNotWasm, "it is an ordinary container image (for %s), not one of a Wasm module: run it with docker, or build one for wasi/wasm", platformText(p))
	}
	switch p.OS {
	case "wasi", "wasip1", "":
		return nil
	case "wasip2", "wasip3":
		return errorOf(ErrNotWasm, "it is a component for %s; Hako runs modules: compile for wasip1", p.OS)
	}
	return errorOf(ErrNotWasm, "it is for %s; Hako runs wasi/wasm and wasip1/wasm", platformText(p))
}

func platformText(p v1.Platform) string {
	return cmp.Or(p.OS, "?") + "/" + cmp.Or(p.Architecture, "?")
}

// chooseManifest returns the image of an index that Hako runs. Of a plugin, it
// may be for any platform.
func chooseManifest(index *v1.IndexManifest, plugin bool) (v1.Descriptor, error) {
	var seen []string
	best, bestRank, other := v1.Descriptor{}, 0, v1.Descriptor{}
	var first error
	for _, d := range index.Manifests {
		if d.Annotations["vnd.docker.reference.type"] != "" { // what BuildKit attests about another
			continue
		}
		rank := 0
		switch {
		case d.Platform == nil && (d.ArtifactType == string(wasmConfig) || d.MediaType.IsImage() && len(index.Manifests) == 1):
			rank = 1
		case d.Platform == nil:
		default:
			err := platformError(*d.Platform)
			if err == nil {
				rank = 2
				if d.Platform.OS == "wasip1" {
					rank = 3
				}
			} else if first == nil || d.Platform.Architecture == "wasm" {
				first = err
			}
			if other.MediaType == "" || d.Platform.OS == "linux" && d.Platform.Architecture == "amd64" {
				other = d
			}
			seen = append(seen, platformText(*d.Platform))
		}
		if rank > bestRank {
			best, bestRank = d, rank
		}
	}
	switch {
	case bestRank > 0:
		return best, checkDescriptor(best)
	case plugin && other.MediaType != "":
		return other, checkDescriptor(other)
	case len(seen) > 1 && !slices.ContainsFunc(seen, func(p string) bool { return strings.HasSuffix(p, "/wasm") }):
		return best, errorOf(ErrNotWasm, "it is an ordinary container image (for %s), not one of a Wasm module: run it with docker, or build one for wasi/wasm", strings.Join(slices.Compact(seen), ", "))
	case first != nil:
		return best, first
	}
	return best, errorOf(ErrNotWasm, "its index names no image for a known platform")
}

// parseConfig reads what an image says about itself. Of a plugin, that may be
// next to nothing.
func parseConfig(m *v1.Manifest, b []byte, plugin bool) (*v1.ConfigFile, error) {
	if isPlugin(m) || plugin && !isArtifact(m) {
		return parsePluginConfig(b)
	}
	if isArtifact(m) {
		if len(m.Layers) != 1 || !isWasmLayer(m.Layers[0].MediaType) {
			return nil, errorOf(ErrNotWasm, "it is a Wasm artifact with %d layers; one layer of %s is supported", len(m.Layers), wasmLayer)
		}
		var c artifactConfig
		if err := json.Unmarshal(b, &c); err != nil {
			return nil, errorOf(ErrDamaged, "its configuration is damaged: %v", err)
		}
		file := &v1.ConfigFile{OS: cmp.Or(c.OS, "wasip1"), Architecture: cmp.Or(c.Architecture, "wasm"), Author: c.Author}
		// The time is for people only; one that does not parse is none.
		_ = file.Created.UnmarshalText([]byte(c.Created))
		return file, platformError(*file.Platform())
	}
	switch m.Config.MediaType {
	case types.OCIConfigJSON, types.DockerConfigJSON:
	default:
		return nil, errorOf(ErrNotWasm, "it is no image but something else that registries keep (%s)", m.Config.MediaType)
	}
	file, err := v1.ParseConfigFile(bytes.NewReader(b))
	if err != nil {
		return nil, errorOf(ErrDamaged, "its configuration is damaged: %v", err)
	}
	if len(file.RootFS.DiffIDs) != len(m.Layers) {
		return nil, errorOf(ErrDamaged, "it has %d layers, and its configuration %d", len(m.Layers), len(file.RootFS.DiffIDs))
	}
	if strings.HasPrefix(m.Annotations[annotationVariant], "compat") {
		return file, nil
	}
	return file, platformError(v1.Platform{OS: file.OS, Architecture: file.Architecture})
}
