package step_test

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"kubebundle/installer/cluster"
	"kubebundle/installer/cluster/clustertest"
	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

func onCluster(t *testing.T) (*step.Target, *cluster.Client) {
	t.Helper()
	c := clustertest.New(t).Client(t)
	return &step.Target{Host: host.NewMemory(), Cluster: func(context.Context) (*cluster.Client, error) { return c, nil }}, c
}

func TestObjects(t *testing.T) {
	tg, _ := onCluster(t)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "kubeadm-config"}, Data: map[string]string{"a": "1"}}
	s := step.Objects{What: "ConfigMap kube-system/kubeadm-config", List: []runtime.Object{cm}}
	if s.String() != "apply ConfigMap kube-system/kubeadm-config" {
		t.Errorf("%q", s)
	}
	satisfied(t, s, tg, false)
	ok(t, s.Apply(t.Context(), tg))
	satisfied(t, s, tg, true)
	cm.Data["a"] = "2"
	satisfied(t, s, tg, false)
}

func TestToken(t *testing.T) {
	tg, c := onCluster(t)
	random := func() *cluster.Token {
		tok, err := cluster.NewToken()
		ok(t, err)
		tok.Usages, tok.Groups, tok.Expires = []string{"signing", "authentication"}, []string{"system:bootstrappers:kubeadm:default-node-token"}, time.Now().Add(24*time.Hour)
		return &tok
	}
	first := random()
	s := step.Token{Token: first, Reuse: true}
	if strings.Contains(s.String(), first.Secret) {
		t.Errorf("%q tells the secret", s)
	}
	satisfied(t, s, tg, false)
	ok(t, s.Apply(t.Context(), tg))
	satisfied(t, s, tg, true)

	// A re-run makes another random token, and uses the one that is there.
	again := random()
	satisfied(t, step.Token{Token: again, Reuse: true}, tg, true)
	if again.ID != first.ID || again.Secret != first.Secret {
		t.Errorf("the token in hand is %s, not the one of the cluster", again.ID)
	}
	// One that the user chose is stored whatever there is.
	satisfied(t, step.Token{Token: random()}, tg, false)

	// One that ends soon is not worth handing out.
	ok(t, c.DeleteToken(t.Context(), first.ID))
	short := random()
	short.Expires = time.Now().Add(time.Minute)
	ok(t, c.PutToken(t.Context(), *short))
	satisfied(t, step.Token{Token: random(), Reuse: true}, tg, false)
	// Nor one that cannot do what is wanted.
	weak := random()
	weak.Usages = []string{"signing"}
	ok(t, c.PutToken(t.Context(), *weak))
	satisfied(t, step.Token{Token: random(), Reuse: true}, tg, false)
}
