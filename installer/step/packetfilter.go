package step

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"kubebundle/installer/host"
)

// ServiceRules removes the packet filter rules of kube-proxy and the kubelet: their chains, all named KUBE-…, and the rules of other chains
// that lead there. `kubeadm reset` leaves them to a reboot; until then a host would go on refusing or rewriting packets for services that do
// not exist any more. Everybody else's rules stay as they are: only deletions are handed to the kernel, one transaction per table.
type ServiceRules struct{}

func (ServiceRules) String() string { return "remove the packet filter rules of services" }

// filterTools are the programs that may each see other rules: the nft and the legacy kernel interface keep theirs apart, and kube-proxy's
// image chooses between them by itself.
var filterTools = []string{"iptables", "ip6tables", "iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"}

// Satisfied if no tool that the host has shows a KUBE chain.
func (s ServiceRules) Satisfied(ctx context.Context, t *Target) (bool, error) {
	for _, tool := range filterTools {
		script, err := s.script(ctx, t, tool)
		if err != nil || len(script) > 0 {
			return false, err
		}
	}
	return true, nil
}

// Apply deletes them and goes on after an error.
func (s ServiceRules) Apply(ctx context.Context, t *Target) error {
	var errs []error
	for _, tool := range filterTools {
		script, err := s.script(ctx, t, tool)
		if err == nil && len(script) > 0 {
			_, err = t.Host.Run(ctx, host.Command{Name: tool + "-restore", Args: []string{"--noflush"}, Stdin: script})
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// script is what deletes the rules that a tool sees, empty if there are none or the host has no such tool.
func (ServiceRules) script(ctx context.Context, t *Target, tool string) ([]byte, error) {
	for _, part := range []string{"-save", "-restore"} {
		if _, err := t.Host.LookPath(tool + part); err != nil {
			return nil, nil //nolint:nilerr // a tool that is not there shows no rules
		}
	}
	out, err := t.Host.Run(ctx, host.Command{Name: tool + "-save"})
	if err != nil {
		if strings.Contains(tool, "-legacy") || strings.HasPrefix(tool, "ip6") {
			return nil, nil //nolint:nilerr // a kernel without these tables has no rules in them
		}
		return nil, err
	}
	return deletions(string(out)), nil
}

// deletions turns the output of iptables-save into input for iptables-restore --noflush that takes the KUBE chains away. There, naming a
// chain empties it, "-D" deletes a rule that is given as it was saved, and "-X" deletes an empty chain.
func deletions(saved string) []byte {
	var out, table bytes.Buffer
	var chains, rules []string
	name := ""
	for line := range strings.Lines(saved) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "*"):
			name, chains, rules = line, nil, nil
		case strings.HasPrefix(line, ":KUBE-"):
			chain, _, _ := strings.Cut(line[1:], " ")
			chains = append(chains, chain)
		case strings.HasPrefix(line, "-A ") && !strings.HasPrefix(line, "-A KUBE-") && leadsToKube(line):
			rules = append(rules, "-D "+strings.TrimPrefix(line, "-A "))
		case line == "COMMIT" && len(chains) > 0:
			table.Reset()
			table.WriteString(name + "\n")
			for _, c := range chains {
				fmt.Fprintf(&table, ":%s - [0:0]\n", c)
			}
			for _, r := range rules {
				table.WriteString(r + "\n")
			}
			for _, c := range chains {
				fmt.Fprintf(&table, "-X %s\n", c)
			}
			table.WriteString("COMMIT\n")
			out.Write(table.Bytes())
		}
	}
	return out.Bytes()
}

// leadsToKube reports whether a rule jumps (or goes) to a KUBE chain.
func leadsToKube(rule string) bool {
	return strings.Contains(rule, " -j KUBE-") || strings.Contains(rule, " -g KUBE-")
}
