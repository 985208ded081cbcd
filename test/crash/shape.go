package crash

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"kubebundle/test/lab/hosts"
)

var (
	pemInside  = regexp.MustCompile(`(\\n| +)?-----BEGIN [A-Z ]+-----[^-]+-----END [A-Z ]+-----(\\n)?`) // of a JSON string or an indented YAML block
	base64PEM  = regexp.MustCompile(`LS0tLS1CRUdJTi[A-Za-z0-9+/=]+`)
	jws        = regexp.MustCompile(`[A-Za-z0-9_-]{20,}\.\.[A-Za-z0-9_-]{20,}`)
	joinedWith = regexp.MustCompile(`(--initial-cluster=)\S*\bNODE=\S*`) // who were there before
	tokenNames = regexp.MustCompile(`(bootstrap-token-|jws-kubeconfig-)[a-z0-9]{6}\b`)
)

// shape is a text without what differs from one installation to the next by its nature: names and addresses of the host, keys, and of certificates
// all but what they say.
func shape(h *hosts.Host, text string) string { return textShape(of(h), text) }

func textShape(anywhere func(text string) string, text string) string {
	text = base64PEM.ReplaceAllStringFunc(text, func(s string) string {
		plain, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return "<damaged base64>"
		}
		return "base64:" + textShape(anywhere, string(plain))
	})
	text = pemInside.ReplaceAllStringFunc(text, func(s string) string { return pemShape(anywhere, s) })
	text = jws.ReplaceAllString(text, "<JWS>")
	text = tokenNames.ReplaceAllString(text, "${1}ID")
	return joinedWith.ReplaceAllString(anywhere(text), "${1}NODE")
}

func pemShape(anywhere func(text string) string, s string) string {
	s = strings.ReplaceAll(s, `\n`, "\n")
	var lines []string
	for l := range strings.Lines(s) {
		lines = append(lines, strings.TrimSpace(l))
	}
	b, _ := pem.Decode([]byte(strings.TrimSpace(strings.Join(lines, "\n")) + "\n"))
	if b == nil {
		return "<damaged PEM>"
	}
	switch b.Type {
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return "<damaged certificate>"
		}
		names := slices.Clone(c.DNSNames)
		for _, ip := range c.IPAddresses {
			names = append(names, ip.String())
		}
		// Made a little before now: the clocks of others may be late.
		life := c.NotAfter.Sub(c.NotBefore).Round(time.Hour)
		return fmt.Sprintf("<certificate of %s by %s for %v, CA %v, usage %v %v, %v, %s>",
			anywhere(c.Subject.String()), anywhere(c.Issuer.String()), anywhere(strings.Join(names, " ")), c.IsCA, c.KeyUsage, c.ExtKeyUsage, life, key(c.PublicKey))
	case "RSA PRIVATE KEY":
		k, err := x509.ParsePKCS1PrivateKey(b.Bytes)
		if err != nil {
			return "<damaged key>"
		}
		return "<key " + key(k.Public()) + ">"
	case "EC PRIVATE KEY":
		k, err := x509.ParseECPrivateKey(b.Bytes)
		if err != nil {
			return "<damaged key>"
		}
		return "<key " + key(k.Public()) + ">"
	default:
		return "<" + b.Type + ">"
	}
}

func key(public any) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "EC " + k.Params().Name
	default:
		return fmt.Sprintf("%T", public)
	}
}
