package trust

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"aead.dev/minisign"

	"kubebundle/bundle"
)

// Signer makes bundle.json.minisig with a secret key. The trusted comment is
//
//	k8s-v1.34.4-linux-amd64 <hex>  SHA256SUMS
//
// so that everything behind the first blank is what `sha256sum -c` reads. It has no time in it: the same bundle and the
// same key give the same signature.
func Signer(key minisign.PrivateKey) bundle.SignFunc {
	return func(u bundle.Unsigned) ([]byte, error) {
		sum := sha256.Sum256(u.Sums)
		comment := u.Name + " " + hex.EncodeToString(sum[:]) + "  " + bundle.SumsName
		r := minisign.NewReader(bytes.NewReader(u.Contract)) // hashed first, as minisign does since 0.10
		if _, err := io.Copy(io.Discard, r); err != nil {
			return nil, err
		}
		return r.SignWithComments(key, comment, "signature by kubebundle with key "+KeyID(key.ID())), nil
	}
}
