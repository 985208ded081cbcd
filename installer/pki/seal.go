package pki

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
)

// CertificateKeySize is how many bytes a certificate key has: the key of AES-256, written as 64 hex digits.
const CertificateKeySize = 32

// NewCertificateKey makes a random key with which certificates travel through the cluster.
func NewCertificateKey() (string, error) {
	key := make([]byte, CertificateKeySize)
	if _, err := rand.Read(key); err != nil {
		return "", fmt.Errorf("make certificate key: %w", err)
	}
	return hex.EncodeToString(key), nil
}

// ErrWrongKey says that a key does not open what another one closed, or that it was altered since.
var ErrWrongKey = errors.New("the certificate key does not fit, or the content was altered")

// Seal encrypts as kubeadm does, so that each of the two can open what the other one closed: AES-256-GCM, a random nonce of 12 bytes in front,
// no additional data (kubeadm 1.34 util/crypto; facts section 6.5).
func Seal(certificateKey string, plain []byte) ([]byte, error) {
	gcm, err := certificateCipher(certificateKey)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, gcm.NonceSize())
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("draw a nonce: %w", err)
	}
	return gcm.Seal(nonce, nonce, plain, nil), nil
}

// Open decrypts; ErrWrongKey if it cannot.
func Open(certificateKey string, sealed []byte) ([]byte, error) {
	gcm, err := certificateCipher(certificateKey)
	if err != nil {
		return nil, err
	}
	if len(sealed) < gcm.NonceSize() {
		return nil, ErrWrongKey
	}
	plain, err := gcm.Open(nil, sealed[:gcm.NonceSize()], sealed[gcm.NonceSize():], nil)
	if err != nil {
		return nil, ErrWrongKey
	}
	return plain, nil
}

func certificateCipher(certificateKey string) (cipher.AEAD, error) {
	key, err := hex.DecodeString(certificateKey)
	if err != nil || len(key) != CertificateKeySize {
		return nil, fmt.Errorf("certificate key: want %d hex digits", 2*CertificateKeySize) // never the key itself
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
