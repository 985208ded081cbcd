package differential

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// caDirs are the CA folders that the host has, beside those that it has not.
var caDirs = []string{"/etc/ssl/certs", "/etc/ca-certificates", "/usr/share/ca-certificates"}

// root is a folder that kubeadm takes for the root of a machine.
type root struct {
	dir     string
	host    string // its name
	network string // address/bits of its one interface
	environ []string
}

// newRoot makes the folder: no libraries, no shell, only kubeadm and what it calls.
func newRoot(dir, kubeadm, standin, version, host string, s scenario) (*root, error) {
	r := &root{dir: dir, host: host, network: s.Network, environ: s.Environ}
	for _, d := range append([]string{"/usr/bin", "/dev", "/tmp", "/run", "/root", "/snapshots", "/var/lib", "/etc"}, caDirs...) {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	files := map[string]string{
		"/dev/null":            "", // an ordinary file: read as empty, written to by nobody who reads it
		"/run/kubelet-version": version + "\n",
		"/etc/hosts":           "127.0.0.1 localhost\n" + s.Address + " api.example " + host + "\n",
		"/etc/resolv.conf":     "nameserver 192.0.2.53\n",
	}
	if s.Resolved {
		files["/run/resolved-is-active"] = ""
	}
	for p, text := range s.Files {
		files[p] = text
	}
	for p, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, p)), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, p), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	for name, program := range map[string]string{"kubeadm": kubeadm, "systemctl": standin, "kubelet": standin} {
		if err := linkOrCopy(program, filepath.Join(dir, "usr/bin", name)); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func linkOrCopy(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	return errors.Join(err, dst.Close())
}

// ports that the machine's programs serve.
var (
	apiPorts    = []string{"6443", "7443", "8443"}
	healthPorts = []string{"10257", "10259"}
)

// kubeadm runs kubeadm on the machine, while server stands for everything that kubeadm waits for. certificate is asked at each
// connection to the API server: kubeadm makes it while it runs.
func (r *root) kubeadm(ctx context.Context, server http.Handler, certificate func() (*tls.Certificate, error), args ...string) error {
	done := make(chan error, 1)
	go func() {
		// The namespaces belong to this thread, the sockets and the child that it makes stay in them. It is not unlocked: the
		// runtime throws a thread away whose goroutine ends locked.
		runtime.LockOSThread()
		done <- r.inNamespaces(ctx, server, certificate, args)
	}()
	return <-done
}

func (r *root) inNamespaces(ctx context.Context, server http.Handler, certificate func() (*tls.Certificate, error), args []string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("leave the machine's network: %w (the differential test needs root)", err)
	}
	if err := unix.Sethostname([]byte(r.host)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	for _, c := range [][]string{
		{"link", "set", "lo", "up"},
		// A cable to nowhere: kubeadm wants an interface with a default route, or it finds no address even where it is given one.
		{"link", "add", "eth0", "type", "veth", "peer", "name", "nowhere"},
		{"addr", "add", r.network, "dev", "eth0"},
		{"link", "set", "nowhere", "up"},
		{"link", "set", "eth0", "up"},
		{"route", "add", "default", "dev", "eth0"},
	} {
		if strings.Contains(r.network, ":") {
			c = append([]string{"-6"}, c...)
			if c[1] == "addr" {
				c = append(c, "nodad") // else it could not be listened on for a second
			}
		}
		if out, err := exec.CommandContext(ctx, "ip", c...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(c, " "), err, out)
		}
	}
	stop, err := r.serve(ctx, server, certificate)
	if err != nil {
		return err
	}
	defer stop()
	cmd := exec.CommandContext(ctx, "/usr/bin/kubeadm", args...)
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: r.dir, Pdeathsig: syscall.SIGKILL}
	cmd.Env = append([]string{"PATH=/usr/bin", "HOME=/root"}, r.environ...)
	// os/exec would open /dev/null of this machine, which is fine; the output goes through a pipe.
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubeadm %s: %w\n%s", strings.Join(args, " "), err, out.String())
	}
	return nil
}

// serve listens where the API server, the kubelet, the controller manager and the scheduler would.
func (r *root) serve(ctx context.Context, h http.Handler, certificate func() (*tls.Certificate, error)) (stop func(), err error) {
	address, _, err := net.ParseCIDR(r.network)
	if err != nil {
		return nil, err
	}
	secure := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate() },
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	var lc net.ListenConfig
	listen := func(host, port string, tlsConfig *tls.Config) error {
		l, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, port))
		if err != nil {
			return err
		}
		if tlsConfig != nil {
			l = tls.NewListener(l, tlsConfig)
		}
		go func() { _ = srv.Serve(l) }()
		return nil
	}
	errs := []error{listen("127.0.0.1", "10248", nil), listen("::1", "10248", nil)}
	for _, p := range apiPorts {
		errs = append(errs, listen(address.String(), p, secure))
	}
	for _, p := range healthPorts {
		errs = append(errs, listen("127.0.0.1", p, secure), listen("::1", p, secure), listen(address.String(), p, secure))
	}
	return func() { _ = srv.Close() }, errors.Join(errs...)
}

// servingCertificate reads the certificate that kubeadm made for the API server.
func (r *root) servingCertificate(certificatesDir string) func() (*tls.Certificate, error) {
	return func() (*tls.Certificate, error) {
		base := filepath.Join(r.dir, certificatesDir, "apiserver")
		c, err := tls.LoadX509KeyPair(base+".crt", base+".key")
		return &c, err
	}
}

// file is a file or a folder of either side.
type file struct {
	mode fs.FileMode // with fs.ModeDir
	data []byte
}

// compared are the folders that are compared with all that is in them.
var compared = []string{"/etc/kubernetes", "/var/lib/kubelet", "/var/lib/etcd", "/srv/etcd"}

// played are files that are there because the test played the kubelet.
func played(p string) bool {
	return strings.HasPrefix(p, "/var/lib/kubelet/pki")
}

// files reads the compared folders, as they are now or (snapshot 0, 1, …) as they were at a start of the kubelet.
func (r *root) files(snapshot int) (map[string]file, error) {
	base := r.dir
	if snapshot >= 0 {
		base = filepath.Join(r.dir, "snapshots", strconv.Itoa(snapshot))
	}
	out := map[string]file{}
	for _, dir := range compared {
		err := filepath.WalkDir(filepath.Join(base, dir), func(p string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			fi, err := d.Info()
			at := strings.TrimPrefix(p, base)
			if err != nil || played(at) {
				return err
			}
			f := file{mode: fi.Mode()}
			if !d.IsDir() {
				f.data, err = os.ReadFile(p)
			}
			out[at] = f
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
