package host

import (
	"debug/elf"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// userlandPrograms are programs that every host with systemd has. What they are for is what a container runtime and a kubelet there are for.
var userlandPrograms = []string{"/sbin/init", "/bin/sh"}

// archOf tells the architecture of a host by its own programs: Go's name for it. The program that asks may be a foreign one that runs through an
// emulator, which also changes what uname says to it; and a kernel of 64 bits may carry a system of 32 (uname says aarch64, all else is arm).
// Where there is no program to read, the kernel's word holds.
func archOf(root, machine string) string {
	return archOfPrograms(func(p string) (string, error) { return filepath.Join(root, p), nil }, machine)
}

// archOfPrograms is archOf where resolve says where a path of the host is to be found.
func archOfPrograms(resolve func(p string) (string, error), machine string) string {
	for _, p := range userlandPrograms {
		rp, err := resolve(p)
		if err != nil {
			continue
		}
		f, err := elf.Open(rp)
		if err != nil {
			continue
		}
		arch := elfArch(f.FileHeader)
		if f.Close() == nil && arch != "" {
			return arch
		}
	}
	switch {
	case strings.HasPrefix(machine, "armv"):
		return "arm"
	case machine == "x86_64":
		return "amd64"
	case machine == "aarch64":
		return "arm64"
	case machine == "":
		return runtime.GOARCH
	}
	return machine // ppc64le and s390x are called so by both
}

// elfArch is "" for what Kubernetes was never published for, but for 386, which stands on many machines that could run amd64.
func elfArch(h elf.FileHeader) string {
	type kind struct {
		machine elf.Machine
		class   elf.Class
		data    elf.Data
	}
	return map[kind]string{
		{elf.EM_386, elf.ELFCLASS32, elf.ELFDATA2LSB}:     "386",
		{elf.EM_X86_64, elf.ELFCLASS64, elf.ELFDATA2LSB}:  "amd64",
		{elf.EM_ARM, elf.ELFCLASS32, elf.ELFDATA2LSB}:     "arm",
		{elf.EM_AARCH64, elf.ELFCLASS64, elf.ELFDATA2LSB}: "arm64",
		{elf.EM_PPC64, elf.ELFCLASS64, elf.ELFDATA2LSB}:   "ppc64le",
		{elf.EM_S390, elf.ELFCLASS64, elf.ELFDATA2MSB}:    "s390x",
	}[kind{h.Machine, h.Class, h.Data}]
}

// kernel asks uname for the kernel's release and machine.
func kernel() (release, machine string, err error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return "", "", fmt.Errorf("uname: %w", err)
	}
	return unix.ByteSliceToString(uts.Release[:]), unix.ByteSliceToString(uts.Machine[:]), nil
}
