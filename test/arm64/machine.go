package arm64

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"kubebundle/test/lab/hosts"
)

const (
	emulator = "/usr/bin/qemu-aarch64-static" // Debian's qemu-user-static
	libc     = "/usr/aarch64-linux-gnu/lib"   // and libc6-arm64-cross: the kubelet is not static
)

// machine is a root tree of arm64 programs, which run in it one at a time: with its own mounts, name and network, which has one address.
type machine struct{ tree string }

// newMachine makes the tree. init stands for the system's own: any program of arm64 will do, nobody starts it.
func newMachine(tree, init string) (*machine, error) {
	for _, d := range []string{"proc", "dev", "tmp", "root", "run", "etc", "sbin", "bin", "var/lib", "lib"} {
		if err := os.MkdirAll(filepath.Join(tree, d), 0o755); err != nil {
			return nil, err
		}
	}
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n", "etc/hosts": "127.0.0.1 localhost\n10.0.0.10 node1\n", "etc/resolv.conf": "",
	} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	libs, err := filepath.Glob(libc + "/*.so*")
	if err != nil {
		return nil, err
	}
	if len(libs) == 0 {
		return nil, fmt.Errorf("%s holds no libraries: `make prepare` installs libc6-dev-arm64-cross", libc)
	}
	copies := map[string]string{"qemu": emulator, "sbin/init": init}
	for _, l := range libs {
		copies["lib/"+filepath.Base(l)] = l
	}
	for to, from := range copies {
		data, err := os.ReadFile(from)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(tree, to), data, 0o755); err != nil {
			return nil, err
		}
	}
	return &machine{tree: tree}, nil
}

// enter makes the surroundings of one program: $1 is the tree, the rest the program. ROUTE is a default route, WRAP a program of the machine that
// runs it.
const enter = `set -e
tree=$1; shift
echo node1 >/proc/sys/kernel/hostname
ip link set lo up
ip link add eth0 type veth peer name cable
ip link set cable up
ip link set eth0 up
ip address add 10.0.0.10/24 dev eth0
[ -z "$ROUTE" ] || ip route add default via "$ROUTE"
mount -t proc none "$tree/proc"
mount --bind /dev "$tree/dev"
exec $WRAP chroot "$tree" /qemu "$@"`

// result is what a program said.
type result struct {
	stdout, stderr string
	code           int
}

// run runs a program of the tree, named by its path there.
func (m *machine) run(ctx context.Context, env []string, argv ...string) (result, error) {
	return output(ctx, env, append([]string{"unshare", "--mount", "--net", "--uts", "sh", "-c", enter, "sh", m.tree}, argv...)...)
}

// output runs a program; that it ends with another code than 0 is no error here.
func output(ctx context.Context, env []string, argv ...string) (result, error) {
	var out, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}, env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader("{}"), &out, &stderr
	err := cmd.Run()
	r := result{stdout: out.String(), stderr: stderr.String(), code: hosts.ExitCode(err)}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return r, err
	}
	return r, ctx.Err()
}
