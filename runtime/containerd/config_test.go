package containerd

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"kubebundle/runtime/runtimetest"
)

var all = Want{SandboxImage: "registry.k8s.io/pause:3.10", CgroupDriver: "systemd", CNIBinDir: "/opt/cni/bin"}

func TestConfigure(t *testing.T) {
	for _, tc := range []struct {
		name, version, in string
		want              Want
		out               string
		changes           []string
	}{
		{
			name: "no file, 1.6", version: "1.6.20", want: all,
			out: `version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = true
`,
			changes: []string{
				`(top): version = 2`,
				`[plugins."io.containerd.grpc.v1.cri"]: sandbox_image = "registry.k8s.io/pause:3.10"`,
				`[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]: runtime_type = "io.containerd.runc.v2"`,
				`[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]: SystemdCgroup = true`,
			},
		},
		{
			name: "no file, 2.x", version: "2.4.2", want: Want{SandboxImage: "registry.k8s.io/pause:3.10"},
			out: `version = 3

[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "registry.k8s.io/pause:3.10"
`,
			changes: []string{`(top): version = 3`, `[plugins."io.containerd.cri.v1.images".pinned_images]: sandbox = "registry.k8s.io/pause:3.10"`},
		},
		{
			name: "Debian's file", version: "1.6.20", want: all,
			in: `version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni" # Debian's folder
      conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.internal.v1.opt"]
    path = "/var/lib/containerd"
`,
			out: `version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "registry.k8s.io/pause:3.10"
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/opt/cni/bin" # Debian's folder
      conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.internal.v1.opt"]
    path = "/var/lib/containerd"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = true
`,
			changes: []string{
				`[plugins."io.containerd.grpc.v1.cri"]: sandbox_image = "registry.k8s.io/pause:3.10"`,
				`[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]: runtime_type = "io.containerd.runc.v2"`,
				`[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]: SystemdCgroup = true`,
				`[plugins."io.containerd.grpc.v1.cri".cni]: bin_dir = "/opt/cni/bin"`,
			},
		},
		{
			name: "the file of Docker's packages", version: "1.7.27", want: Want{SandboxImage: "p:1"},
			in: "#   Copyright\n\n" + `disabled_plugins = ["cri"]

#root = "/var/lib/containerd"
#[grpc]
#  address = "/run/containerd/containerd.sock"
`,
			out: "#   Copyright\n" + `version = 2

disabled_plugins = []

#root = "/var/lib/containerd"
#[grpc]
#  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "p:1"
`,
			changes: []string{`(top): version = 2`, `(top): disabled_plugins = []`, `[plugins."io.containerd.grpc.v1.cri"]: sandbox_image = "p:1"`},
		},
		{
			name: "version 2 under 2.x, literal quotes, windows line ends", version: "2.0.0", want: Want{SandboxImage: "p:1", CgroupDriver: "cgroupfs"},
			in:      "version = 2\r\n[plugins.'io.containerd.grpc.v1.cri']\r\nsandbox_image = 'x # y' # why\r\n",
			out:     "version = 2\r\n[plugins.'io.containerd.grpc.v1.cri']\r\nsandbox_image = \"p:1\" # why\r\n",
			changes: []string{`[plugins."io.containerd.grpc.v1.cri"]: sandbox_image = "p:1"`},
		},
		{
			name: "several lines, several folders", version: "2.4.2", want: Want{CgroupDriver: "cgroupfs", CNIBinDir: "/opt/cni/bin"},
			in: `version = 3
disabled_plugins = [
  "io.containerd.cri.v1.runtime", # no
  "io.containerd.snapshotter.v1.btrfs",
] # end
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['/usr/lib/cni']
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = true`,
			out: `version = 3
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs"] # end
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["/usr/lib/cni", "/opt/cni/bin"]
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
SystemdCgroup = false`,
			changes: []string{
				`(top): disabled_plugins = ["io.containerd.snapshotter.v1.btrfs"]`,
				`[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]: SystemdCgroup = false`,
				`[plugins."io.containerd.cri.v1.runtime".cni]: bin_dirs = ["/usr/lib/cni", "/opt/cni/bin"]`,
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out, changes, err := Configure(tc.version, tc.want, []byte(tc.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.out, string(out)); diff != "" {
				t.Errorf("file (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.changes, changes); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
			again, changes, err := Configure(tc.version, tc.want, out)
			if err != nil || len(changes) > 0 || !bytes.Equal(again, out) {
				t.Errorf("a second run is not quiet: %v %v", changes, err)
			}
		})
	}
}

func TestConfigureRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"version 1 with plugins": "[plugins.cri]\n  sandbox_image = \"x\"\n",
		"said to be version 1":   "version = 1\n",
		"inline table":           "version = 2\nplugins = {\"io.containerd.grpc.v1.cri\" = {sandbox_image = \"x\"}}\n",
		"dotted keys":            "version = 2\nplugins.\"io.containerd.grpc.v1.cri\".sandbox_image = \"x\"\n",
		"a header in a string":   "version = 2\nx = '''\n[plugins.\"io.containerd.grpc.v1.cri\"]\n'''\n",
		"a table that is none":   "version = 2\n[plugins]\n\"io.containerd.grpc.v1.cri\" = 1\n",
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := Configure("1.6.20", all, []byte(in))
			if !errors.Is(err, ErrConfig) || out != nil {
				t.Errorf("error %v with %q, want ErrConfig", err, out)
			}
			if !strings.Contains(err.Error(), `sandbox_image = "registry.k8s.io/pause:3.10"`) && !strings.Contains(err.Error(), "config migrate") {
				t.Errorf("%v: says neither the lines nor what to do", err)
			}
		})
	}
	if _, _, err := Configure("1.6.20", all, []byte("[")); err == nil {
		t.Error("no error for what is not TOML")
	}
}

func FuzzConfigure(f *testing.F) {
	f.Add("version = 2\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    sandbox_image = \"x\" # c\n")
	f.Add("version = 3\ndisabled_plugins = [\n\"cri\", # [\n]\n")
	f.Add("#c\r\nversion = 2\r\n")
	f.Add("a = '''\n[plugins]\n'''\nb = \"\"\"\\\"#\"\"\"")
	f.Add("version = 2\n[\"plugins\" . 'io.containerd.grpc.v1.cri'.cni]\nbin_dir='/x'")
	f.Fuzz(func(t *testing.T, in string) {
		out, changes, err := Configure("1.7.0", all, []byte(in))
		if err != nil {
			if out != nil {
				t.Error("a file with an error")
			}
			return
		}
		var tree map[string]any
		if err := toml.Unmarshal(out, &tree); err != nil {
			t.Fatalf("result does not parse: %v\n%s", err, out)
		}
		if len(changes) == 0 && string(out) != in {
			t.Error("changed without saying so")
		}
		if _, changes, err = Configure("1.7.0", all, out); err != nil || len(changes) > 0 {
			t.Errorf("a second run is not quiet: %q %v\n%s", changes, err, out)
		}
	})
}

// The real daemons take the configuration and then say what was wanted.
func TestConfiguredDaemon(t *testing.T) {
	eachDaemon(t, func(t *testing.T, binary string) {
		d := runtimetest.StartContainerd(t, binary, "")
		r := connect(t, d, Options{})
		before, err := r.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(before.SandboxImage, "/pause:3.") || before.CgroupDriver != "cgroupfs" || before.Root != d.Dir+"/root" ||
			!cmp.Equal(before.CNIBinDirs, []string{"/opt/cni/bin"}) {
			t.Errorf("a default daemon says %+v", before)
		}
		file, err := r.ConfigFile()
		if err != nil || file != d.Config {
			t.Errorf("configuration file %s, %v", file, err)
		}
		old, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// Both the migrated old file and, for 2.x, a fresh one of its own version.
		fresh := "root = \"" + d.Dir + "/root\"\nstate = \"" + d.Dir + "/state\"\n[grpc]\naddress = \"" + d.Socket + "\"\n"
		for name, in := range map[string]string{"existing": string(old), "fresh": fresh} {
			t.Run(name, func(t *testing.T) {
				cfg, changes, err := Configure(before.Version, all, []byte(in))
				if err != nil || len(changes) < 2 {
					t.Fatalf("%v, %q", err, changes)
				}
				if err := os.WriteFile(d.Config, cfg, 0o600); err != nil {
					t.Fatal(err)
				}
				d.Restart()
				r := connect(t, d, Options{})
				got, err := r.Info(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got.SandboxImage != all.SandboxImage || got.CgroupDriver != "systemd" {
					t.Errorf("%s configured daemon says %+v", filepath.Base(binary), got)
				}
			})
		}
	})
}
