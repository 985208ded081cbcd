package trust

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"aead.dev/minisign"
)

// Keys are public keys, any of which may have signed.
type Keys []minisign.PublicKey

// KeyID writes a key's number as minisign writes it.
func KeyID(id uint64) string { return fmt.Sprintf("%X", id) }

// IDs lists the keys' numbers for people.
func (k Keys) IDs() string {
	ids := make([]string, 0, len(k))
	for _, key := range k {
		ids = append(ids, KeyID(key.ID()))
	}
	return strings.Join(ids, ", ")
}

// Strings lists the keys as `minisign -P` takes them.
func (k Keys) Strings() []string {
	out := make([]string, 0, len(k))
	for _, key := range k {
		out = append(out, key.String())
	}
	return out
}

func (k Keys) has(key minisign.PublicKey) bool {
	for _, old := range k {
		if old.Equal(key) {
			return true
		}
	}
	return false
}

// ParseKeys reads public keys: one per line, between comments as minisign writes them and lines that begin with #.
// Equal ones count once. Text without a key is an error.
func ParseKeys(text string) (Keys, error) {
	var keys Keys
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "untrusted comment:") {
			continue
		}
		key, err := parseKey(line)
		if err != nil {
			return nil, err
		}
		if !keys.has(key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no public key in it")
	}
	return keys, nil
}

func parseKey(line string) (key minisign.PublicKey, err error) {
	if err := key.UnmarshalText([]byte(line)); err != nil {
		return key, fmt.Errorf("not a minisign public key (56 characters that begin with RW): %.20q", line)
	}
	return key, nil
}

// LoadKeys reads what people give to --key: files with public keys, or the keys themselves.
func LoadKeys(args []string) (Keys, error) {
	var keys Keys
	for _, arg := range args {
		text := arg
		if _, err := parseKey(arg); err != nil {
			data, rerr := os.ReadFile(arg)
			switch {
			case errors.Is(rerr, fs.ErrNotExist):
				return nil, fmt.Errorf("public key %.80q: neither a file nor a minisign public key", arg)
			case rerr != nil:
				return nil, fmt.Errorf("public key: %w", rerr)
			}
			text = string(data)
		}
		list, err := ParseKeys(text)
		if err != nil {
			return nil, fmt.Errorf("public key %.80s: %w", arg, err)
		}
		for _, key := range list {
			if !keys.has(key) {
				keys = append(keys, key)
			}
		}
	}
	return keys, nil
}

// PublicFile is a public key's file as minisign writes it.
func PublicFile(key minisign.PublicKey) []byte {
	return []byte("untrusted comment: minisign public key " + KeyID(key.ID()) + "\n" + key.String() + "\n")
}

// Generate makes a key pair and the secret key's file. With the empty password the file is not encrypted; with
// another one this takes about a second and a GiB of memory, which is what makes guessing expensive.
func Generate(password string) (public minisign.PublicKey, secretFile []byte, err error) {
	public, secret, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		return public, nil, err
	}
	if password == "" {
		secretFile, err = secret.MarshalText()
	} else {
		secretFile, err = minisign.EncryptKey(password, secret)
	}
	return public, append(secretFile, '\n'), err
}

// ErrPassword says that a secret key could not be decrypted.
var ErrPassword = errors.New("wrong password, or the file is damaged")

// ParseSecret reads a secret key's file. The password is asked for only if it is encrypted.
func ParseSecret(file []byte, password func() (string, error)) (minisign.PrivateKey, error) {
	if !minisign.IsEncrypted(file) {
		var key minisign.PrivateKey
		if err := key.UnmarshalText(file); err != nil {
			return key, errors.New("not a minisign secret key")
		}
		return key, nil
	}
	pw, err := password()
	if err != nil {
		return minisign.PrivateKey{}, err
	}
	key, err := minisign.DecryptKey(pw, file)
	if err != nil {
		return key, ErrPassword
	}
	return key, nil
}
