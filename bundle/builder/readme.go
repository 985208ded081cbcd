package builder

import (
	"fmt"
	"strings"

	"kubebundle/bundle"
)

// readme is README.txt: what a person needs who finds nothing but the unpacked folder.
func readme(c *bundle.Contract, base *bundle.Bundle) []byte {
	var s strings.Builder
	fmt.Fprintf(&s, "Kubernetes %s for linux/%s: everything to install it on hosts without a network.\n\n", c.KubernetesVersion, c.Arch)
	if base != nil {
		fmt.Fprintf(&s, "This is a delta. It needs %s as well: its folder or its .tar.gz beside this folder,\nor its path after --base with every command.\n\n", base.Contract().Name())
	}
	s.WriteString("On the first host, as root:\n\n    ./install init\n\n")
	s.WriteString("It ends with the command for the other hosts, which need this folder too:\n\n")
	s.WriteString("    ./install join HOST:6443 --token TOKEN --discovery-token-ca-cert-hash sha256:HASH\n\n")
	s.WriteString("To take a host out again:\n\n    ./install reset\n\n")
	s.WriteString("Is the copy whole?\n\n    sha256sum -c SHA256SUMS\n\n")
	s.WriteString(`Is it from whom you think? Nothing in this folder can say so: whoever swaps the programs swaps what they say,
./install verify included, and SHA256SUMS with them. Ask something that you trust already, with a public key
that did not come with this folder:

    minisign -VQm bundle.json -P KEY | cut -d' ' -f2- | sha256sum -c - && sha256sum -c SHA256SUMS

or the installer of an older bundle that you trust:

    ../OLDER/install verify --key KEY .

or, where the bundle was built: bundler verify --key KEY FILE. Without bundle.json.minisig it is not signed.

`)
	if len(c.TrustedKeys) > 0 {
		fmt.Fprintf(&s, "This bundle's own installer was built to refuse bundles that none of these keys has signed:\n\n    %s\n\n", strings.Join(c.TrustedKeys, "\n    "))
	}
	s.WriteString("Every command explains itself with --help. bundle.json lists what is inside.\n")
	return []byte(s.String())
}
