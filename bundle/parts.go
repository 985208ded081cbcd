package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// A bundle may be cut into parts, for media and file systems that hold no large files: NAME.tar.gz.001, .002 and so on, which are
// nothing but the bytes of NAME.tar.gz, so that `cat NAME.tar.gz.??? | tar xz` is all that a host needs. The list NAME.tar.gz.sha256
// stands beside them. It is a file for `sha256sum -c` that names every part in order; a comment in it tells the whole's name, size and
// digest and the size of a part.

// ListSuffix is what the list of a bundle in parts has behind the name of the bundle.
const ListSuffix = ".sha256"

// MaxParts is the largest number of parts: their numbers have three digits, so that a shell lists them in order.
const MaxParts = 999

// maxList is the largest list, in bytes.
const maxList = 1 << 20

// Part is one part of a bundle that was cut up.
type Part struct {
	Path   string
	Size   int64
	SHA256 string // sha256:<hex>
}

// partsList is the content of a list. The paths of its parts are names.
type partsList struct {
	name     string // of the whole
	size     int64
	sha256   string
	partSize int64
	parts    []Part
}

func (l *partsList) encode() []byte {
	var buf bytes.Buffer
	fmt.Fprintf(&buf, "# whole %s size %d sha256 %s part-size %d\n", l.name, l.size, strings.TrimPrefix(l.sha256, digestAlgo), l.partSize)
	fmt.Fprintf(&buf, "# check: sha256sum -c %s     unpack: cat %s.??? | tar xz\n", l.name+ListSuffix, l.name)
	for _, p := range l.parts {
		fmt.Fprintf(&buf, "%s  %s\n", strings.TrimPrefix(p.SHA256, digestAlgo), p.Path)
	}
	return buf.Bytes()
}

var (
	wholeNameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$`)
	wholeRE     = regexp.MustCompile(`^# whole ([A-Za-z0-9][A-Za-z0-9._+-]{0,199}) size ([0-9]{1,13}) sha256 ([0-9a-f]{64}) part-size ([0-9]{1,13})$`)
	partRE      = regexp.MustCompile(`^([0-9a-f]{64}) [ *]([A-Za-z0-9._+-]{1,204})$`)
	// partNameRE finds the name of the whole in the name of a part.
	partNameRE = regexp.MustCompile(`^(.+)\.[0-9]{3}$`)
)

// parseList reads a list. Every error is a *CorruptError about path.
func parseList(path string, data []byte) (*partsList, error) {
	l := new(partsList)
	for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		if m := wholeRE.FindStringSubmatch(line); m != nil && l.name == "" {
			l.name, l.sha256 = m[1], digestAlgo+m[3]
			l.size, _ = strconv.ParseInt(m[2], 10, 64) // thirteen digits are a number
			l.partSize, _ = strconv.ParseInt(m[4], 10, 64)
			continue
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := partRE.FindStringSubmatch(line)
		if m == nil {
			return nil, corrupt(path, "line %d is not a checksum", i+1)
		}
		l.parts = append(l.parts, Part{Path: m[2], SHA256: digestAlgo + m[1]})
	}
	n := int64(len(l.parts))
	switch {
	case l.name == "":
		return nil, corrupt(path, "does not say what the parts are parts of")
	case l.partSize < 1, n < 1, n > MaxParts, l.size <= (n-1)*l.partSize, l.size > n*l.partSize:
		return nil, corrupt(path, "names %d parts of %d bytes for a whole of %d", n, l.partSize, l.size)
	}
	for i := range l.parts {
		p := &l.parts[i]
		if want := partFile(l.name, i); p.Path != want {
			return nil, corrupt(path, "names %s where %s must stand", p.Path, want)
		}
		p.Size = min(l.partSize, l.size-int64(i)*l.partSize)
	}
	return l, nil
}

// partFile is the name of a part, counted from 0.
func partFile(name string, i int) string { return fmt.Sprintf("%s.%03d", name, i+1) }

// listOf says which list belongs to a path by its name: the list itself, or that beside a part.
func listOf(path string) (list string, ok bool) {
	if m := partNameRE.FindStringSubmatch(path); m != nil {
		return m[1] + ListSuffix, true
	}
	return path, strings.HasSuffix(path, ListSuffix)
}

// readList reads a list and looks whether all parts are there with the right size; every one that is not is named.
func readList(path string) (*partsList, error) {
	name := filepath.Base(path)
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer func() { _ = root.Close() }() // only read from
	data, err := readSmall(root, name, maxList)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, corrupt(name, "is missing: it names the parts and must lie beside them")
	}
	if err != nil {
		return nil, err
	}
	l, err := parseList(name, data)
	if err != nil {
		return nil, err
	}
	if l.name+ListSuffix != name {
		return nil, corrupt(name, "is the list of %s", l.name)
	}
	var errs []error
	for _, p := range l.parts {
		size, err := regular(root, p.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist): // not passed on: it would read as if there were no bundle at all
			err = corrupt(p.Path, "is missing")
		case err == nil && size != p.Size:
			err = corrupt(p.Path, "has %d bytes, %s says %d", size, name, p.Size)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return l, errors.Join(errs...)
}
