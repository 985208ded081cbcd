package containerd

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// The plugins that carry CRI's configuration: one in files of version 2 (containerd 1.3 on, and 2.x still reads them), two since version 3.
const (
	criPlugin     = "io.containerd.grpc.v1.cri"
	imagesPlugin  = "io.containerd.cri.v1.images"
	runtimePlugin = "io.containerd.cri.v1.runtime"
)

// Want is what Kubernetes needs of containerd's configuration. Empty fields are left as they are.
type Want struct {
	SandboxImage string // the bundled pause image
	CgroupDriver string // "systemd" or "cgroupfs"
	CNIBinDir    string // where the CNI plugins are installed, "/opt/cni/bin"
}

// ErrConfig is wrapped by errors about a configuration file that cannot be edited safely. Their text has the lines that a person must set.
var ErrConfig = errors.New("containerd's configuration must be changed by hand")

// setting is one key that must have a value.
type setting struct {
	table []string
	key   string
	value any
}

func (s setting) String() string { return fmt.Sprintf("%s: %s", header(s.table), s.line()) }

func (s setting) line() string { return s.key + " = " + literal(s.value) }

func (s setting) path() []string { return append(slices.Clone(s.table), s.key) }

// Configure gives the configuration file that containerd of a version ("1.6.20") needs, from the one that exists (nil if none does), and
// says what it changes, one line for each. No changes: the file comes back as it was. Only the lines concerned are
// touched; comments, order and everything else stay. The result is parsed again and compared, so that an edit that would
// change anything else is an error instead. The daemon must be restarted afterwards.
//
// Keys: version 2 files have all in io.containerd.grpc.v1.cri, version 3 files in io.containerd.cri.v1.images and io.containerd.cri.v1.runtime.
// Source: docs/cri/config.md in containerd.
func Configure(version string, want Want, existing []byte) (config []byte, changes []string, err error) {
	var old map[string]any
	if err := toml.Unmarshal(existing, &old); err != nil {
		return nil, nil, fmt.Errorf("parse containerd's configuration: %w", err)
	}
	text := string(existing)
	expect := clone(old)
	fileVersion, err := versionOf(version, old)
	if err != nil {
		return nil, nil, err
	}
	var edits []setting
	if _, ok := old["version"]; !ok {
		edits = append(edits, setting{key: "version", value: int64(fileVersion)})
	}
	if list, ok := withoutCRI(old["disabled_plugins"]); ok {
		edits = append(edits, setting{key: "disabled_plugins", value: list})
	}
	edits = append(edits, settings(fileVersion, want, old)...)
	for _, s := range edits {
		if v, ok := lookup(expect, s.path()); ok && reflect.DeepEqual(v, s.value) {
			continue
		}
		text = edit(text, s)
		if !assign(expect, s.path(), s.value) {
			return nil, nil, byHand(edits, fmt.Errorf("%s is not a table", header(s.table)))
		}
		changes = append(changes, s.String())
	}
	var got map[string]any
	if err := toml.Unmarshal([]byte(text), &got); err != nil {
		return nil, nil, byHand(edits, err)
	}
	if !reflect.DeepEqual(got, expect) {
		return nil, nil, byHand(edits, errors.New("it is written in a way that cannot be edited line by line"))
	}
	return []byte(text), changes, nil
}

func byHand(edits []setting, cause error) error {
	var b strings.Builder
	for _, s := range edits {
		b.WriteString("\n  ")
		b.WriteString(s.String())
	}
	return fmt.Errorf("%w (%w); set:%s", ErrConfig, cause, b.String())
}

// versionOf decides the version of the file. One without a version is of version 1, where plugins had other names; it can
// become version 2 only while it says nothing about plugins.
func versionOf(containerd string, file map[string]any) (int, error) {
	major, _, _ := strings.Cut(strings.TrimPrefix(containerd, "v"), ".")
	if v, ok := file["version"].(int64); ok && v > 1 {
		return int(v), nil
	}
	if plugins, ok := file["plugins"].(map[string]any); ok && len(plugins) > 0 {
		return 0, fmt.Errorf("%w (it is of version 1); convert it first: containerd config migrate", ErrConfig)
	}
	if _, ok := file["version"]; ok {
		return 0, fmt.Errorf("%w (it is of version 1); convert it first: containerd config migrate", ErrConfig)
	}
	if n, err := strconv.Atoi(major); err == nil && n >= 2 {
		return 3, nil
	}
	return 2, nil
}

// withoutCRI takes CRI off the disabled plugins, where Docker's packages of containerd put it.
func withoutCRI(v any) ([]any, bool) {
	list, ok := v.([]any)
	if !ok {
		return nil, false
	}
	isCRI := func(p any) bool {
		return p == "cri" || p == criPlugin || p == imagesPlugin || p == runtimePlugin
	}
	if !slices.ContainsFunc(list, isCRI) {
		return nil, false
	}
	return slices.DeleteFunc(slices.Clone(list), isCRI), true
}

func settings(version int, want Want, old map[string]any) []setting {
	images, runtime, sandbox := []string{"plugins", criPlugin}, []string{"plugins", criPlugin}, "sandbox_image"
	if version >= 3 {
		images, runtime, sandbox = []string{"plugins", imagesPlugin, "pinned_images"}, []string{"plugins", runtimePlugin}, "sandbox"
	}
	under := func(names ...string) []string { return slices.Concat(runtime, names) }
	var out []setting
	if want.SandboxImage != "" {
		out = append(out, setting{images, sandbox, want.SandboxImage})
	}
	runc := under("containerd", "runtimes", "runc")
	// The built-in default is cgroupfs.
	if _, told := lookup(old, append(slices.Clone(runc), "options", "SystemdCgroup")); told && want.CgroupDriver != "" || want.CgroupDriver == "systemd" {
		// A runc table of its own replaces the built-in one, type included.
		if _, ok := lookup(old, append(slices.Clone(runc), "runtime_type")); !ok {
			out = append(out, setting{runc, "runtime_type", "io.containerd.runc.v2"})
		}
		out = append(out, setting{append(slices.Clone(runc), "options"), "SystemdCgroup", want.CgroupDriver == "systemd"})
	}
	if want.CNIBinDir != "" {
		// Only where the file says something: the built-in default is Kubernetes' folder.
		if list, ok := lookup(old, under("cni", "bin_dirs")); ok {
			if dirs, ok := list.([]any); ok && !slices.Contains(dirs, any(want.CNIBinDir)) {
				out = append(out, setting{under("cni"), "bin_dirs", append(slices.Clone(dirs), want.CNIBinDir)})
			}
		} else if dir, ok := lookup(old, under("cni", "bin_dir")); ok && dir != "" {
			out = append(out, setting{under("cni"), "bin_dir", want.CNIBinDir})
		}
	}
	return out
}

func lookup(tree map[string]any, path []string) (any, bool) {
	for _, k := range path[:len(path)-1] {
		next, ok := tree[k].(map[string]any)
		if !ok {
			return nil, false
		}
		tree = next
	}
	v, ok := tree[path[len(path)-1]]
	return v, ok
}

func assign(tree map[string]any, path []string, value any) bool {
	for _, k := range path[:len(path)-1] {
		if _, ok := tree[k]; !ok {
			tree[k] = map[string]any{}
		}
		next, ok := tree[k].(map[string]any)
		if !ok {
			return false
		}
		tree = next
	}
	tree[path[len(path)-1]] = value
	return true
}

func clone(tree map[string]any) map[string]any {
	out := maps.Clone(tree)
	if out == nil {
		out = map[string]any{}
	}
	for k, v := range out {
		if m, ok := v.(map[string]any); ok {
			out[k] = clone(m)
		}
	}
	return out
}
