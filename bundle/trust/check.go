package trust

import (
	"context"
	"fmt"

	"aead.dev/minisign"

	"kubebundle/bundle"
)

// Error says that a bundle is not trusted. Programs exit with code 4 when they meet one.
type Error struct {
	Why  string
	Keys Keys // that would have been trusted
}

func (e *Error) Error() string {
	return fmt.Sprintf("not trusted: %s (trusted: %s)", e.Why, e.Keys.IDs())
}

// Hint says what the user can do about it.
func (e *Error) Hint() string {
	return "use nothing of it, its `install` included; ask whoever built it, and compare `sha256sum` of the file with what they have"
}

// Signature is a checked signature.
type Signature struct {
	KeyID   string // of the key that made it
	Comment string // the trusted comment
}

// Check checks the bytes of a contract. signature is nil where there is none. The error is an *Error.
func (k Keys) Check(contract, signature []byte) (*Signature, error) {
	refuse := func(format string, args ...any) (*Signature, error) {
		return nil, &Error{Why: fmt.Sprintf(format, args...), Keys: k}
	}
	if signature == nil {
		return refuse("it is not signed (there is no %s)", bundle.SignatureName)
	}
	var sig minisign.Signature
	if err := sig.UnmarshalText(signature); err != nil {
		return refuse("%s is not a minisign signature", bundle.SignatureName)
	}
	known := false
	for _, key := range k {
		if key.ID() != sig.KeyID {
			continue
		}
		known = true
		if minisign.Verify(key, contract, signature) {
			return &Signature{KeyID: KeyID(sig.KeyID), Comment: sig.TrustedComment}, nil
		}
	}
	if known {
		return refuse("%s does not fit %s: one of them was altered, or the signature is of another bundle", bundle.SignatureName, bundle.ContractName)
	}
	return refuse("it is signed with the key %s", KeyID(sig.KeyID))
}

// Open opens a bundle whose contract one of the keys has signed and whose every byte agrees with the contract; the
// payload is hashed, not decoded. Nothing of a bundle that is refused has been used. Without keys it only opens, and
// the signature is nil.
func (k Keys) Open(ctx context.Context, path string) (*bundle.Bundle, *Signature, error) {
	if len(k) == 0 {
		b, err := bundle.OpenPath(path)
		return b, nil, err
	}
	var sig *Signature
	b, err := bundle.OpenAdmitted(path, func(contract, signature []byte) (err error) {
		sig, err = k.Check(contract, signature)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if err := b.CheckPayload(ctx); err != nil {
		return nil, nil, fmt.Errorf("bundle %s: %w", path, err)
	}
	return b, sig, nil
}

// Describe reads a signature without checking it: the key's number and the comment, as they claim.
func Describe(signature []byte) (*Signature, bool) {
	var sig minisign.Signature
	if signature == nil || sig.UnmarshalText(signature) != nil {
		return nil, false
	}
	return &Signature{KeyID: KeyID(sig.KeyID), Comment: sig.TrustedComment}, true
}
