package bundle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// dirSource is an extracted bundle.
type dirSource struct{ dir string }

func (s *dirSource) scan(full bool, admit Admit) (*head, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // only read from
	h := &head{outer: map[string]outerFile{}, hashed: full}
	if h.contract, err = readSmall(root, ContractName, MaxContract); err != nil {
		return nil, err
	}
	if h.signature, err = readSmall(root, SignatureName, maxSignature); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if admit != nil {
		if err := admit(h.contract, h.signature); err != nil {
			return nil, err
		}
	}
	c, err := ParseContract(h.contract)
	if err != nil {
		return nil, err
	}
	if h.sums, err = readSmall(root, SumsName, maxSums); err != nil {
		return nil, err
	}
	for _, o := range c.Outer {
		size, err := regular(root, o.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // checkHead says so, with everything else
		}
		if err != nil {
			return nil, err
		}
		f := outerFile{size: size}
		if full {
			if f.sum, err = hashFile(root, o.Path); err != nil {
				return nil, err
			}
		}
		h.outer[o.Path] = f
	}
	if h.payloadSize, err = regular(root, PayloadName); err != nil {
		return nil, err
	}
	return h, nil
}

func (s *dirSource) payload() (io.ReadCloser, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // the file stays open without it
	if _, err := regular(root, PayloadName); err != nil {
		return nil, err
	}
	return root.Open(PayloadName)
}

// regular returns the size of a part, and refuses links, devices and folders.
func regular(root *os.Root, name string) (int64, error) {
	st, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, &CorruptError{Path: name, Why: "is missing", Err: err}
	}
	if err != nil {
		return 0, err
	}
	if !st.Mode().IsRegular() {
		return 0, corrupt(name, "is not a regular file but %s", st.Mode().Type())
	}
	return st.Size(), nil
}

func readSmall(root *os.Root, name string, limit int64) ([]byte, error) {
	size, err := regular(root, name)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, corrupt(name, "is larger than %d bytes", limit)
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

func hashFile(root *os.Root, name string) (string, error) {
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read from
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return digestAlgo + hex.EncodeToString(sum.Sum(nil)), nil
}
