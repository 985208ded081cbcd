package builder

import (
	"fmt"
	"strings"

	"kubebundle/bundle"
)

// readme is README.txt: what a person needs who finds nothing but the unpacked folder.
func readme(c *bundle.Contract) []byte {
	var s strings.Builder
	fmt.Fprintf(&s, "Kubernetes %s for linux/%s: everything to install it on hosts without a network.\n\n", c.KubernetesVersion, c.Arch)
	s.WriteString("On the first host, as root:\n\n    ./install init\n\n")
	s.WriteString("It ends with the command for the other hosts, which need this folder too:\n\n")
	s.WriteString("    ./install join HOST:6443 --token TOKEN --discovery-token-ca-cert-hash sha256:HASH\n\n")
	s.WriteString("To take a host out again:\n\n    ./install reset\n\n")
	s.WriteString("To check the files: sha256sum -c SHA256SUMS, or ./install verify\n")
	s.WriteString("Every command explains itself with --help. bundle.json lists what is inside.\n")
	return []byte(s.String())
}
