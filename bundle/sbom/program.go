package sbom

import (
	"debug/buildinfo"
	"io"
	"runtime/debug"
	"strings"
)

// program is an ELF file.
type program struct {
	path   string // in its image or in the bundle
	sha256 string // hex
	build  *debug.BuildInfo
}

// buildInfo reads what the Go linker wrote into a program; nil for what it did not make. Package debug/elf says of itself
// that it is not hardened against files made to harm, so a panic of its means no more than "no build information".
func buildInfo(r io.ReaderAt) (info *debug.BuildInfo) {
	defer func() {
		if recover() != nil {
			info = nil
		}
	}()
	info, err := buildinfo.Read(r)
	if err != nil {
		return nil
	}
	return info
}

// module is a Go module that a program was built from.
type module struct{ path, version, sum string }

// modules lists a program's modules: the one of the program itself, those that it needs as they were replaced, and
// the standard library, whose version is the compiler's.
func modules(info *debug.BuildInfo) []module {
	var out []module
	add := func(m *debug.Module) {
		if m.Replace != nil {
			m = m.Replace
		}
		if m.Path != "" {
			out = append(out, module{m.Path, m.Version, m.Sum})
		}
	}
	if v, ok := strings.CutPrefix(info.GoVersion, "go"); ok {
		v, _, _ = strings.Cut(v, " ") // an experiment's name
		out = append(out, module{path: "stdlib", version: v})
	}
	add(&info.Main)
	for _, m := range info.Deps {
		add(m)
	}
	return out
}
