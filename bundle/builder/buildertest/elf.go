package buildertest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"

	"kubebundle/imagestore"
	"kubebundle/release"
)

// ELF is the smallest thing that every check takes for a static program of an architecture. The seed makes it differ
// from others; it follows the headers.
func ELF(arch release.Arch, seed string) []byte {
	machine, class, data := elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB
	switch arch {
	case "arm":
		machine, class = elf.EM_ARM, elf.ELFCLASS32
	case "386":
		machine, class = elf.EM_386, elf.ELFCLASS32
	case imagestore.BPF:
		machine = elf.EM_BPF
	case "arm64":
		machine = elf.EM_AARCH64
	case "ppc64le":
		machine = elf.EM_PPC64
	case "s390x":
		machine, data = elf.EM_S390, elf.ELFDATA2MSB
	}
	var order binary.ByteOrder = binary.LittleEndian
	if data == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(class), byte(data), byte(elf.EV_CURRENT)}
	var buf bytes.Buffer
	write := func(v any) { inMemory(binary.Write(&buf, order, v)) }
	if class == elf.ELFCLASS32 {
		write(elf.Header32{
			Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
			Phoff: 52, Ehsize: 52, Phentsize: 32, Phnum: 1,
		})
		write(elf.Prog32{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Align: 1})
	} else {
		write(elf.Header64{
			Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
			Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
		})
		write(elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Align: 1})
	}
	buf.WriteString(seed)
	return buf.Bytes()
}
