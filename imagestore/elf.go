package imagestore

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"
)

// ELFHeaderSize is how many bytes of a file [ELFArch] looks at: e_ident, e_type, e_machine.
const ELFHeaderSize = 20

// BPF is ELFArch's word for programs of the kernel's own virtual machine, which are the same on every architecture.
const BPF = "bpf"

// ELFArch reads the architecture out of the beginning of a file: Go's name for it, or ELF's name with class and byte order where Go has none.
// It is "" for what is no ELF file.
func ELFArch(head []byte) string {
	if len(head) < ELFHeaderSize || !bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		return ""
	}
	class, data := elf.Class(head[elf.EI_CLASS]), elf.Data(head[elf.EI_DATA])
	var order binary.ByteOrder = binary.LittleEndian
	if data == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	machine := elf.Machine(order.Uint16(head[18:]))
	if machine == elf.EM_BPF {
		return BPF
	}
	for arch, k := range elfKinds() {
		if k == (elfKind{machine, class, data}) {
			return arch
		}
	}
	short := func(s fmt.Stringer, prefix string) string {
		return strings.ToLower(strings.TrimPrefix(s.String(), prefix))
	}
	return fmt.Sprintf("%s (%s, %s)", short(machine, "EM_"), short(class, "ELF"), short(data, "ELFDATA"))
}

type elfKind struct {
	machine elf.Machine
	class   elf.Class
	data    elf.Data
}

// elfKinds are the architectures that container images are published for. Class and byte order belong to them: what runs on amd64's
// processor with 32-bit pointers (x32), or on a big-endian POWER, is another one.
func elfKinds() map[string]elfKind {
	return map[string]elfKind{
		"386":     {elf.EM_386, elf.ELFCLASS32, elf.ELFDATA2LSB},
		"amd64":   {elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB},
		"arm":     {elf.EM_ARM, elf.ELFCLASS32, elf.ELFDATA2LSB},
		"arm64":   {elf.EM_AARCH64, elf.ELFCLASS64, elf.ELFDATA2LSB},
		"loong64": {elf.EM_LOONGARCH, elf.ELFCLASS64, elf.ELFDATA2LSB},
		"ppc64":   {elf.EM_PPC64, elf.ELFCLASS64, elf.ELFDATA2MSB},
		"ppc64le": {elf.EM_PPC64, elf.ELFCLASS64, elf.ELFDATA2LSB},
		"riscv64": {elf.EM_RISCV, elf.ELFCLASS64, elf.ELFDATA2LSB},
		"s390x":   {elf.EM_S390, elf.ELFCLASS64, elf.ELFDATA2MSB},
	}
}
