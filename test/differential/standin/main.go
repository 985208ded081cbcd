// The program standin plays, in the folder in which kubeadm runs, what kubeadm calls there: systemctl, and the kubelet's version.
// It goes by the name that it is called under.
//
// `systemctl start kubelet` first keeps a copy of what the kubelet would now read, below /snapshots, and then does what a kubelet does:
// it puts the client certificate of kubelet.conf into its own folder, or, where there is only a bootstrap kubeconfig, comes
// back from the TLS bootstrap with a kubelet.conf.
package main

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	kubeletConf   = "/etc/kubernetes/kubelet.conf"
	bootstrapConf = "/etc/kubernetes/bootstrap-kubelet.conf"
	kubeletPEM    = "/var/lib/kubelet/pki/kubelet-client-current.pem"
	resolved      = "/run/resolved-is-active"
	versionFile   = "/run/kubelet-version"
	snapshots     = "/snapshots"
)

func main() {
	code, err := run(filepath.Base(os.Args[0]), os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(name string, args []string) (code int, err error) {
	switch name {
	case "kubelet":
		v, err := os.ReadFile(versionFile)
		fmt.Printf("Kubernetes %s\n", strings.TrimSpace(string(v)))
		return 0, err
	case "systemctl":
		return systemctl(args)
	}
	return 0, fmt.Errorf("%s: not played here", name)
}

func systemctl(args []string) (code int, err error) {
	args = slices.DeleteFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") })
	if len(args) == 0 {
		return 0, nil
	}
	unit := ""
	if len(args) > 1 {
		unit = strings.TrimSuffix(args[1], ".service")
	}
	switch args[0] {
	case "start", "restart":
		if unit == "kubelet" {
			return 0, startKubelet()
		}
	case "status", "is-active", "is-enabled":
		_, err := os.Stat(resolved)
		if unit == "kubelet" || unit == "systemd-resolved" && err == nil {
			fmt.Println("active")
			return 0, nil
		}
		fmt.Println("inactive")
		return 3, nil
	}
	return 0, nil
}

func startKubelet() error {
	have, err := os.ReadDir(snapshots)
	if err != nil {
		return err
	}
	at := filepath.Join(snapshots, strconv.Itoa(len(have)))
	for _, dir := range []string{"/etc/kubernetes", "/var/lib/kubelet", "/var/lib/etcd", "/srv/etcd"} {
		if _, err := os.Stat(dir); err == nil {
			if err := copyTree(dir, at+dir); err != nil {
				return err
			}
		}
	}
	conf, err := os.ReadFile(kubeletConf)
	if os.IsNotExist(err) {
		// The API server of this test believes every token, so the token's kubeconfig serves as the kubelet's own.
		if conf, err = os.ReadFile(bootstrapConf); err == nil {
			err = os.WriteFile(kubeletConf, conf, 0o600)
		}
		return err
	}
	if err != nil {
		return err
	}
	cert, key := field(conf, "client-certificate-data"), field(conf, "client-key-data")
	if cert == nil || key == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(kubeletPEM), 0o700); err != nil {
		return err
	}
	return os.WriteFile(kubeletPEM, append(cert, key...), 0o600)
}

// field reads one base64 value of a kubeconfig, without a YAML library: this program starts many times.
func field(conf []byte, name string) []byte {
	m := regexp.MustCompile(`(?m)^\s*` + name + `:\s*(\S+)\s*$`).FindSubmatch(conf)
	if m == nil {
		return nil
	}
	out, err := base64.StdEncoding.DecodeString(string(m[1]))
	if err != nil {
		return nil
	}
	return out
}

func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		dst := to + strings.TrimPrefix(p, from)
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if d.IsDir() {
			if err := os.MkdirAll(dst, 0o755); err != nil {
				return err
			}
			return os.Chmod(dst, fi.Mode().Perm())
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if err := os.WriteFile(dst, data, fi.Mode().Perm()); err != nil {
			return err
		}
		return os.Chmod(dst, fi.Mode().Perm())
	})
}
