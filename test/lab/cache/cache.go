package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// EnvDir names the environment variable that moves the lab's folder.
const EnvDir = "KUBEBUNDLE_LAB"

// Dir is the lab's folder: ${KUBEBUNDLE_LAB:-$HOME/.cache/kubebundle-lab}. It is created if it is not there.
func Dir() (string, error) {
	dir := os.Getenv(EnvDir)
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the lab's folder: %w (set %s)", err, EnvDir)
		}
		dir = filepath.Join(base, "kubebundle-lab")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the lab's folder: %w", err)
	}
	// 0755: the hosts' root trees below must be traversable for the users inside them.
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("create the lab's folder: %w", err)
	}
	return dir, nil
}

// Key hashes the inputs of an entry into a short name.
func Key(inputs ...string) string {
	h := sha256.New()
	for _, in := range inputs {
		fmt.Fprintf(h, "%d:%s\n", len(in), in) // the length keeps ("ab","c") apart from ("a","bc")
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// FileKey hashes files into a short name.
func FileKey(paths ...string) (string, error) {
	h := sha256.New()
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			return "", fmt.Errorf("hash %s: %w", p, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

// Once returns the folder dir/name and calls fill to make it if it is not there. Two processes that want the same entry
// wait for each other. fill gets an empty folder; what it leaves there becomes the entry when it returns nil.
func Once(ctx context.Context, dir, name string, fill func(ctx context.Context, tmp string) error) (string, error) {
	final := filepath.Join(dir, name)
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cache %s: %w", name, err)
	}
	unlock, err := Lock(filepath.Join(dir, "."+name+".lock"))
	if err != nil {
		return "", fmt.Errorf("cache %s: %w", name, err)
	}
	defer unlock()
	if _, err := os.Stat(final); err == nil { // made while we waited
		return final, nil
	}
	tmp := filepath.Join(dir, "."+name+".part")
	if err := os.RemoveAll(tmp); err != nil { // of a run that was killed
		return "", fmt.Errorf("cache %s: %w", name, err)
	}
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return "", fmt.Errorf("cache %s: %w", name, err)
	}
	if err := fill(ctx, tmp); err != nil {
		return "", fmt.Errorf("make %s: %w", name, err)
	}
	if err := os.Rename(tmp, final); err != nil {
		return "", fmt.Errorf("cache %s: %w", name, err)
	}
	return final, nil
}

// Lock takes an exclusive lock on a file and waits for it. The kernel lets go of it when the process dies.
func Lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err != unix.EINTR { //nolint:errorlint // a bare errno
			break
		}
	}
	if err != nil {
		f.Close() // the lock's error matters more
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil // closing lets go of the lock
}
