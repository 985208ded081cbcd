package release

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/version"
)

// UpgradeError says why a cluster of one version must not become one of another.
type UpgradeError struct {
	From, To string // with v
	Reason   string // one clause
	Advice   string // what to do instead
	// Forced says that --force would go on.
	Forced bool
}

func (e *UpgradeError) Error() string {
	return fmt.Sprintf("upgrade from Kubernetes %s to %s: %s", e.From, e.To, e.Reason)
}

// Hint says what to do instead.
func (e *UpgradeError) Hint() string { return e.Advice }

// firstUpgradable is the oldest minor whose nodes can be brought to the next one. The kubelet of v1.10 is told everything by flags, and the control
// planes of v1.11 and v1.12 have etcds that listen to their own node only.
const firstUpgradable = 13

// CheckUpgrade applies kubeadm's rules (policy.go of kubeadm 1.34): minor by minor, never past one, since stored objects and etcd are carried over one
// step at a time. The same version again is allowed: it brings changed settings to a node. Back goes only a patch, and only with force: what a newer
// minor has stored an older one may not be able to read.
func CheckUpgrade(from, to *version.Version, force bool) error {
	e := &UpgradeError{From: Tag(from), To: Tag(to)}
	if from.Major() != to.Major() {
		e.Reason = "they are of different major versions"
		e.Advice = "use a bundle of the next minor version"
		return e
	}
	switch {
	case from.Minor() < firstUpgradable:
		e.Reason = fmt.Sprintf("clusters before v1.%d cannot be upgraded by this program", firstUpgradable)
		e.Advice = "make a new cluster and move the workloads there"
	case to.Minor() > from.Minor()+1:
		e.Reason = fmt.Sprintf("that would skip v%d.%d", from.Major(), from.Minor()+1)
		e.Advice = fmt.Sprintf("go minor by minor: first use a bundle of v%d.%d", from.Major(), from.Minor()+1)
	case to.Minor() < from.Minor():
		e.Reason = "an older minor version may not be able to read what the newer one has stored in etcd"
		e.Advice = "restore an etcd snapshot that was taken with the older version"
	case to.LessThan(from) && !force:
		e.Reason = "that is a downgrade"
		e.Advice = "--force goes on with it"
		e.Forced = true
	default:
		return nil
	}
	return e
}

// CheckEtcdUpgrade says whether an etcd may follow another, by the tags of their images ("3.5.21-0"). Tags that are no versions are not judged.
// etcd goes minor by minor, never back, and 3.6 follows only 3.5.20 or later: what older ones have written about members it cannot read.
func CheckEtcdUpgrade(from, to string) error {
	a, errA := version.ParseGeneric(from)
	b, errB := version.ParseGeneric(to)
	if errA != nil || errB != nil {
		return nil //nolint:nilerr // the user's own image: its tag says nothing
	}
	minorAt := func(v *version.Version, major, minor uint) bool { return v.Major() == major && v.Minor() == minor }
	switch {
	case b.LessThan(a):
		return fmt.Errorf("upgrade etcd from %s to %s: an older etcd does not start on the data of a newer one", from, to)
	case a.Major() != b.Major() || b.Minor() > a.Minor()+1:
		return fmt.Errorf("upgrade etcd from %s to %s: etcd goes minor by minor", from, to)
	case minorAt(a, 3, 5) && minorAt(b, 3, 6) && a.Patch() < 20:
		return fmt.Errorf("upgrade etcd from %s to %s: etcd 3.6 follows 3.5.20 or later only; first upgrade to the last patch of this Kubernetes minor", from, to)
	}
	return nil
}
