package sbom

import (
	"bufio"
	"bytes"
	"strings"
)

// deb is a Debian package that a layer says it has.
type deb struct{ name, version, arch string }

// parseDpkg reads dpkg's database or one file of status.d. Packages that were removed but for their configuration do not
// count; what has no name or version is passed over.
func parseDpkg(data []byte) []deb {
	var out []deb
	var cur deb
	installed := true
	end := func() {
		if cur.name != "" && cur.version != "" && installed {
			out = append(out, cur)
		}
		cur, installed = deb{}, true
	}
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, len(data)+1)
	for s.Scan() {
		line := s.Text()
		if strings.TrimSpace(line) == "" {
			end()
			continue
		}
		key, value, _ := strings.Cut(line, ":") // a line that goes on begins with a blank and matches no key
		value = strings.TrimSpace(value)
		switch key {
		case "Package":
			cur.name = value
		case "Version":
			cur.version = value
		case "Architecture":
			cur.arch = value
		case "Status":
			installed = strings.HasSuffix(value, " installed")
		}
	}
	end()
	return out
}

// osID is the ID of an os-release file.
func osID(data []byte) string {
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "ID="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return ""
}
