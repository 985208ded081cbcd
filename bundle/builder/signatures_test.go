package builder_test

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"kubebundle/bundle"
)

// TestUpstreamSignature carries a real signature through a build and checks it with what is in the bundle and nothing
// else, as docs/trust.md says: key, payload, signature, and that the payload names the digest of the image.
func TestUpstreamSignature(t *testing.T) {
	e := newEnv(t, "v1.34.4", "amd64")
	key := e.up.SignImage(t, "registry.k8s.io/pause:3.10.1")
	res, err := e.build(t)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bundle.OpenArchive(res.Path)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	parts := signatureParts(t, b)
	for _, img := range b.Contract().Images {
		if !strings.Contains(img.Ref, "/pause:") {
			if len(img.Signatures) > 0 {
				t.Errorf("%s has signatures that nobody made", img.Ref)
			}
			continue
		}
		if len(img.Signatures) != 1 || img.Signatures[0].Kind != "cosign" || img.Signatures[0].Of != img.Target.Digest {
			t.Fatalf("signatures of %s: %+v", img.Ref, img.Signatures)
		}
		sig := img.Signatures[0]
		if len(parts) != 1+len(sig.Parts) {
			t.Errorf("%d parts in the payload, %d in the contract", len(parts), 1+len(sig.Parts))
		}
		var manifest struct {
			Layers []struct {
				Digest      string            `json:"digest"`
				Annotations map[string]string `json:"annotations"`
			} `json:"layers"`
		}
		if err := json.Unmarshal(parts[sig.Manifest.Digest], &manifest); err != nil {
			t.Fatal(err)
		}
		signed := parts[manifest.Layers[0].Digest]
		signature, err := base64.StdEncoding.DecodeString(manifest.Layers[0].Annotations["dev.cosignproject.cosign/signature"])
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(signed); !ecdsa.VerifyASN1(key, sum[:], signature) {
			t.Error("the signature does not hold")
		}
		if !strings.Contains(string(signed), img.Target.Digest) {
			t.Errorf("what was signed does not name %s: %s", img.Target.Digest, signed)
		}
	}

	// On request there are none, and nobody asks for them.
	e.req.NoUpstreamSignatures = true
	e.up.Forget()
	if res, err = e.build(t); err != nil {
		t.Fatal(err)
	}
	if n := e.up.Count("/sha256-") + e.up.Count("/referrers/"); n > 0 {
		t.Errorf("%d requests for signatures", n)
	}
	if b, err = bundle.OpenArchive(res.Path); err != nil {
		t.Fatal(err)
	}
	if parts := signatureParts(t, b); len(parts) > 0 {
		t.Errorf("%d parts of signatures", len(parts))
	}
}

// signatureParts reads the payload's signature entries by digest.
func signatureParts(t *testing.T, b *bundle.Bundle) map[string][]byte {
	t.Helper()
	p, err := b.Payload(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }() // only read from
	parts := map[string][]byte{}
	for {
		e, err := p.Next()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind != bundle.KindSignature {
			continue
		}
		if parts[e.Digest], err = io.ReadAll(p); err != nil {
			t.Fatal(err)
		}
	}
}
