package builder

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"kubebundle/release"
)

// machines says what the ELF header of each architecture looks like.
func machines() map[release.Arch]elfKind {
	return map[release.Arch]elfKind{
		"386":     {elf.EM_386, elf.ELFCLASS32, elf.ELFDATA2LSB},
		"amd64":   {elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB},
		"arm":     {elf.EM_ARM, elf.ELFCLASS32, elf.ELFDATA2LSB},
		"arm64":   {elf.EM_AARCH64, elf.ELFCLASS64, elf.ELFDATA2LSB},
		"ppc64le": {elf.EM_PPC64, elf.ELFCLASS64, elf.ELFDATA2LSB},
		"riscv64": {elf.EM_RISCV, elf.ELFCLASS64, elf.ELFDATA2LSB},
		"s390x":   {elf.EM_S390, elf.ELFCLASS64, elf.ELFDATA2MSB},
	}
}

type elfKind struct {
	machine elf.Machine
	class   elf.Class
	data    elf.Data
}

func (k elfKind) String() string {
	for a, m := range machines() {
		if m == k {
			return "linux/" + string(a)
		}
	}
	return fmt.Sprintf("%s (%s, %s)", k.machine, k.class, k.data)
}

// elfHeaderSize is enough of a file to see its architecture.
const elfHeaderSize = 20

var errNotELF = errors.New("is not a Linux program (no ELF header)")

// elfKindOf reads the beginning of a program.
func elfKindOf(head []byte) (elfKind, error) {
	if len(head) < elfHeaderSize || !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		return elfKind{}, errNotELF
	}
	k := elfKind{class: elf.Class(head[elf.EI_CLASS]), data: elf.Data(head[elf.EI_DATA])}
	var order binary.ByteOrder = binary.LittleEndian
	if k.data == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	k.machine = elf.Machine(order.Uint16(head[18:]))
	return k, nil
}

// checkArch refuses a program for another architecture.
func checkArch(head []byte, arch release.Arch) error {
	k, err := elfKindOf(head)
	if err != nil {
		return err
	}
	want, ok := machines()[arch]
	if !ok {
		return fmt.Errorf("architecture %s is not known", arch)
	}
	if k != want {
		return fmt.Errorf("is a program for %s, not for linux/%s", k, arch)
	}
	return nil
}

func checkProgram(path string, arch release.Arch) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	head := make([]byte, elfHeaderSize)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	return checkArch(head[:n], arch)
}
