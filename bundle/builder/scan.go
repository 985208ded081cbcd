package builder

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"kubebundle/imagestore"
	"kubebundle/release"
)

// foreignFiles are the programs for other machines in a layer.
type foreignFiles struct {
	first []foreignFile // a few of them
	count int
}

type foreignFile struct{ path, arch string }

// maxForeign is how many foreign programs of a layer are told by name.
const maxForeign = 3

// scanReader reads a layer's tar and looks at the head of every file in it as it streams past, beside the caller. The result counts once
// Read has said io.EOF, which the store does only of verified content.
type scanReader struct {
	io.ReadCloser
	feed  *io.PipeWriter
	done  chan struct{} // closed when found and err are there
	found foreignFiles
	err   error
	judge func(foreignFiles, error) error // of what was found, or why nothing could be
}

func newScanReader(r io.ReadCloser, arch release.Arch, judge func(foreignFiles, error) error) *scanReader {
	pr, pw := io.Pipe()
	s := &scanReader{ReadCloser: r, feed: pw, done: make(chan struct{}), judge: judge}
	go func() {
		defer close(s.done)
		// The writer hands over up to a MiB at a time; a tar reader takes 512 bytes.
		s.found, s.err = scanTar(bufio.NewReaderSize(pr, 1<<20), arch)
		_ = pr.CloseWithError(s.err) // what cannot be understood need not be read on
	}()
	return s
}

func (s *scanReader) Read(p []byte) (int, error) {
	n, err := s.ReadCloser.Read(p)
	// The scan's own error goes to the judge, once the digests were right.
	_, _ = s.feed.Write(p[:n])
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	_ = s.feed.Close() // never fails
	<-s.done
	if err := s.judge(s.found, s.err); err != nil {
		return 0, err
	}
	return n, io.EOF
}

func (s *scanReader) Close() error {
	_ = s.feed.CloseWithError(io.ErrClosedPipe)
	<-s.done
	return s.ReadCloser.Close()
}

// scanTar finds the ELF files of other architectures in a tar. It reads to the end, past the tar's own.
func scanTar(r io.Reader, arch release.Arch) (found foreignFiles, err error) {
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			_, err = io.Copy(io.Discard, r)
			return found, err
		}
		if err != nil {
			return found, fmt.Errorf("no tar that a container runtime could unpack: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		head, err := readHead(tr)
		if err != nil {
			return found, err
		}
		got := imagestore.ELFArch(head)
		if got == "" || got == string(arch) || got == imagestore.BPF || isEmulator(h.Name) {
			continue
		}
		if found.count++; found.count <= maxForeign {
			found.first = append(found.first, foreignFile{path: path.Clean("/" + h.Name), arch: got})
		}
	}
}

// isEmulator says whether a file is the emulator with which an image was built on another machine: a program of that machine, left behind,
// which nothing in the image starts. Kubernetes' own images have it where they stand on Debian: build/debian-base and build/debian-iptables of
// v1.10 to v1.15 copy qemu-ARCH-static to /usr/bin of every image that is not for amd64, so kube-proxy carries it.
func isEmulator(name string) bool {
	dir, base := path.Split(path.Clean("/" + name))
	return dir == "/usr/bin/" && strings.HasPrefix(base, "qemu-") && strings.HasSuffix(base, "-static")
}
