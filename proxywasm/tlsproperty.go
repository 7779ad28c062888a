package proxywasm

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"strings"
)

func connectionAttribute(info *Info, name string) any {
	switch name {
	case "id":
		return number(int64(info.ConnectionID))
	case "mtls":
		return info.TLS != nil && len(info.TLS.VerifiedChains) > 0
	}
	if info.TLS == nil {
		return nil
	}
	return tlsAttribute(info.TLS, info.LocalCertificate, name)
}

// tlsVersions has the names that Envoy uses.
var tlsVersions = map[uint16]string{
	tls.VersionTLS10: "TLSv1", tls.VersionTLS11: "TLSv1.1", tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3",
}

func tlsAttribute(state *tls.ConnectionState, local *tls.Certificate, name string) any {
	switch name {
	case "tls_version":
		return text(tlsVersions[state.Version])
	case "requested_server_name":
		return text(state.ServerName)
	case "subject_local_certificate", "dns_san_local_certificate", "uri_san_local_certificate":
		if local == nil {
			return nil
		}
		leaf := local.Leaf
		if leaf == nil && len(local.Certificate) > 0 {
			leaf, _ = x509.ParseCertificate(local.Certificate[0])
		}
		return certificateAttribute(leaf, name[:len(name)-len("_local_certificate")])
	case "subject_peer_certificate", "dns_san_peer_certificate", "uri_san_peer_certificate":
		if len(state.PeerCertificates) > 0 {
			return certificateAttribute(state.PeerCertificates[0], name[:len(name)-len("_peer_certificate")])
		}
	case "peer_certificate":
		if len(state.PeerCertificates) > 0 {
			block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: state.PeerCertificates[0].Raw})
			return pemInURL.Replace(string(block))
		}
	case "sha256_peer_certificate_digest":
		if len(state.PeerCertificates) > 0 {
			sum := sha256.Sum256(state.PeerCertificates[0].Raw)
			return hex.EncodeToString(sum[:])
		}
	}
	return nil
}

// pemInURL escapes what is in PEM and may not be in a URL.
var pemInURL = strings.NewReplacer("\n", "%0A", " ", "%20", "+", "%2B", "/", "%2F", "=", "%3D")

func certificateAttribute(c *x509.Certificate, name string) any {
	switch {
	case c == nil:
	case name == "subject":
		return text(c.Subject.String())
	case name == "dns_san" && len(c.DNSNames) > 0:
		return c.DNSNames[0]
	case name == "uri_san" && len(c.URIs) > 0:
		return c.URIs[0].String()
	}
	return nil
}
