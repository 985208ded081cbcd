package installer

import (
	"context"

	"kubebundle/installer/step"
)

// claimed are the folders that a cluster's own programs fill: the kubelet, etcd, network plugins and their pods. They make them where
// they are missing, so no step of ours shows up for them. A run claims them in the journal before its first change: those that were
// missing or empty then are the cluster's, with all that is ever found in them, and reset clears them away; a folder that held
// somebody's files keeps what we did not write.
var claimed = []string{
	"/etc/cni/net.d",          // network plugins' configuration
	"/etc/kubernetes",         // the kubelet writes its kubeconfig there
	"/opt/cni/bin",            // network plugins' programs
	"/usr/libexec/kubernetes", // flexvolume folder of the controller manager's static pod, made by the kubelet
	"/var/lib/cni",            // addresses that plugins handed out
	"/var/lib/dockershim",     // what a kubelet that drives Docker itself notes about its pods
	"/var/lib/etcd",
	"/var/lib/kubelet",
	"/var/log/containers",
	"/var/log/pods",
}

// mounted are folders that pods of the control plane mount, so that the kubelet makes them where they are missing. Nothing of the
// cluster is ever in them: reset removes them if they were missing and still are empty.
var mounted = []string{
	"/lib/modules", // kube-proxy, flannel
}

// claims describes the claimed folders as they are now.
func claims(ctx context.Context, t *step.Target) ([]step.Record, error) {
	var out []step.Record
	for _, p := range mounted {
		recs, err := step.Dir{Path: p}.Before(ctx, t)
		if err != nil {
			return nil, err
		}
		out = append(out, recs...)
	}
	for _, p := range claimed {
		recs, err := step.RecordDir(t, p)
		if err != nil {
			return nil, err
		}
		out = append(out, recs...)
	}
	return out, nil
}
