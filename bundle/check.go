package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// CheckPayload reads the compressed payload and compares its size and sha256 with the contract. It decodes nothing, so it costs about
// what reading the file costs: cheap enough to ask before the first byte of it is used, where a pass would find the damage only
// after it has handed out the entries in front of it. A difference is a *CorruptError. The base of a delta is looked at as well, if it has one.
func (b *Bundle) CheckPayload(ctx context.Context) error {
	if b.base != nil {
		if err := b.base.CheckPayload(ctx); err != nil {
			return fmt.Errorf("base %s: %w", b.base.path, err)
		}
	}
	raw, err := b.src.payload()
	if err != nil {
		return fmt.Errorf("open payload: %w", err)
	}
	defer func() { _ = raw.Close() }() // only read from
	sum := sha256.New()
	in := &payloadInput{ctx: ctx, r: raw, sum: sum, limit: b.contract.Payload.Size}
	n, err := io.Copy(io.Discard, in)
	if err != nil {
		var c *CorruptError
		if errors.As(err, &c) {
			return err
		}
		return fmt.Errorf("read payload: %w", err)
	}
	if n != b.contract.Payload.Size {
		return corrupt(PayloadName, "has %d bytes, the contract says %d", n, b.contract.Payload.Size)
	}
	if got := digestAlgo + hex.EncodeToString(sum.Sum(nil)); got != b.contract.Payload.SHA256 {
		return corrupt(PayloadName, "has digest %s, the contract says %s", got, b.contract.Payload.SHA256)
	}
	return nil
}
