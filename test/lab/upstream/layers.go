package upstream

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"sort"
	"strings"

	"kubebundle/test/lab/cache"
	"kubebundle/test/lab/upstream/store"
)

// entry is one thing in a layer.
type entry struct {
	name  string // without leading slash
	mode  int64
	data  string // content of a small file
	src   string // or a file of the machine
	link  string // or a symbolic link
	dir   bool
	xattr map[string]string
}

// capNetBindService is the value of security.capability for cap_net_bind_service=+ep (vfs_cap_data, revision 2).
const capNetBindService = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// writeEntries writes entries sorted, with no owner but root and no time, so that the same input gives the same layer.
func writeEntries(tw *tar.Writer, entries []entry) error {
	sort.Slice(entries, func(i, j int) bool { return entries[i].name < entries[j].name })
	for _, e := range entries {
		if err := writeEntry(tw, e); err != nil {
			return fmt.Errorf("%s: %w", e.name, err)
		}
	}
	return nil
}

func writeEntry(tw *tar.Writer, e entry) error {
	hdr := &tar.Header{Name: e.name, Mode: e.mode, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
	for k, v := range e.xattr {
		if hdr.PAXRecords == nil {
			hdr.PAXRecords = map[string]string{}
		}
		hdr.PAXRecords["SCHILY.xattr."+k] = v
	}
	var in io.Reader
	switch {
	case e.dir:
		hdr.Typeflag, hdr.Name = tar.TypeDir, e.name+"/"
	case e.link != "":
		hdr.Typeflag, hdr.Linkname, hdr.Mode = tar.TypeSymlink, e.link, 0o777
	case e.src != "":
		f, err := os.Open(e.src)
		if err != nil {
			return err
		}
		defer f.Close()
		fi, err := f.Stat()
		if err != nil {
			return err
		}
		in, hdr.Size = f, fi.Size()
	default:
		in, hdr.Size = strings.NewReader(e.data), int64(len(e.data))
	}
	if err := tw.WriteHeader(hdr); err != nil {
		return err
	}
	if in == nil {
		return nil
	}
	_, err := io.Copy(tw, in)
	return err
}

// baseLayer is shared by all images: what a distroless base has.
func (b *Builder) baseLayer() (store.Layer, error) {
	entries := []entry{
		{name: "etc", mode: 0o755, dir: true},
		{name: "etc/group", mode: 0o644, data: "root:x:0:\nnobody:x:65534:\nnonroot:x:65532:\n"},
		{name: "etc/nsswitch.conf", mode: 0o644, data: "hosts: files dns\n"},
		{
			name: "etc/passwd", mode: 0o644,
			data: "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n" +
				"nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
		},
		{name: "home", mode: 0o755, dir: true},
		{name: "root", mode: 0o700, dir: true},
		{name: "run", mode: 0o755, dir: true},
		{name: "tmp", mode: 0o1777, dir: true},
		{name: "usr", mode: 0o755, dir: true},
		{name: "var", mode: 0o755, dir: true},
	}
	return b.store().Layer("base-1", func(tw *tar.Writer) error { return writeEntries(tw, entries) })
}

// fileLayer has programs in it: path in the image -> file of the machine.
func (b *Builder) fileLayer(key string, files map[string]string, xattr map[string]string) (store.Layer, error) {
	inputs := []string{"2", key}
	var entries []entry
	dirs := map[string]bool{}
	for name, src := range files {
		// The cache folder's name holds the key of what was built there.
		inputs = append(inputs, name+"="+filepath.Base(filepath.Dir(src))+"/"+filepath.Base(src))
		entries = append(entries, entry{name: name, mode: 0o755, src: src, xattr: xattr})
		for d := path.Dir(name); d != "."; d = path.Dir(d) {
			dirs[d] = true
		}
	}
	for d := range dirs {
		entries = append(entries, entry{name: d, mode: 0o755, dir: true})
	}
	sort.Strings(inputs)
	for k, v := range xattr {
		inputs = append(inputs, k+"="+v)
	}
	return b.store().Layer(key+"-"+cache.Key(inputs...), func(tw *tar.Writer) error { return writeEntries(tw, entries) })
}

// netTools are the packages with the programs that kube-proxy and flannel call, and their libraries.
var netTools = []string{
	"busybox-static", "conntrack", "ipset", "iptables", "libbsd0", "libc6", "libedit2", "libgcc-s1", "libgmp10", "libip4tc2",
	"libip6tc2", "libipset13", "libjansson4", "libmd0", "libmnl0", "libnetfilter-conntrack3", "libnfnetlink0", "libnftables1",
	"libnftnl11", "libtinfo6", "libxtables12", "netbase", "nftables",
}

// vipTools are keepalived, HAProxy and curl with the libraries that they are linked to.
var vipTools = []string{
	"busybox-static", "curl", "haproxy", "keepalived", "libblkid1", "libbrotli1", "libc6", "libcap2", "libcom-err2", "libcrypt1", "libcurl4", "libffi8",
	"libgcc-s1", "libgcrypt20", "libglib2.0-0", "libgmp10", "libgnutls30", "libgpg-error0", "libgssapi-krb5-2", "libhogweed6", "libidn2-0", "libk5crypto3",
	"libkeyutils1", "libkrb5-3", "libkrb5support0", "libldap-2.5-0", "liblua5.3-0", "liblz4-1", "liblzma5", "libmnl0", "libmount1", "libnettle8", "libnftnl11",
	"libnghttp2-14", "libnl-3-200", "libnl-genl-3-200", "libnsl2", "libopentracing-c-wrapper0", "libopentracing1", "libp11-kit0", "libpci3", "libpcre2-8-0",
	"libperl5.36", "libpsl5", "librtmp1", "libsasl2-2", "libselinux1", "libsensors5", "libsnmp40", "libssh2-1", "libssl3", "libstdc++6", "libsystemd0",
	"libtasn1-6", "libtirpc3", "libudev1", "libunistring2", "libwrap0", "libzstd1", "netbase", "zlib1g",
}

// debianTree unpacks packages of the distribution into a folder, without running anything of theirs. It is for the
// machine's architecture.
func (b *Builder) debianTree(ctx context.Context, name string, pkgs []string, finish func(tree string) error) (string, error) {
	key := name + "-" + cache.Key(append([]string{"1", runtime.GOARCH}, pkgs...)...)
	return cache.Once(ctx, filepath.Join(b.Dir, "debian"), key, func(ctx context.Context, tmp string) error {
		debs := filepath.Join(tmp, ".debs")
		if err := os.Mkdir(debs, 0o777); err != nil {
			return err
		}
		script := `apt-get -q update && cd "$0" && apt-get -q -o APT::Sandbox::User=root download "$@"`
		cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", script, debs}, pkgs...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("download packages: %w\n%s", err, out)
		}
		files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
		if err != nil {
			return err
		}
		if len(files) != len(pkgs) {
			return fmt.Errorf("download packages: got %d of %d", len(files), len(pkgs))
		}
		for _, f := range files {
			if out, err := exec.CommandContext(ctx, "dpkg", "-x", f, tmp).CombinedOutput(); err != nil {
				return fmt.Errorf("unpack %s: %w\n%s", filepath.Base(f), err, out)
			}
		}
		if err := os.RemoveAll(debs); err != nil {
			return err
		}
		for _, d := range []string{"usr/share", "usr/lib/systemd", "lib/systemd", "etc/init.d", "etc/default"} {
			if err := os.RemoveAll(filepath.Join(tmp, d)); err != nil {
				return err
			}
		}
		return finish(tmp)
	})
}

// linkIPTables does what Debian's alternatives do when the packages are installed.
func linkIPTables(tree string) error {
	for _, n := range []string{
		"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore",
		"ebtables", "ebtables-save", "ebtables-restore", "arptables",
	} {
		p := filepath.Join(tree, "usr/sbin", n)
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Symlink("xtables-nft-multi", p); err != nil {
			return err
		}
	}
	return nil
}

// linkBusybox gives the image a shell and cp, which flannel's manifest uses.
func linkBusybox(ctx context.Context, tree string) error {
	out, err := exec.CommandContext(ctx, filepath.Join(tree, "bin/busybox"), "--list-full").Output()
	if err != nil {
		return fmt.Errorf("list busybox's applets: %w", err)
	}
	for name := range strings.FieldsSeq(string(out)) {
		p := filepath.Join(tree, filepath.Clean("/"+name))
		if _, err := os.Lstat(p); err == nil {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		if err := os.Symlink("/bin/busybox", p); err != nil {
			return err
		}
	}
	return nil
}

// treeLayer is a layer with everything in a folder of the cache.
func (b *Builder) treeLayer(tree string) (store.Layer, error) {
	return b.store().Layer("tree-"+filepath.Base(tree), func(tw *tar.Writer) error {
		var entries []entry
		err := filepath.WalkDir(tree, func(p string, d fs.DirEntry, err error) error {
			if err != nil || p == tree {
				return err
			}
			rel, err := filepath.Rel(tree, p)
			if err != nil {
				return err
			}
			fi, err := d.Info()
			if err != nil {
				return err
			}
			e := entry{name: rel, mode: int64(fi.Mode().Perm())}
			switch {
			case fi.IsDir():
				e.dir = true
			case fi.Mode()&fs.ModeSymlink != 0:
				if e.link, err = os.Readlink(p); err != nil {
					return err
				}
			default:
				e.src = p
			}
			entries = append(entries, e)
			return nil
		})
		if err != nil {
			return err
		}
		return writeEntries(tw, entries)
	})
}

func (b *Builder) store() store.Store { return store.Store{Dir: b.Dir} }
