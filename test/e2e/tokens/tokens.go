// Package tokens: bootstrap tokens are made, listed and taken away on the control plane, as kubeadm's verbs do it.
package tokens

import (
	"regexp"
	"strings"
	"testing"

	"kubebundle/test/e2e/suite"
	"kubebundle/test/lab/clusters"
)

var tokenForm = regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`)

// Test goes through the life of a token.
func Test(t *testing.T, s *suite.Suite) {
	h := s.Server()
	for _, verb := range [][]string{{"token", "generate"}, {"token", "create", "--ttl", "10m"}} {
		out := strings.TrimSpace(s.MustInstall(t, h, verb...).Stdout)
		if !tokenForm.MatchString(out) {
			t.Errorf("%s prints %q, want a token", strings.Join(verb, " "), out)
		}
		inList := strings.Contains(s.MustInstall(t, h, "token", "list").Stdout, out)
		if want := verb[1] == "create"; inList != want {
			t.Errorf("after %s the token is in the list: %v, want %v", strings.Join(verb, " "), inList, want)
		}
		if verb[1] != "create" {
			continue
		}
		s.MustInstall(t, h, "token", "delete", out)
		if strings.Contains(s.MustInstall(t, h, "token", "list").Stdout, out) {
			t.Errorf("token %s is in the list although it was deleted", out)
		}
	}
	args, err := clusters.JoinArgs(s.MustInstall(t, h, "token", "create", "--print-join-command").Stdout)
	if err != nil {
		t.Fatal(err)
	}
	if args[1] != h.IP.String()+":6443" || !strings.Contains(strings.Join(args, " "), "--discovery-token-ca-cert-hash sha256:") {
		t.Errorf("token create --print-join-command prints %q", strings.Join(args, " "))
	}
}
