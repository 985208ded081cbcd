package builder

import (
	"errors"
	"fmt"
	"io"
	"os"

	"kubebundle/imagestore"
	"kubebundle/release"
)

var errNotELF = errors.New("is not a Linux program (no ELF header)")

// checkArch refuses a program for another architecture by its first bytes.
func checkArch(head []byte, arch release.Arch) error {
	switch got := imagestore.ELFArch(head); got {
	case "":
		return errNotELF
	case string(arch):
		return nil
	default:
		return fmt.Errorf("is a program for linux/%s, not for linux/%s", got, arch)
	}
}

func checkProgram(path string, arch release.Arch) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	head, err := readHead(f)
	if err != nil {
		return err
	}
	return checkArch(head, arch)
}

// readHead reads as much of a file as its architecture needs, or all of a shorter one.
func readHead(r io.Reader) ([]byte, error) {
	head := make([]byte, imagestore.ELFHeaderSize)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return head[:n], nil
}
