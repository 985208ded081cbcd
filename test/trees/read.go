package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// tree is what one minor knows.
type tree struct {
	gates        map[string]string // to the value that it is locked to, "" for one that can be changed
	kubeadmGates map[string]string
	flags        map[string]map[string]bool // by program
}

// sources are where a program defines its flags, below k8s.io/kubernetes; some of them exist in some minors only. The flags of the
// container runtime lived beside the kubelet's configuration until v1.26.
func sources() map[string][]string {
	return map[string][]string{
		"kubelet": {"cmd/kubelet/app/options", "pkg/kubelet/config/flags.go"},
		"kube-apiserver": {
			"cmd/kube-apiserver/app", "pkg/kubeapiserver", "pkg/controlplane", "pkg/master", "pkg/serviceaccount", "plugin/pkg/admission",
			"pkg/cloudprovider/providers/gce",
		},
		"kube-controller-manager": {
			"cmd/kube-controller-manager/app", "cmd/controller-manager/app", "pkg/client/leaderelectionconfig", "pkg/cloudprovider/providers/gce",
		},
		"kube-scheduler": {"cmd/kube-scheduler/app", "pkg/client/leaderelectionconfig", "pkg/scheduler"},
	}
}

// shared are the libraries whose flags the three programs of the control plane take from; each is given the flags of all.
func shared() []string {
	return []string{
		"apiserver/pkg/server", "apiserver/pkg/util/feature", "apiserver/pkg/util/flag", "apiserver/pkg/admission", "apiserver/pkg/audit",
		"component-base", "controller-manager", "cloud-provider",
	}
}

func readTree(ctx context.Context, minor, patch uint) (*tree, error) {
	root := module(ctx, "k8s.io/kubernetes", fmt.Sprintf("v1.%d.%d", minor, patch))
	if root == "" {
		return nil, errors.New("the module cannot be had")
	}
	libs, err := libraries(ctx, root, minor, patch)
	if err != nil {
		return nil, err
	}
	files, err := goFiles(filepath.Join(root, "pkg/features"))
	for _, dir := range libs {
		files, err = more(files, err, dir)
	}
	own, err := more(nil, err, filepath.Join(root, "cmd/kubeadm/app/features"))
	if err != nil {
		return nil, err
	}
	t := &tree{gates: gates(files), kubeadmGates: gates(own), flags: map[string]map[string]bool{}}
	var dead []string
	if minor >= 24 { // no program has used it since
		dead = append(dead, "deprecated_insecure_serving.go")
	}
	var common []*ast.File
	for _, path := range shared() {
		name, below, _ := strings.Cut(path, "/")
		if libs[name] != "" {
			common, err = more(common, err, filepath.Join(libs[name], below), dead...)
		}
	}
	for program, paths := range sources() {
		var files []*ast.File
		if program != "kubelet" {
			files = slices.Clone(common)
		}
		for _, path := range paths {
			files, err = more(files, err, filepath.Join(root, path))
		}
		t.flags[program] = flags(files)
		for _, l := range libraryFlags() {
			for name := range strings.FieldsSeq(l.names) {
				if minor <= l.until {
					t.flags[program][name] = true
				}
			}
		}
	}
	if err == nil && (len(t.gates) < 30 || len(t.flags["kubelet"]) < 50) {
		err = fmt.Errorf("only %d gates and %d flags were found: the source has changed its form", len(t.gates), len(t.flags["kubelet"]))
	}
	return t, err
}

// more adds the files of a folder, where there is one.
func more(files []*ast.File, err error, dir string, dead ...string) ([]*ast.File, error) {
	if err != nil {
		return nil, err
	}
	add, err := goFiles(dir, dead...)
	if errors.Is(err, fs.ErrNotExist) {
		return files, nil
	}
	return append(files, add...), err
}

// libraryFlags are those that come from logging and other libraries, which read them from a global set: no syntax tells. Sources:
// component-base logs/logs.go and logs/api/v1/options.go, whose klog flags but v and vmodule ended with v1.25; cobra's help.
func libraryFlags() []struct {
	until uint
	names string
} {
	return []struct {
		until uint
		names string
	}{
		{25, "add-dir-header alsologtostderr log-backtrace-at log-dir log-file log-file-max-size logtostderr one-output skip-headers " +
			"skip-log-headers stderrthreshold experimental-logging-sanitization"},
		{99, "help v vmodule version log-flush-frequency logging-format log-json-info-buffer-size log-json-split-stream " +
			"log-text-info-buffer-size log-text-split-stream housekeeping-interval allow-verification-with-non-compliant-keys"},
	}
}

// libraries are the folders of the modules beside k8s.io/kubernetes that bring gates and flags of their own into the programs.
func libraries(ctx context.Context, root string, minor, patch uint) (map[string]string, error) {
	out := map[string]string{}
	for name, since := range map[string]uint{
		"apiserver": 10, "apiextensions-apiserver": 10, "component-base": 14, "cloud-provider": 14, "controller-manager": 20, "client-go": 30,
	} {
		if minor < since {
			continue
		}
		dir, err := library(ctx, root, name, minor, patch)
		if err != nil {
			return nil, err
		}
		if dir != "" {
			out[name] = dir
		}
	}
	return out, nil
}

// library is the folder of such a module: in the tree itself until it became a module of its own (v1.15), else at the same patch or, where
// that cannot be had, at the nearest earlier one. Those of v1.15 and v1.16 have no version numbers: see fillGap.
func library(ctx context.Context, root, name string, minor, patch uint) (string, error) {
	if dir := filepath.Join(root, "staging/src/k8s.io", name); exists(dir) {
		return dir, nil
	}
	if minor < 17 {
		return "", nil
	}
	for p := int(patch); p >= 0; p-- {
		if dir := module(ctx, "k8s.io/"+name, fmt.Sprintf("v0.%d.%d", minor, p)); dir != "" {
			return dir, nil
		}
	}
	return "", fmt.Errorf("k8s.io/%s has no version for v1.%d", name, minor)
}

func exists(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

// goFiles parses the files below a folder that can define gates or flags; tests and dead files are left out.
func goFiles(dir string, dead ...string) ([]*ast.File, error) {
	var files []*ast.File
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if err == nil && (d.Name() == "testdata" || d.Name() == "testing") {
				return filepath.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || slices.Contains(dead, d.Name()) {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !bytes.Contains(data, []byte("Feature")) && !bytes.Contains(data, []byte("flag")) {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, data, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, f)
		return nil
	})
	return files, err
}

// gates reads every map from gate to specification. Constants are found by name across all files: a gate's constant is called the same
// wherever it is repeated.
func gates(files []*ast.File) map[string]string {
	names := constants(files, true)
	out := map[string]string{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok || !isGateMap(lit) {
				return true
			}
			for _, e := range lit.Elts {
				kv, ok := e.(*ast.KeyValueExpr)
				if !ok {
					continue
				}
				name := names[lastName(kv.Key)]
				if name == "" {
					name = lastName(kv.Key)
				}
				// A gate that two packages list is locked when one of them says so.
				if lock := lockOf(kv.Value); lock != "" || out[name] == "" {
					out[name] = lock
				}
			}
			return false
		})
	}
	return out
}

// constants are all string constants by name; with gates only those of the type Feature.
func constants(files []*ast.File, gates bool) map[string]string {
	out := map[string]string{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || gates && lastName(spec.Type) != "Feature" {
				return true
			}
			for i, id := range spec.Names {
				if i < len(spec.Values) {
					if s, ok := text(spec.Values[i]); ok {
						out[id.Name] = s
					}
				}
			}
			return true
		})
	}
	return out
}

// isGateMap knows map[featuregate.Feature]featuregate.FeatureSpec and its relatives, and kubeadm's FeatureList.
func isGateMap(lit *ast.CompositeLit) bool {
	switch t := lit.Type.(type) {
	case *ast.MapType:
		value := lastName(t.Value)
		return lastName(t.Key) == "Feature" && (value == "FeatureSpec" || value == "VersionedSpecs")
	case *ast.Ident:
		return t.Name == "FeatureList"
	}
	return false
}

// lockOf gives the value that the newest specification of a gate is locked to.
func lockOf(spec ast.Expr) string {
	lit, ok := spec.(*ast.CompositeLit)
	if !ok || len(lit.Elts) == 0 {
		return ""
	}
	last := lit
	if inner, ok := lit.Elts[len(lit.Elts)-1].(*ast.CompositeLit); ok {
		last = inner // VersionedSpecs: oldest first
	}
	value, locked := "false", false
	ast.Inspect(last, func(n ast.Node) bool {
		if kv, ok := n.(*ast.KeyValueExpr); ok {
			switch lastName(kv.Key) {
			case "Default":
				value = lastName(kv.Value)
			case "LockToDefault":
				locked = lastName(kv.Value) == "true"
			}
		}
		return true
	})
	if !locked {
		return ""
	}
	return value
}

// defines are the methods of a flag set that add a flag: its name is the first text among the arguments.
var defines = regexp.MustCompile(`^(String|Bool|U?[Ii]nt|Float|Duration|Count|IP|Func|Var|Text)[A-Za-z0-9]*$`)

// flags reads the names of the flags that the files define. "register" and its like take a flag of a library, which may have underscores,
// into a program's set. A name that is put together has a star for what the syntax does not tell: audit-*-mode.
func flags(files []*ast.File) map[string]bool {
	names := constants(files, false)
	out := map[string]bool{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			method := lastName(call.Fun)
			if !defines.MatchString(method) && !slices.Contains([]string{"register", "Register", "pflagRegister", "registerDeprecated"}, method) {
				return true
			}
			for _, arg := range call.Args {
				if name := pattern(arg, names); flagName.MatchString(name) {
					out[strings.ReplaceAll(name, "_", "-")] = true
					break
				}
			}
			return true
		})
	}
	return out
}

// flagName is a name of which at least its beginning is known.
var flagName = regexp.MustCompile(`^[a-z][a-z0-9_*-]*$`)

// pattern is the text of an expression with a star for each part that the syntax does not tell; "" for what is no text.
func pattern(e ast.Expr, names map[string]string) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, _ := text(e)
		return s
	case *ast.Ident:
		return names[e.Name]
	case *ast.CallExpr:
		if lastName(e.Fun) == "Sprintf" && len(e.Args) > 0 {
			s, _ := text(e.Args[0])
			return regexp.MustCompile(`%[a-z]`).ReplaceAllString(s, "*")
		}
	case *ast.BinaryExpr:
		left, right := pattern(e.X, names), pattern(e.Y, names)
		if e.Op == token.ADD && left+right != "" {
			return cmp.Or(left, "*") + cmp.Or(right, "*")
		}
	}
	return ""
}

func text(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// lastName is Name of Name and of pkg.Name.
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}
