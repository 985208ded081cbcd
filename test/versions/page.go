// Package versions makes docs/versions.md: which minor is held by what. Nothing of the page is written by hand: it is read from where the
// tests themselves read it (the catalog, the folders of goldens, the list of kubeadms, the Makefile's runs of the end-to-end
// tests), so it says what runs and no more. A test fails when the page says something else; go test ./test/versions -update writes it.
package versions

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"

	"kubebundle/release"
	"kubebundle/test/differential"
	"kubebundle/test/e2e/suite"
)

// Page makes the page; root is the folder of go.mod.
func Page(root string) (string, error) {
	minors, err := release.Minors()
	if err != nil {
		return "", err
	}
	goldens, err := folders(filepath.Join(root, "manifests/testdata"))
	if err != nil {
		return "", err
	}
	images, err := imageGoldens(filepath.Join(root, "release/testdata"))
	if err != nil {
		return "", err
	}
	trees, err := trees(filepath.Join(root, "release/knobs.txt"))
	if err != nil {
		return "", err
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		return "", err
	}
	// What nobody runs regularly shows nothing.
	runs := slices.DeleteFunc(endToEnd(string(makefile)), func(r Run) bool { return !r.InTest })

	var b strings.Builder
	b.WriteString(`# Which version is held by what

This page is made from what the tests run (` + "`go test ./test/versions -update`" + `), and a test fails when it is not.

Every minor below can be built and installed. What holds a minor to kubeadm's own result differs:

- **images**: the names, tags and checksums in release/catalog.yaml. *verified* was read in the source of that minor or in a table that its kubeadm
  made; *table* comes from what another installer ships; *inferred* follows from neighbours. Behind it, the patches whose list is a golden file.
- **gates and flags**: the patch whose source was read for the feature gates and flags that preflight accepts (` + "`go run ./test/trees`" + `). What is rendered
  for the minor has no flag that this source does not have.
- **goldens**: the patch for which every rendered file and object is a golden file. All minors are rendered, decoded strictly, and held against
  the assertions of manifests/facts_test.go, with or without one.
- **differential**: kubeadm of that patch runs beside ours, and all that they make is compared ([differences.md](differences.md)). Those in ` + "`make test`" + ` are bold;
  ` + "`make test-differential`" + ` runs all. Older kubeadms cannot be built from their module.
- **end-to-end**: real hosts, real Kubernetes, no network, on the runtime that is named (containerd is 1.6, containerd2 is 2.x), in ` + "`make test`" + `.

| minor | newest known | images | gates and flags | goldens | differential | end-to-end |
|---|---|---|---|---|---|---|
`)
	for i := range slices.Backward(minors) {
		m := minors[i]
		var diffs, e2e []string
		for _, v := range in(m.Minor, differential.Versions()) {
			diffs = append(diffs, bold(v, slices.Contains(differential.CIVersions(), v)))
		}
		for _, r := range runs {
			if len(in(m.Minor, []string{r.Version})) > 0 {
				what := r.Version + " on " + r.Runtime
				if r.Part {
					what += ", in part"
				}
				e2e = append(e2e, bold(what, r.InTest)+" (`make "+r.Target+"`)")
			}
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", m.Minor, m.LastPatch,
			strings.TrimSuffix(string(m.Confidence)+": "+list(in(m.Minor, images)), ": —"),
			list(in(m.Minor, trees)), list(in(m.Minor, goldens)), list(diffs), list(e2e))
	}
	return b.String(), nil
}

func bold(text string, is bool) string {
	if is {
		return "**" + text + "**"
	}
	return text
}

func list(items []string) string {
	if len(items) == 0 {
		return "—"
	}
	return strings.Join(items, ", ")
}

// in picks the versions of a minor, oldest first.
func in(minor string, versions []string) []string {
	var out []string
	for _, v := range versions {
		if strings.HasPrefix(v, minor+".") {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b string) int {
		return int(version.MustParseSemantic(a).Patch()) - int(version.MustParseSemantic(b).Patch())
	})
	return slices.Compact(out)
}

// folders are the versions that have one, with v.
func folders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var out []string
	for _, e := range entries {
		if e.IsDir() && regexp.MustCompile(`^1\.\d+\.\d+$`).MatchString(e.Name()) {
			out = append(out, "v"+e.Name())
		}
	}
	return out, err
}

// imageGoldens are the versions in names such as v1.10.6-arm64.golden.
func imageGoldens(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var out []string
	for _, e := range entries {
		if v := regexp.MustCompile(`^v1\.\d+\.\d+-[a-z]`).FindString(e.Name()); v != "" && strings.HasSuffix(e.Name(), ".golden") {
			out = append(out, v[:strings.LastIndex(v, "-")])
		}
	}
	return out, err
}

// trees are the patches that the header of release/knobs.txt names.
func trees(file string) ([]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	header, _, _ := strings.Cut(string(data), "\n")
	var out []string
	for _, v := range regexp.MustCompile(`1\.\d+\.\d+`).FindAllString(header, -1) {
		out = append(out, "v"+v)
	}
	return out, nil
}

// Run is one run of the end-to-end tests.
type Run struct {
	Version, Runtime, Target string
	InTest                   bool // make test comes by
	Part                     bool // it chooses among the behaviours
}

// endToEnd reads the runs out of the Makefile: every recipe that tests below test/e2e, with the version and the runtime that it says in the
// environment. It expands no variables of make, so a recipe writes KUBEBUNDLE_E2E=1 and the rest out.
func endToEnd(makefile string) []Run {
	needs, variables := map[string][]string{}, map[string]string{}
	var runs []Run
	target := ""
	for line := range strings.Lines(makefile) {
		if m := regexp.MustCompile(`^([A-Z0-9_]+)\s*[:?]?=\s*(.*)`).FindStringSubmatch(line); m != nil {
			variables[m[1]] = m[2]
			continue
		}
		if m := regexp.MustCompile(`^([a-z0-9.-]+):([^=#]*)`).FindStringSubmatch(line); m != nil {
			target = m[1]
			needs[target] = append(needs[target], strings.Fields(m[2])...)
			continue
		}
		line = regexp.MustCompile(`\$\(([A-Z0-9_]+)\)`).ReplaceAllStringFunc(line, func(use string) string { return variables[use[2:len(use)-1]] })
		if !strings.HasPrefix(line, "\t") || !strings.Contains(line, "KUBEBUNDLE_E2E=1") {
			continue
		}
		found := regexp.MustCompile(`v1\.\d+\.\d+`).FindAllString(line, -1)
		if len(found) == 0 {
			found = []string{suite.DefaultVersion}
		}
		runtime := string(suite.DefaultRuntime)
		if m := regexp.MustCompile(`KUBEBUNDLE_E2E_RUNTIME=([a-z0-9.-]+)`).FindStringSubmatch(line); m != nil {
			runtime = m[1]
		}
		for _, v := range found {
			runs = append(runs, Run{Version: v, Runtime: runtime, Target: target, Part: strings.Contains(line, " -run ")})
		}
	}
	var all func(target string) []string
	all = func(target string) []string {
		out := []string{target}
		for _, n := range needs[target] {
			out = append(out, all(n)...)
		}
		return out
	}
	inTest := all("test")
	for i := range runs {
		runs[i].InTest = slices.Contains(inTest, runs[i].Target)
	}
	return runs
}
