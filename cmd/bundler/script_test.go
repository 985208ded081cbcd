package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kubebundle/bundle"
	"kubebundle/bundle/builder/buildertest"
	"kubebundle/bundle/bundletest"
	"kubebundle/release"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"bundler": main,
		// The same on a disk that is full after $LIMIT bytes: the kernel refuses the write half-way.
		"bundler-full": func() {
			limit, err := strconv.ParseUint(os.Getenv("LIMIT"), 10, 64)
			if err != nil {
				panic(err)
			}
			signal.Ignore(syscall.SIGXFSZ)
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
				panic(err)
			}
			main()
		},
	})
}

// TestScripts runs testdata/*.txtar. Each script has an upstream of its own; $K8S, $HUB and $BIN are the flags that lead
// to it, $INST names the installers in $WORK.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":     cmdCode,
			"flip":     cmdFlip,
			"cut":      cmdCut,
			"mkbundle": cmdMakeBundle,
			"mkdelta":  cmdMakeDelta,
			"upstream": cmdUpstream,
		},
	})
}

func setup(env *testscript.Env) error {
	tb := env.T().(testing.TB)
	up := buildertest.New(tb)
	up.AddRelease(tb, "v1.34.4", "amd64", "arm64")
	up.AddImage(tb, "flannel/flannel:v0.26.7", "flanneld", "amd64", "arm64")
	up.Forget()
	env.Values["upstream"] = &upstream{Upstream: up, tb: tb}
	env.Vars = append(env.Vars,
		"K8S=--registry-mirror=registry.k8s.io="+up.Host()+"/registry.k8s.io",
		"HUB=--registry-mirror=docker.io="+up.Host()+"/docker.io",
		"BIN=--binary-mirror="+up.BinaryMirror(),
		"FILES="+up.Files.URL,
		"INST=--installer="+filepath.Join(env.WorkDir, "install-%ARCH"),
		"XDG_CACHE_HOME="+filepath.Join(env.WorkDir, "cache"),
		"DOCKER_CONFIG="+env.WorkDir,
	)
	for _, arch := range []string{"amd64", "arm64"} {
		path := filepath.Join(env.WorkDir, "install-"+arch)
		if err := os.WriteFile(path, buildertest.ELF(release.Arch(arch), "install"), 0o755); err != nil {
			return err
		}
	}
	// An installer with a place for trusted keys.
	place, err := os.ReadFile(filepath.Join("..", "..", "bundle", "trust", "place.txt"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(env.WorkDir, "with-place"), append(buildertest.ELF("amd64", "install\n"), place...), 0o755); err != nil {
		return err
	}
	return os.Mkdir(filepath.Join(env.WorkDir, "out"), 0o755)
}

// cmdCode runs a program and wants an exit code: code 2 bundler build --foo
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N PROGRAM [ARG...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// cmdFlip changes one bit at a percentage of a file: flip FILE 50
func cmdFlip(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	data := []byte(ts.ReadFile(args[0]))
	percent, err := strconv.Atoi(args[1])
	ts.Check(err)
	data[len(data)*percent/100] ^= 1
	ts.Check(os.WriteFile(path, data, 0o600))
}

// cmdCut cuts a file to a percentage: cut FILE 50
func cmdCut(ts *testscript.TestScript, _ bool, args []string) {
	data := ts.ReadFile(args[0])
	percent, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(data[:len(data)*percent/100]), 0o600))
}

// cmdMakeBundle writes a good bundle of v1.34.4 without all of its images, and unpacks it: mkbundle DIR
func cmdMakeBundle(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	tb := tbOf(ts)
	m := bundletest.Small()
	m.File("manifests/02-pod.yml", 0o644, []byte("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    image: nginx:1\n"))
	bundletest.Unpack(tb, m.Write(tb, dir), dir)
}

// cmdMakeDelta writes a bundle of v1.34.3, its folder, and the delta to v1.34.4, in which one program is a little different: mkdelta DIR
func cmdMakeDelta(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	tb := tbOf(ts)
	program := make([]byte, 100_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(program) // never fails
	make := func(version string) *bundletest.Maker {
		m := bundletest.New("amd64")
		m.Contract.KubernetesVersion = version
		m.File("bin/kubelet", 0o755, append(bytes.Clone(program), version...))
		m.Image("registry.k8s.io/kube-proxy:"+version, "kube-proxy", bundletest.Layer("etc/os-release", "ID=test\n"), bundletest.Layer("proxy", version))
		m.Image("registry.k8s.io/pause:3.10.1", "pause", bundletest.Layer("etc/os-release", "ID=test\n"))
		return m
	}
	old := make("v1.34.3").Write(tb, dir)
	bundletest.Unpack(tb, old, dir)
	base, err := bundle.OpenPath(old)
	ts.Check(err)
	make("v1.34.4").WriteDelta(tb, dir, base)
}

func tbOf(ts *testscript.TestScript) testing.TB { return ts.Value("upstream").(*upstream).tb }

// upstream is the script's upstream and what it was told to do.
type upstream struct {
	*buildertest.Upstream
	tb   testing.TB
	mu   sync.Mutex
	hung chan struct{} // closed when hanging requests may go on
}

// cmdUpstream makes the upstream misbehave for paths that contain a word, until the next one:
//
//	upstream down WORD      connections break
//	upstream missing WORD   404
//	upstream alter WORD     content differs by one bit
//	upstream hang WORD      the answer stops half-way and waits
//	upstream sign IMAGE     the publisher signs an image, as cosign does
//	upstream ok             all is well again
//	upstream await WORD     wait until such a path was asked for
//	upstream chart REF FILE push a chart
//	upstream file PATH FILE serve a file
//	upstream forget         what was asked for
//	upstream count N WORD   want that many requests since
//	upstream image REF ARCH CONFIGARCH PATH=ARCH...   an index for one architecture; a program per path
func cmdUpstream(ts *testscript.TestScript, _ bool, args []string) {
	u := ts.Value("upstream").(*upstream)
	word := args[len(args)-1]
	switch args[0] {
	case "ok":
		u.release()
		u.SetFault(nil)
	case "sign":
		u.SignImage(u.tb, word)
	case "forget":
		u.Forget()
	case "chart":
		u.AddChart(u.tb, args[1], []byte(ts.ReadFile(args[2])))
	case "file":
		u.SetFile(args[1], []byte(ts.ReadFile(args[2])))
	case "await":
		for deadline := time.Now().Add(30 * time.Second); u.Count(word) == 0; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				ts.Fatalf("nobody asked for %s", word)
			}
		}
	case "image":
		var files []buildertest.Member
		for _, f := range args[4:] {
			name, arch, _ := strings.Cut(f, "=")
			files = append(files, buildertest.Member{Name: name, Data: buildertest.ELF(release.Arch(arch), name)})
		}
		u.AddImageOf(u.tb, args[1], "program", release.Arch(args[2]), release.Arch(args[3]), buildertest.Tar(files...))
	case "count":
		if n := strconv.Itoa(u.Count(word)); n != args[1] {
			ts.Fatalf("%s requests with %q, want %s", n, word, args[1])
		}
	default:
		answer, ok := u.faults()[args[0]]
		if !ok {
			ts.Fatalf("unknown: upstream %s", args[0])
		}
		u.SetFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if strings.Contains(r.URL.Path, word) {
				answer(w, r, next)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

func (u *upstream) faults() map[string]func(http.ResponseWriter, *http.Request, http.Handler) {
	return map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"down":    func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) },
		"missing": func(w http.ResponseWriter, r *http.Request, _ http.Handler) { http.NotFound(w, r) },
		"alter": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(&tamper{ResponseWriter: w}, r)
		},
		"hang": func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			next.ServeHTTP(&tamper{ResponseWriter: w, hang: u.hang(), gone: r.Context().Done()}, r)
		},
	}
}

func (u *upstream) hang() chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.hung == nil {
		u.hung = make(chan struct{})
	}
	return u.hung
}

func (u *upstream) release() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.hung != nil {
		close(u.hung)
		u.hung = nil
	}
}

// tamper spoils an answer.
type tamper struct {
	http.ResponseWriter
	hang, gone <-chan struct{}
}

func (t *tamper) Write(b []byte) (int, error) {
	if t.hang == nil {
		b = append([]byte{b[0] ^ 1}, b[1:]...)
		return t.ResponseWriter.Write(b)
	}
	n, err := t.ResponseWriter.Write(b[:len(b)/2])
	if err != nil {
		return n, err
	}
	t.ResponseWriter.(http.Flusher).Flush()
	select {
	case <-t.hang:
	case <-t.gone:
		return n, errors.New("the client is gone")
	}
	m, err := t.ResponseWriter.Write(b[len(b)/2:])
	return n + m, err
}
