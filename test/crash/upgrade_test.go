package crash

import (
	"log/slog"
	"os"
	"testing"

	"kubebundle/test/lab/clusters"
	"kubebundle/test/lab/hosts"
)

// upgradeTo is the version to which the cluster is upgraded.
func upgradeTo() string {
	if v := os.Getenv("KUBEBUNDLE_UPGRADE_TO"); v != "" {
		return v
	}
	return "v1.35.4"
}

// upgrade: killed before and after every step, it makes of the same cluster the same one. The first control plane is upgraded undisturbed.
func (r *rig) upgrade(t *testing.T) {
	r.forget(t)
	next, err := clusters.NewEnv(t.Context(), upgradeTo(), slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		t.Fatal(err)
	}
	newer, err := next.BuildBundle(t.Context(), r.Programs)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []*hosts.Host{r.Server(), r.victim} {
		if err := newer.Carry(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	r.MustInstall(t, r.victim, initArgs()...)
	mine := &clusters.Cluster{Env: r.Env, Hosts: []*hosts.Host{r.victim}}
	if err := mine.FetchKubeconfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := mine.AwaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	args := []string{"upgrade", "apply", "-y"}
	undisturbed := newer.Install(t.Context(), r.Server(), append(args, "-o", "json")...)
	if undisturbed.Err != nil {
		t.Fatalf("%v\n%s", undisturbed.Err, undisturbed.Stderr)
	}
	c := &chain{place: on(r.victim, newer), args: args, tear: true}
	c.run(t, applied(r.Server(), undisturbed.Stderr))
	for _, cl := range []*clusters.Cluster{r.Cluster, mine} {
		if err := cl.AwaitReady(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "the node after the upgrade", look(t, r.Server()), look(t, r.victim))
	same(t, "the cluster after the upgrade", lookAtCluster(t, r.Cluster), lookAtCluster(t, mine))
}
