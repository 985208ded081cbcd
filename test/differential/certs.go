package differential

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"sort"
	"strconv"
	"strings"
	"time"
)

// now is when a run was; times of certificates are compared relative to it.
type now struct{ time.Time }

// since gives a time relative to the run's start, down to the next five minutes: all times are made of whole five minutes, and a run
// ends within them. Certificates have no fractions of seconds.
func (n now) since(t time.Time) string {
	const grain = 5 * time.Minute
	d := t.Sub(n.Time) + time.Second
	rest := d % grain
	if rest < 0 {
		rest += grain
	}
	return (d - rest).String()
}

// certificate takes a certificate apart. Serial numbers and keys are random; everything else is compared.
func (l leaves) certificate(at string, data []byte, n now, cas map[string]*x509.Certificate) error {
	block, rest := pem.Decode(data)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return errors.New("not exactly one PEM block")
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	set := func(key string, values ...string) {
		sort.Strings(values)
		if v := strings.Join(values, ","); v != "" {
			l[join(at, key)] = v
		}
	}
	set("subject", c.Subject.String())
	set("issuer", c.Issuer.String())
	set("dns", c.DNSNames...)
	set("ip", ips(c.IPAddresses)...)
	set("other names", append(append([]string{}, c.EmailAddresses...), uris(c)...)...)
	set("usage", keyUsage(c.KeyUsage)...)
	set("extended usage", extendedUsage(c)...)
	set("ca", fmt.Sprintf("%v, constraints %v, path length %d", c.IsCA, c.BasicConstraintsValid, c.MaxPathLen))
	set("key", publicKey(c.PublicKey))
	set("signature", c.SignatureAlgorithm.String())
	set("version", strconv.Itoa(c.Version))
	set("not before", n.since(c.NotBefore))
	set("not after", n.since(c.NotAfter))
	set("subject key id", strconv.FormatBool(len(c.SubjectKeyId) > 0))
	set("serial", fmt.Sprintf("positive %v", c.SerialNumber.Sign() > 0))
	signer := "nobody known"
	for name, ca := range cas {
		if c.CheckSignatureFrom(ca) == nil {
			signer = name
			set("authority key id", strconv.FormatBool(bytes.Equal(c.AuthorityKeyId, ca.SubjectKeyId)))
		}
	}
	set("signed by", signer)
	return nil
}

func ips(list []net.IP) []string {
	out := make([]string, 0, len(list))
	for _, ip := range list {
		out = append(out, ip.String())
	}
	return out
}

func uris(c *x509.Certificate) []string {
	var out []string
	for _, u := range c.URIs {
		out = append(out, u.String())
	}
	return out
}

func keyUsage(u x509.KeyUsage) []string {
	var out []string
	for bit, name := range map[x509.KeyUsage]string{
		x509.KeyUsageDigitalSignature: "digital signature", x509.KeyUsageKeyEncipherment: "key encipherment", x509.KeyUsageCertSign: "cert sign",
	} {
		if u&bit != 0 {
			out = append(out, name)
			u &^= bit
		}
	}
	if u != 0 {
		out = append(out, fmt.Sprintf("other %#x", int(u)))
	}
	return out
}

func extendedUsage(c *x509.Certificate) []string {
	out := make([]string, 0, len(c.ExtKeyUsage))
	for _, u := range c.ExtKeyUsage {
		out = append(out, map[x509.ExtKeyUsage]string{x509.ExtKeyUsageServerAuth: "server", x509.ExtKeyUsageClientAuth: "client"}[u])
	}
	return append(out, make([]string, len(c.UnknownExtKeyUsage))...)
}

func publicKey(k any) string {
	switch k := k.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA-%d", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA-" + k.Curve.Params().Name
	default:
		return fmt.Sprintf("%T", k)
	}
}

// key takes a key file apart: the kind of PEM and of key.
func (l leaves) key(at string, data []byte) error {
	block, rest := pem.Decode(data)
	if block == nil || len(bytes.TrimSpace(rest)) > 0 {
		return errors.New("not exactly one PEM block")
	}
	l[join(at, "pem")] = block.Type
	kind := "unknown"
	switch block.Type {
	case "RSA PRIVATE KEY":
		k, err := x509.ParsePKCS1PrivateKey(block.Bytes)
		if err != nil {
			return err
		}
		kind = publicKey(&k.PublicKey)
	case "EC PRIVATE KEY":
		k, err := x509.ParseECPrivateKey(block.Bytes)
		if err != nil {
			return err
		}
		kind = publicKey(&k.PublicKey)
	case "PUBLIC KEY":
		k, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return err
		}
		kind = publicKey(k)
	}
	l[join(at, "key")] = kind
	return nil
}
