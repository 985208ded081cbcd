package containerd

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
)

// bootLabel marks our leases with the boot they were taken in.
const (
	bootLabel   = "kubebundle/boot"
	leaseExpiry = 24 * time.Hour // longer than any import, so that only a killed one is ever hit by it
)

func bootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read the boot ID: %w", err)
	}
	return strings.TrimSpace(string(b)), nil
}

func (r *Runtime) takeLease(ctx context.Context) (leases.Lease, error) {
	boot, err := bootID()
	if err != nil {
		return leases.Lease{}, err
	}
	l, err := r.client.LeasesService().Create(ctx, leases.WithRandomID(), leases.WithExpiration(leaseExpiry), leases.WithLabel(bootLabel, boot))
	if err != nil {
		return l, fmt.Errorf("take a lease from containerd: %w", err)
	}
	return l, nil
}

// endLease lets go of what the import made. After a failure it waits until the garbage collector has taken it, so that a disk that was full
// is not, and a next attempt finds nothing half-done. It works although ctx was cancelled.
func (r *Runtime) endLease(ctx context.Context, l leases.Lease, failed bool) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var opts []leases.DeleteOpt
	if failed {
		opts = append(opts, leases.SynchronousDelete)
	}
	if err := r.client.LeasesService().Delete(ctx, l, opts...); err != nil && !errdefs.IsNotFound(err) {
		if failed {
			// The import's own error is what matters; the lease expires by itself.
			r.log.Warn("lease not deleted, it expires by itself", "lease", l.ID, "expiry", leaseExpiry, "err", err)
			return nil
		}
		return fmt.Errorf("end the lease of the import: %w", err)
	}
	return nil
}

// dropInterrupted deletes the leases of imports that were cut by a power failure or a reset. Their snapshots are in containerd's database,
// but their files may not be on the disk.
func (r *Runtime) dropInterrupted(ctx context.Context) error {
	boot, err := bootID()
	if err != nil {
		return err
	}
	ls := r.client.LeasesService()
	all, err := ls.List(ctx)
	if err != nil {
		return fmt.Errorf("list containerd's leases: %w", err)
	}
	for _, l := range all {
		if b, ours := l.Labels[bootLabel]; !ours || b == boot {
			continue
		}
		r.log.Info("an import was cut by a reboot, dropping what it left", "lease", l.ID)
		if err := ls.Delete(ctx, l, leases.SynchronousDelete); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("drop the lease of an interrupted import: %w", err)
		}
	}
	return nil
}
