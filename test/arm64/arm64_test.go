package arm64

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kubebundle/bundle"
	"kubebundle/test/lab/cache"
	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/upstream"
)

const (
	version = "v1.10.6"
	arch    = "arm64"
)

// lab is what the tests share.
type lab struct {
	*machine
	builder *upstream.Builder
	bundler string
	folder  string // the unpacked bundle, in the tree
}

func TestMain(m *testing.M) {
	if file := os.Getenv(standinFile); file != "" {
		os.Exit(standIn(context.Background(), file, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// TestARM64 needs root and the packages of `lab prepare`. KUBEBUNDLE_ARM64=1 asks for it; then nothing that is missing is a reason to skip.
func TestARM64(t *testing.T) {
	if os.Getenv("KUBEBUNDLE_ARM64") != "1" {
		t.Skip("KUBEBUNDLE_ARM64=1 turns it on (root; builds Kubernetes for arm64 once)")
	}
	ctx := t.Context()
	dir, err := cache.Dir()
	must(t, err)
	b, err := upstream.NewBuilder(ctx, dir, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	must(t, err)
	l := &lab{builder: b}
	work := t.TempDir()
	file := l.build(t, work)
	l.machine, err = newMachine(filepath.Join(work, "tree"), filepath.Join(work, "install-linux-"+arch))
	must(t, err)
	tarOut, err := exec.CommandContext(ctx, "tar", "-xzf", file, "-C", filepath.Join(l.tree, "root")).CombinedOutput()
	if err != nil {
		t.Fatalf("tar: %v\n%s", err, tarOut)
	}
	l.folder = "/root/k8s-" + version + "-linux-" + arch
	opened, err := bundle.OpenPath(l.tree + l.folder)
	must(t, err)
	must(t, unpack(ctx, opened, filepath.Join(l.tree, "packed")))

	t.Run("only programs of arm64", l.testPure)
	t.Run("every program runs", l.testPrograms)
	t.Run("the installer", l.testInstaller)
	t.Run("names", l.testNames)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// build makes our programs and, with them and the lab's registry, the bundle.
func (l *lab) build(t *testing.T, work string) string {
	ctx := t.Context()
	up, err := upstream.Prepare(ctx, l.builder, version, arch)
	must(t, err)
	programs, err := clusters.BuildPrograms(ctx, l.builder.Module, work, arch)
	must(t, err)
	l.bundler = programs.Bundler
	server, err := upstream.Serve(ctx, l.builder.Log, up)
	must(t, err)
	t.Cleanup(func() { _ = server.Close() }) // it only reads
	args := []string{"build", "--version", version, "--arch", arch, "--compression", "fast", "--output-dir", work, "--cache-dir", filepath.Join(work, "cache")}
	start := time.Now()
	out, err := exec.CommandContext(ctx, l.bundler, append(args, server.Flags()...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("bundler build: %v\n%s", err, out)
	}
	t.Logf("bundler build --version %s --arch %s took %v", version, arch, time.Since(start).Round(time.Second))
	return filepath.Join(work, "k8s-"+version+"-linux-"+arch+".tar.gz")
}

// testPure reads the headers once more, with other code than the builder's.
func (l *lab) testPure(t *testing.T) {
	native, foreign, err := programs(filepath.Join(l.tree, "packed"))
	must(t, err)
	if native < 30 {
		t.Errorf("%d programs of arm64, want those of Kubernetes, etcd, CoreDNS and the CNI plugins", native)
	}
	// What upstream's cross build left in the base of kube-proxy; the lab's image has it where upstream's has.
	if diff := cmp.Diff([]string{"/kube-proxy/usr/bin/qemu-aarch64-static"}, foreign); diff != "" {
		t.Errorf("programs of other machines (-want +got):\n%s", diff)
	}
}

// emulated runs a program of the tree and wants an exit code.
func (l *lab) emulated(t *testing.T, code int, argv ...string) result {
	t.Helper()
	return l.emulatedWith(t, []string{"CNI_COMMAND=VERSION"}, code, argv...)
}

func (l *lab) emulatedWith(t *testing.T, env []string, code int, argv ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	r, err := l.run(ctx, env, argv...)
	must(t, err)
	if r.code != code {
		t.Fatalf("%s: exit code %d, want %d\n%s%s", strings.Join(argv, " "), r.code, code, r.stdout, r.stderr)
	}
	return r
}

func (l *lab) testPrograms(t *testing.T) {
	for program, want := range map[string][]string{
		"bin/kubelet --version":                                                   {"Kubernetes " + version},
		"bin/kubectl version --client":                                            {`GitVersion:"` + version + `"`, `Platform:"linux/arm64"`},
		"bin/crictl --version":                                                    {"stand-in"},
		"kube-apiserver/usr/local/bin/kube-apiserver --version":                   {"Kubernetes " + version},
		"kube-controller-manager/usr/local/bin/kube-controller-manager --version": {"Kubernetes " + version},
		"kube-scheduler/usr/local/bin/kube-scheduler --version":                   {"Kubernetes " + version},
		"kube-proxy/usr/local/bin/kube-proxy --version":                           {"Kubernetes " + version},
		"etcd/usr/local/bin/etcd --version":                                       {"etcd Version: ", "linux/arm64"},
		"coredns/coredns -version":                                                {"CoreDNS-", "linux/arm64"},
		"cni/bridge":                                                              {`"cniVersion"`, `"supportedVersions"`},
		"cni/host-local":                                                          {`"supportedVersions"`},
		"cni/loopback":                                                            {`"supportedVersions"`},
		"cni/portmap":                                                             {`"supportedVersions"`},
	} {
		t.Run(program, func(t *testing.T) {
			args := strings.Fields(program)
			r := l.emulated(t, 0, append([]string{"/packed/" + args[0]}, args[1:]...)...)
			for _, w := range want {
				if !strings.Contains(r.stdout+r.stderr, w) {
					t.Errorf("it says %q%q, want %q", r.stdout, r.stderr, w)
				}
			}
		})
	}
}

func (l *lab) install(t *testing.T, code int, args ...string) result {
	t.Helper()
	return l.emulated(t, code, append([]string{l.folder + "/install", "--bundle", l.folder}, args...)...)
}

func (l *lab) testInstaller(t *testing.T) {
	t.Run("version", func(t *testing.T) {
		if r := l.install(t, 0, "version", "-o", "json"); !strings.Contains(r.stdout, `"platform": "linux/arm64"`) {
			t.Error(r.stdout)
		}
	})
	t.Run("verify", func(t *testing.T) {
		if r := l.install(t, 0, "verify"); !strings.Contains(r.stdout, "k8s-"+version+"-linux-arm64: ok: 7 images") {
			t.Error(r.stdout)
		}
	})
	t.Run("images list", func(t *testing.T) {
		var inside []struct{ Ref string }
		must(t, json.Unmarshal([]byte(l.install(t, 0, "images", "list", "-o", "json").stdout), &inside))
		var refs []string
		for _, i := range inside {
			refs = append(refs, i.Ref)
		}
		if diff := cmp.Diff(l.listed(t), refs, sorted); diff != "" {
			t.Errorf("bundler images list and the bundle (-list +bundle):\n%s", diff)
		}
	})
	t.Run("config print", func(t *testing.T) {
		if r := l.install(t, 0, "config", "print", "init-defaults"); !strings.Contains(r.stdout, version) {
			t.Error(r.stdout)
		}
	})
	t.Run("preflight", func(t *testing.T) {
		// There is no container runtime and no systemd here: it must say that, and find nothing wrong with the bundle.
		var report struct {
			OK       bool
			Problems []struct{ Check, Message string }
		}
		r := l.install(t, 3, "preflight", "-o", "json")
		if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || report.OK {
			t.Fatalf("%v: %s%s", err, r.stdout, r.stderr)
		}
		found := map[string]string{}
		for _, p := range report.Problems {
			found[p.Check] = p.Message
		}
		for _, c := range []string{"CRI", "SystemVerification"} {
			if found[c] == "" {
				t.Errorf("the host lacks what %s looks for, and nothing is said: %s", c, r.stdout)
			}
		}
		for _, c := range []string{"Arch", "Configuration"} {
			if found[c] != "" {
				t.Errorf("%s: %s", c, found[c])
			}
		}
	})
	t.Run("init --dry-run", func(t *testing.T) {
		before := l.files(t)
		r := l.install(t, 0, "init", "--dry-run", "--ignore-preflight-errors=all")
		for _, step := range []string{
			"install 23 programs and units", "load 7 images", "/etc/kubernetes/manifests/kube-apiserver.yaml", "/etc/kubernetes/manifests/etcd.yaml",
			"/etc/kubernetes/pki/ca.crt", "enable and (re)start kubelet.service", "apply CoreDNS",
		} {
			if !strings.Contains(r.stdout, step) {
				t.Errorf("the plan lacks %s:\n%s", step, r.stdout)
			}
		}
		if diff := cmp.Diff(before, l.files(t)); diff != "" {
			t.Errorf("a dry run changed the host (-before +after):\n%s", diff)
		}
	})
	t.Run("a host that only seems to be arm64", func(t *testing.T) {
		// The same program on the machine itself: the emulator says aarch64, the machine's own programs do not.
		r, err := output(t.Context(), nil, emulator, l.tree+l.folder+"/install", "init", "--dry-run")
		must(t, err)
		if r.code != 3 || !strings.Contains(r.stderr, "this program is for arm64 and this host is amd64") {
			t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
		}
	})
}

// files lists what the machine has outside of what the tests put there.
func (l *lab) files(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, d := range []string{"etc", "var", "usr", "opt", "run"} {
		must(t, filepath.WalkDir(filepath.Join(l.tree, d), func(p string, _ os.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			all = append(all, strings.TrimPrefix(p, l.tree))
			return err
		}))
	}
	return all
}

var sorted = cmp.Transformer("sorted", func(list []string) []string { return slices.Sorted(slices.Values(list)) })

// listed asks bundler for the names of the images.
func (l *lab) listed(t *testing.T, flags ...string) []string {
	t.Helper()
	r, err := output(t.Context(), nil, append([]string{l.bundler, "images", "list", "--version", version, "--arch", arch}, flags...)...)
	must(t, err)
	if r.code != 0 {
		t.Fatalf("bundler images list: %s", r.stderr)
	}
	return strings.Fields(r.stdout)
}

var (
	imageRE = regexp.MustCompile(`(?:(?m:^)\s*image: |"image":")([^"\s]+)`) // in YAML or JSON
	pauseRE = regexp.MustCompile(`--pod-infra-container-image string .*\(default "([^"]+)"\)`)
)

// testNames compares with those who ask: kubeadm writes the names of the static pods and of the add-ons, and the kubelet brings pause's.
func (l *lab) testNames(t *testing.T) {
	programs, err := l.builder.Kubernetes(t.Context(), version, arch)
	must(t, err)
	kubeadm, err := os.Open(filepath.Join(programs, "kubeadm"))
	must(t, err)
	defer kubeadm.Close()
	must(t, writeFile(filepath.Join(l.tree, "kubeadm"), kubeadm))
	const kubeconfig = "{apiVersion: v1, kind: Config, clusters: [{name: a, cluster: {server: 'http://" + standinAddress + "'}}], contexts: [{name: a, context: {cluster: a}}], current-context: a}"
	must(t, os.WriteFile(filepath.Join(l.tree, "kubeconfig"), []byte(kubeconfig), 0o600))

	pause := pauseRE.FindStringSubmatch(l.emulated(t, 0, "/packed/bin/kubelet", "--help").stdout)
	if pause == nil {
		t.Fatal("kubelet --help does not tell its sandbox image")
	}
	phase := func(dns string, args ...string) []string {
		return append(append([]string{"/kubeadm", "alpha", "phase"}, args...), "--config", "/"+dns+".yaml")
	}
	for dns, gate := range map[string]string{"coredns": "true", "kube-dns": "false"} {
		cfg := "apiVersion: kubeadm.k8s.io/v1alpha1\nkind: MasterConfiguration\nkubernetesVersion: " + version +
			"\napi: {advertiseAddress: 10.0.0.10}\nfeatureGates: {CoreDNS: " + gate + "}\n"
		must(t, os.WriteFile(filepath.Join(l.tree, dns+".yaml"), []byte(cfg), 0o600))
	}
	route := "ROUTE=10.0.0.1" // this kubeadm refuses a host without one
	l.emulatedWith(t, []string{route}, 0, phase("coredns", "controlplane", "all")...)
	l.emulatedWith(t, []string{route}, 0, phase("coredns", "etcd", "local")...)
	var pods strings.Builder
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		data, err := os.ReadFile(filepath.Join(l.tree, "etc/kubernetes/manifests", name+".yaml"))
		must(t, err)
		pods.Write(data)
	}
	for _, dns := range []string{"coredns", "kube-dns"} {
		t.Run(dns, func(t *testing.T) {
			sent := filepath.Join(t.TempDir(), "sent")
			l.emulatedWith(t, []string{route, "WRAP=" + os.Args[0], standinFile + "=" + sent}, 0, phase(dns, "addon", "all", "--kubeconfig", "/kubeconfig")...)
			addons, err := os.ReadFile(sent)
			must(t, err)
			asked := map[string]bool{pause[1]: true}
			for _, m := range imageRE.FindAllStringSubmatch(pods.String()+string(addons), -1) {
				asked[m[1]] = true
			}
			if diff := cmp.Diff(slices.Collect(maps.Keys(asked)), l.listed(t, "--dns", dns), sorted); diff != "" {
				t.Errorf("kubeadm and kubelet of %s for %s, and bundler images list (-asked +listed):\n%s", version, arch, diff)
			}
			t.Logf("%d names", len(asked))
		})
	}
}
