package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Algorithm is a key algorithm as kubeadm's v1beta4 names it: RSA-2048, RSA-3072, RSA-4096, ECDSA-P256, ECDSA-P384.
type Algorithm string

// The algorithms that v1beta4 knows.
const (
	RSA2048   Algorithm = "RSA-2048"
	RSA3072   Algorithm = "RSA-3072"
	RSA4096   Algorithm = "RSA-4096"
	ECDSAP256 Algorithm = "ECDSA-P256"
	ECDSAP384 Algorithm = "ECDSA-P384"
)

const (
	pemRSAKey   = "RSA PRIVATE KEY"
	pemECKey    = "EC PRIVATE KEY"
	pemPKCS8Key = "PRIVATE KEY"
	pemPublic   = "PUBLIC KEY"
)

// Algorithms lists the known ones.
func Algorithms() []Algorithm {
	return []Algorithm{RSA2048, RSA3072, RSA4096, ECDSAP256, ECDSAP384}
}

func newKey(a Algorithm) (crypto.Signer, error) {
	switch a {
	case RSA2048, "":
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case RSA4096:
		return rsa.GenerateKey(rand.Reader, 4096)
	case ECDSAP256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ECDSAP384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	}
	var known []string
	for _, k := range Algorithms() {
		known = append(known, string(k))
	}
	return nil, fmt.Errorf("unknown key algorithm %q: use one of %s", a, strings.Join(known, ", "))
}

func encodeKey(key crypto.Signer) ([]byte, error) {
	switch k := key.(type) {
	case *rsa.PrivateKey:
		return pem.EncodeToMemory(&pem.Block{Type: pemRSAKey, Bytes: x509.MarshalPKCS1PrivateKey(k)}), nil
	case *ecdsa.PrivateKey:
		der, err := x509.MarshalECPrivateKey(k)
		if err != nil {
			return nil, fmt.Errorf("encode the key: %w", err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: pemECKey, Bytes: der}), nil
	}
	return nil, fmt.Errorf("encode the key: a %T is neither RSA nor ECDSA", key)
}

// parseKey reads the first private key of PEM data; other blocks (the EC PARAMETERS of openssl) are passed over.
func parseKey(data []byte) (crypto.Signer, error) {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return nil, errors.New("no PEM block with a private key")
		}
		switch block.Type {
		case pemRSAKey:
			return x509.ParsePKCS1PrivateKey(block.Bytes)
		case pemECKey:
			return x509.ParseECPrivateKey(block.Bytes)
		case pemPKCS8Key:
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			switch k := k.(type) {
			case *rsa.PrivateKey:
				return k, nil
			case *ecdsa.PrivateKey:
				return k, nil
			}
			return nil, fmt.Errorf("a %T is neither RSA nor ECDSA", k)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("the key is encrypted: decrypt it with `openssl pkey -in FILE -out FILE.plain`, since Kubernetes cannot ask for its passphrase")
		}
	}
}

// NewServiceAccountKey makes sa.key (PKCS#1 or EC) and sa.pub (PKIX).
func NewServiceAccountKey(a Algorithm) (keyPEM, pubPEM []byte, err error) {
	key, err := newKey(a)
	if err != nil {
		return nil, nil, fmt.Errorf("make service account key: %w", err)
	}
	if keyPEM, err = encodeKey(key); err != nil {
		return nil, nil, fmt.Errorf("make service account key: %w", err)
	}
	if pubPEM, err = encodePublic(key); err != nil {
		return nil, nil, fmt.Errorf("make service account key: %w", err)
	}
	return keyPEM, pubPEM, nil
}

// ServiceAccountPublicKey derives sa.pub (PKIX) from sa.key, for a host where only the key is left.
func ServiceAccountPublicKey(keyPEM []byte) (pubPEM []byte, err error) {
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("read service account key: %w", err)
	}
	if pubPEM, err = encodePublic(key); err != nil {
		return nil, fmt.Errorf("read service account key: %w", err)
	}
	return pubPEM, nil
}

func encodePublic(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("encode the public key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Bytes: der}), nil
}
