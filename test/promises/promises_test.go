// Package promises keeps docs/tests.md honest: what it names is there.
package promises

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const (
	page = "docs/tests.md"
	root = "../.."
)

var (
	named = regexp.MustCompile("`([^`]*/[^`]*)`((?: Test[A-Za-z0-9]+)*)")
	test  = regexp.MustCompile(`Test[A-Za-z0-9]+`)
)

// TestPage looks for every path, and for every test behind a path in its file or folder.
func TestPage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	found := named.FindAllStringSubmatch(string(text), -1)
	if len(found) < 50 {
		t.Errorf("%s names %d paths", page, len(found))
	}
	for _, m := range found {
		p := filepath.Join(root, m[1])
		fi, err := os.Stat(p)
		if err != nil {
			t.Errorf("%s: %v", page, err)
			continue
		}
		files := []string{p}
		if fi.IsDir() {
			if files, err = filepath.Glob(filepath.Join(p, "*_test.go")); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range test.FindAllString(m[2], -1) {
			if !defines(t, files, name) {
				t.Errorf("%s: %s has no %s", page, m[1], name)
			}
		}
	}
	if n := len(test.FindAllString(string(text), -1)); n != count(found) {
		t.Errorf("%s names %d tests, %d of them behind a path", page, n, count(found))
	}
}

func defines(t *testing.T, files []string, name string) bool {
	t.Helper()
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(data), "func "+name+"(t *testing.T)") {
			return true
		}
	}
	return false
}

func count(found [][]string) (n int) {
	for _, m := range found {
		n += len(test.FindAllString(m[2], -1))
	}
	return n
}
