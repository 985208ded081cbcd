package cluster_test

import (
	"testing"
	"time"

	"kubebundle/installer/cluster"
	"kubebundle/installer/cluster/clustertest"
)

// TestPutCertsAgain: an upload that was cut off, or is made once more, leaves no token behind; and nobody else's is touched.
func TestPutCertsAgain(t *testing.T) {
	s := clustertest.New(t)
	c := s.Client(t)
	joining := cluster.Token{ID: "aaaaaa", Secret: "0123456789abcdef", Usages: []string{"signing", "authentication"}}
	if err := c.PutToken(t.Context(), joining); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"first", "second"} {
		if err := c.PutCerts(t.Context(), map[string][]byte{"ca.crt": []byte(text)}, time.Now()); err != nil {
			t.Fatal(err)
		}
		sealed, err := c.Certs(t.Context())
		if err != nil || string(sealed["ca.crt"]) != text {
			t.Errorf("the upload is %q, %v", sealed, err)
		}
	}
	tokens, err := c.Tokens(t.Context())
	if err != nil || len(tokens) != 2 || tokens[0].ID != joining.ID && tokens[1].ID != joining.ID {
		t.Errorf("tokens %v, %v; want the one that joins, and the owner of the last upload", tokens, err)
	}
}
