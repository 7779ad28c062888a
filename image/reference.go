package image

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// A Reference names an image: a registry (docker.io if none is given), a
// repository, and a tag (latest if none is given) or a digest. References
// compare with ==; the zero value is none.
type Reference struct {
	registry   string // "docker.io", "localhost:5000"
	repository string // "library/shop"
	tag        string // "" if digest is set
	digest     string // "sha256:..."
}

// The registry of names that give none, and the name that its servers have.
const (
	dockerRegistry = "docker.io"
	dockerServer   = name.DefaultRegistry
	dockerFolder   = "library/"
)

// What registries and repositories may be called: hosts with a port, and what
// the distribution specification allows.
var (
	registryPattern   = regexp.MustCompile(`^([A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?$`)
	repositoryPattern = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
)

// ParseReference reads a reference as Docker writes it:
// [REGISTRY/]REPOSITORY[:TAG][@DIGEST]. A tag beside a digest is dropped.
// Errors are [ErrReference].
func ParseReference(text string) (Reference, error) {
	ref, err := name.ParseReference(text)
	if err != nil {
		if lower := strings.ToLower(text); lower != text {
			if _, e := name.ParseReference(lower); e == nil {
				return Reference{}, errorOf(ErrReference, "%q is not an image reference: names are in lower case, as %q", text, lower)
			}
		}
		return Reference{}, errorOf(ErrReference, "%q is not an image reference ([REGISTRY/]NAME[:TAG] or NAME@sha256:DIGEST): %v", text, err)
	}
	if registry := ref.Context().RegistryStr(); !registryPattern.MatchString(registry) {
		return Reference{}, errorOf(ErrReference, "%q is not an image reference: %q is no name of a registry", text, registry)
	}
	if repository := ref.Context().RepositoryStr(); !repositoryPattern.MatchString(repository) { // which the library lets pass
		return Reference{}, errorOf(ErrReference, "%q is not an image reference: %q is no name of an image", text, repository)
	}
	r := Reference{registry: ref.Context().RegistryStr(), repository: ref.Context().RepositoryStr()}
	if r.registry == dockerServer {
		r.registry = dockerRegistry
	}
	switch ref := ref.(type) {
	case name.Digest:
		r.digest = ref.DigestStr()
	case name.Tag:
		r.tag = ref.TagStr()
	}
	return r, nil
}

// String returns the short form, without docker.io/ and docker.io/library/.
func (r Reference) String() string { return r.Name() + r.suffix() }

// Canonical returns the form that leaves nothing out.
func (r Reference) Canonical() string { return r.registry + "/" + r.repository + r.suffix() }

// Name returns the short form without tag and digest.
func (r Reference) Name() string {
	switch {
	case r.registry != dockerRegistry:
		return r.registry + "/" + r.repository
	case strings.HasPrefix(r.repository, dockerFolder) && strings.Count(r.repository, "/") == 1:
		return r.repository[len(dockerFolder):]
	}
	return r.repository
}

// Registry returns the host, with its port if it has one.
func (r Reference) Registry() string { return r.registry }

// Tag returns the tag, "" if the reference has a digest.
func (r Reference) Tag() string { return r.tag }

// Digest returns the digest, "" if the reference has a tag.
func (r Reference) Digest() string { return r.digest }

func (r Reference) suffix() string {
	switch {
	case r.digest != "":
		return "@" + r.digest
	case r.tag != "":
		return ":" + r.tag
	}
	return ""
}

// remote returns what the registry client takes.
func (r Reference) remote(insecure bool) (name.Reference, error) {
	var options []name.Option
	if insecure {
		options = append(options, name.Insecure)
	}
	ref, err := name.ParseReference(r.Canonical(), options...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrReference, err)
	}
	return ref, nil
}
