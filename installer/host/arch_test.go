package host

import (
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// writeELF writes a header and nothing else.
func writeELF(t *testing.T, path string, machine elf.Machine, class elf.Class, data elf.Data) {
	t.Helper()
	ident := [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(class), byte(data), byte(elf.EV_CURRENT)}
	var order binary.ByteOrder = binary.LittleEndian
	if data == elf.ELFDATA2MSB {
		order = binary.BigEndian
	}
	var h any = elf.Header64{Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT)}
	if class == elf.ELFCLASS32 {
		h = elf.Header32{Ident: ident, Type: uint16(elf.ET_EXEC), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT)}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := binary.Write(f, order, h); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestArchOf(t *testing.T) {
	arm64 := func(t *testing.T, p string) { writeELF(t, p, elf.EM_AARCH64, elf.ELFCLASS64, elf.ELFDATA2LSB) }
	arm := func(t *testing.T, p string) { writeELF(t, p, elf.EM_ARM, elf.ELFCLASS32, elf.ELFDATA2LSB) }
	amd64 := func(t *testing.T, p string) { writeELF(t, p, elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB) }
	s390x := func(t *testing.T, p string) { writeELF(t, p, elf.EM_S390, elf.ELFCLASS64, elf.ELFDATA2MSB) }
	script := func(t *testing.T, p string) {
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte("#!/bin/sh\nexec /lib/systemd/systemd\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		init, sh      func(t *testing.T, path string)
		machine, want string
	}{
		"plain":                               {init: amd64, machine: "x86_64", want: "amd64"},
		"a system of 32 bits under 64":        {init: arm, machine: "aarch64", want: "arm"},
		"what an emulator says":               {init: amd64, machine: "aarch64", want: "amd64"},
		"big endian":                          {init: s390x, machine: "s390x", want: "s390x"},
		"init is a script":                    {init: script, sh: arm64, machine: "aarch64", want: "arm64"},
		"nothing to read":                     {machine: "armv7l", want: "arm"},
		"nothing to read, 64 bits":            {machine: "aarch64", want: "arm64"},
		"nothing to read, same name for both": {machine: "ppc64le", want: "ppc64le"},
		"never published for":                 {machine: "riscv64", want: "riscv64"},
		"nobody knows":                        {want: runtime.GOARCH},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if c.init != nil {
				c.init(t, filepath.Join(root, "sbin/init"))
			}
			if c.sh != nil {
				c.sh(t, filepath.Join(root, "bin/sh"))
			}
			if got := archOf(root, c.machine); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
