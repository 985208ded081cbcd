package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"
)

// FolderFiles describes the files that make up a bundle's folder, each with its digest: a folder with these files is the same bundle.
func (b *Bundle) FolderFiles() []File {
	small := func(name string, data []byte) File {
		return File{Path: name, Mode: 0o644, Size: int64(len(data)), SHA256: digestOf(data)}
	}
	out := append(slices.Clone(b.contract.Outer), small(ContractName, b.head.contract), small(SumsName, b.head.sums))
	if b.head.signature != nil {
		out = append(out, small(SignatureName, b.head.signature))
	}
	p := b.contract.Payload
	return append(out, File{Path: PayloadName, Mode: 0o644, Size: p.Size, SHA256: p.SHA256})
}

// OpenFolderFile opens one of FolderFiles, also of a bundle that is an archive. The reader ends well only if size and digest were right; else
// its error is a *CorruptError.
func (b *Bundle) OpenFolderFile(path string) (io.ReadCloser, error) {
	files := b.FolderFiles()
	i := slices.IndexFunc(files, func(f File) bool { return f.Path == path })
	if i < 0 {
		return nil, fmt.Errorf("read %s from bundle: %w", path, os.ErrNotExist)
	}
	var r io.ReadCloser
	var err error
	switch path {
	case ContractName:
		r = io.NopCloser(bytes.NewReader(b.head.contract))
	case SumsName:
		r = io.NopCloser(bytes.NewReader(b.head.sums))
	case SignatureName:
		r = io.NopCloser(bytes.NewReader(b.head.signature))
	case PayloadName:
		r, err = b.src.payload()
	default:
		r, err = b.src.outer(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s from bundle: %w", path, err)
	}
	return &folderReader{ReadCloser: r, file: files[i], sum: sha256.New()}, nil
}

// folderReader checks what it reads when the end is reached.
type folderReader struct {
	io.ReadCloser

	file File
	sum  hash.Hash
	n    int64
}

func (r *folderReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.sum.Write(p[:n])
	r.n += int64(n)
	if r.n > r.file.Size {
		return 0, corrupt(r.file.Path, "is larger than the %d bytes of the contract", r.file.Size)
	}
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if got := digestAlgo + hex.EncodeToString(r.sum.Sum(nil)); r.n != r.file.Size || got != r.file.SHA256 {
		return n, corrupt(r.file.Path, "has %d bytes and digest %s, the contract says %d and %s", r.n, got, r.file.Size, r.file.SHA256)
	}
	return n, err
}

func (s *dirSource) outer(name string) (io.ReadCloser, error) {
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // the file stays open without it
	if _, err := regular(root, name); err != nil {
		return nil, err
	}
	return root.Open(name)
}

func (s *archiveSource) outer(name string) (io.ReadCloser, error) {
	a, err := s.start()
	if err != nil {
		return nil, err
	}
	th, err := a.tr.Next()
	if err != nil {
		return nil, errors.Join(a.fail(err), a.Close())
	}
	for {
		got, _, err := a.next(strings.TrimSuffix(th.Name, "/"))
		if err != nil {
			return nil, errors.Join(err, a.Close())
		}
		if got == name {
			return &archiveFile{a}, nil
		}
	}
}

// archiveFile reads the file at which the archive stands.
type archiveFile struct{ *archive }

func (f *archiveFile) Read(b []byte) (int, error) {
	n, err := f.tr.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = f.fail(err)
	}
	return n, err
}
