package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// ErrDenied: the registry wants credentials, or others.
var ErrDenied = errors.New("access denied")

// RegistryOptions are how registries are spoken to. The zero value is good.
type RegistryOptions struct {
	// Insecure allows plain HTTP to any registry, not only to this machine's.
	Insecure bool
	// Keychain has the credentials. Nil: those in Docker's and Podman's files,
	// with their helpers.
	Keychain authn.Keychain
	// Transport makes the requests. Nil: remote.DefaultTransport.
	Transport http.RoundTripper
}

func (o RegistryOptions) keychain() authn.Keychain {
	if o.Keychain != nil {
		return o.Keychain
	}
	return authn.DefaultKeychain
}

// transport returns what refuses plain HTTP, without credentials.
func (o RegistryOptions) transport() http.RoundTripper {
	base := o.Transport
	if base == nil {
		base = remote.DefaultTransport
	}
	if o.Insecure {
		return base
	}
	return &tlsOnly{base}
}

// tlsOnly refuses requests in plain HTTP to other machines, whoever asks for
// them: the client library, which takes private networks for safe, or a
// registry that redirects.
type tlsOnly struct{ base http.RoundTripper }

func (t *tlsOnly) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" && !isLoopback(r.URL.Hostname()) {
		return nil, errorOf(ErrPlainHTTP, "%s would be spoken to in plain HTTP: say --insecure if the network in between is safe", r.URL.Host)
	}
	return t.base.RoundTrip(r)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A client reads one repository.
type client struct {
	repo name.Repository
	http *http.Client
	rt   http.RoundTripper
}

// connect asks the registry which credentials it wants, and gets them.
func connect(ctx context.Context, repo name.Repository, o RegistryOptions) (*client, error) {
	auth, err := authn.Resolve(ctx, o.keychain(), repo)
	if err != nil {
		return nil, fmt.Errorf("find the credentials for %s: %w", repo.RegistryStr(), err)
	}
	base := transport.NewRetry(o.transport(), transport.WithRetryStatusCodes(http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout))
	rt, err := transport.NewWithContext(ctx, repo.Registry, auth, base, []string{repo.Scope(transport.PullScope)})
	if err != nil {
		return nil, err
	}
	return &client{repo: repo, rt: rt, http: &http.Client{Transport: rt, CheckRedirect: checkRedirect}}, nil
}

// checkRedirect keeps a registry from sending us to addresses that it cannot
// reach itself.
func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) >= 10 {
		return errors.New("stopped after 10 redirects")
	}
	host := r.URL.Hostname()
	if ip := net.ParseIP(host); ip != nil && host != via[0].URL.Hostname() && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()) {
		return errorOf(ErrUnsafe, "the registry %s redirects to the private address %s", via[0].URL.Host, host)
	}
	return nil
}

// manifest fetches a manifest or an index.
func (c *client) manifest(ctx context.Context, ref name.Reference) (*remote.Descriptor, error) {
	d, err := remote.Get(ref, remote.WithContext(ctx), remote.WithTransport(c.rt))
	if err != nil {
		return nil, err
	}
	return d, verify(d.Manifest, d.Digest)
}

// stalled is how long a registry may send nothing.
const stalled = time.Minute

// blob opens a blob, which may go on where it was left.
func (c *client) blob(d v1.Descriptor) opener {
	return func(parent context.Context, offset int64) (io.ReadCloser, int64, error) {
		ctx, cancel := context.WithCancelCause(parent)
		watch := time.AfterFunc(stalled, func() { cancel(fmt.Errorf("%s sends nothing for %s", c.repo.RegistryStr(), stalled)) })
		body := &blobBody{watch: watch, cancel: cancel, ctx: ctx}
		url := fmt.Sprintf("%s://%s/v2/%s/blobs/%s", c.repo.Scheme(), c.repo.RegistryStr(), c.repo.RepositoryStr(), d.Digest)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return nil, 0, permanentError{err}
		}
		r.Header.Set("Accept-Encoding", "identity") // the bytes of the digest
		if offset > 0 {
			r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, d.Size-1))
		}
		response, err := c.http.Do(r)
		if err != nil {
			body.stop()
			if errors.Is(err, ErrUnsafe) || errors.Is(err, ErrPlainHTTP) {
				err = permanentError{err}
			}
			return nil, 0, err
		}
		body.ReadCloser = response.Body
		switch response.StatusCode {
		case http.StatusOK:
			return body, 0, nil
		case http.StatusPartialContent:
			at, err := rangeStart(response.Header.Get("Content-Range"))
			if err != nil {
				body.Close()
				return nil, 0, permanentError{err}
			}
			return body, at, nil
		}
		err = transport.CheckError(response, http.StatusOK)
		body.Close()
		if offset > 0 && response.StatusCode == http.StatusRequestedRangeNotSatisfiable {
			return c.blob(d)(parent, 0)
		}
		if response.StatusCode < 500 && response.StatusCode != http.StatusTooManyRequests {
			err = permanentError{err}
		}
		return nil, 0, err
	}
}

// rangeStart reads the start of "bytes 5-9/10".
func rangeStart(header string) (int64, error) {
	text, ok := strings.CutPrefix(header, "bytes ")
	text, _, _ = strings.Cut(text, "-")
	n, err := strconv.ParseInt(text, 10, 64)
	if !ok || err != nil || n < 0 {
		return 0, fmt.Errorf("the registry answers with the range %q", header)
	}
	return n, nil
}

// A blobBody ends when nothing comes any more.
type blobBody struct {
	io.ReadCloser
	watch  *time.Timer
	ctx    context.Context
	cancel context.CancelCauseFunc
}

func (b *blobBody) Read(p []byte) (int, error) {
	b.watch.Reset(stalled)
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	return n, err
}

func (b *blobBody) stop() {
	b.watch.Stop()
	b.cancel(context.Canceled)
}

func (b *blobBody) Close() error {
	b.stop()
	return b.ReadCloser.Close()
}

// registryError says in our words what a registry answered.
func registryError(ref Reference, err error) error {
	var e *transport.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return &registryAnswer{ErrDenied, err, fmt.Sprintf("the registry %s denies access to %s, or has no such repository: if it is private, log in with `docker login %s`", ref.registry, ref.Name(), ref.registry)}
	case http.StatusNotFound:
		return &registryAnswer{ErrUnknownImage, err, fmt.Sprintf("the registry %s has no image %s", ref.registry, ref)}
	case http.StatusTooManyRequests:
		return fmt.Errorf("the registry %s wants fewer requests, try later: %w", ref.registry, err)
	}
	return err
}

// A registryAnswer is an answer in our words.
type registryAnswer struct {
	kind, cause error
	text        string
}

func (e *registryAnswer) Error() string   { return e.text }
func (e *registryAnswer) Unwrap() []error { return []error{e.kind, e.cause} }
