package differential

import (
	"fmt"
	"strings"
)

// Document is docs/differences.md.
func Document() string {
	var b strings.Builder
	b.WriteString(`# How a cluster of ours differs from one of kubeadm's

This page is made from the table in test/differential/table.go (` + "`go test ./test/differential -update`" + `). ` + "`make test-differential`" + ` runs kubeadm
itself and ours side by side, for ` + strings.Join(Versions(), ", ") + `, and compares every file below
/etc/kubernetes and /var/lib/kubelet and every API object by meaning. A difference that is not in this table fails that test, and so does a
row that is no longer true. Versions before v1.29, whose kubeadm cannot be built from its module, are held by golden files and the facts
they are checked against.

` + "`*`" + ` stands for any text, — for nothing.

| what | where | kubeadm | ours | versions | why |
|---|---|---|---|---|---|
`)
	for _, r := range Table() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", code(r.Artefact), code(r.Path), code(r.Kubeadm), code(r.Ours), r.versions(), strings.ReplaceAll(r.Why, "|", "\\|"))
	}
	return b.String()
}

// code shows a pattern as it is.
func code(s string) string {
	if s == "" {
		return "—"
	}
	return "`" + strings.ReplaceAll(s, "|", "\\|") + "`"
}

// versions says for which minors a row holds, among those that are compared.
func (r Row) versions() string {
	switch {
	case r.From == 0 && r.To == 0:
		return "all"
	case r.To == 0:
		return fmt.Sprintf("v1.%d on", r.From)
	case r.From == 0:
		return fmt.Sprintf("up to v1.%d", r.To)
	default:
		return fmt.Sprintf("v1.%d to v1.%d", r.From, r.To)
	}
}
