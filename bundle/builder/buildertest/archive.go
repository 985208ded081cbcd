package buildertest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
)

// Member is one file of an archive; a name that ends with a slash is a folder.
type Member struct {
	Name string
	Data []byte
}

// Archive is a .tar.gz of executable files.
func Archive(members ...Member) []byte { return Gzip(Tar(members...)) }

// Tar is an uncompressed layer of executable files.
func Tar(members ...Member) []byte {
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, m := range members {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: m.Name, Mode: 0o755, Size: int64(len(m.Data))}
		if strings.HasSuffix(m.Name, "/") {
			h.Typeflag = tar.TypeDir
		}
		inMemory(tw.WriteHeader(h))
		_, err := tw.Write(m.Data)
		inMemory(err)
	}
	inMemory(tw.Close())
	return buf.Bytes()
}

// Gzip compresses.
func Gzip(data []byte) []byte {
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, err := w.Write(data)
	inMemory(err)
	inMemory(w.Close())
	return buf.Bytes()
}

func inMemory(err error) {
	if err != nil {
		panic(fmt.Sprintf("writing to memory: %v", err))
	}
}
