package main

import (
	"slices"
	"strings"

	"kubebundle/installer/phase"
)

// phaseNames reads names of phases as they are written for kubeadm ("certs ca", "addon all") and as --skip-phases has them ("certs/ca"),
// one after the other. What follows the last name is the rest.
func phaseNames(args, known []string) (names, rest []string) {
	parent := "" // of the parts that may follow
	for i, arg := range args {
		name := strings.ToLower(arg)
		if now := formerNames[name]; now != "" {
			name = now
		}
		switch {
		case parent != "" && name == "all":
			names = addName(names, parent)
		case parent != "" && slices.Contains(known, parent+"/"+name):
			names = addName(slices.DeleteFunc(names, func(n string) bool { return n == parent }), parent+"/"+name)
		case slices.ContainsFunc(known, func(k string) bool { return phase.Skipped([]string{name}, k) }):
			names, parent = addName(names, name), name
		case aliases[parent+" "+name] != "":
			names = addName(slices.DeleteFunc(names, func(n string) bool { return n == parent }), aliases[parent+" "+name])
		default:
			return names, args[i:]
		}
	}
	return names, nil
}

// aliases are kubeadm's names of what has another one here.
var aliases = map[string]string{
	"control-plane-join etcd": "etcd-join", // the only name in kubeadm too from v1.35 on
}

// formerNames are what kubeadm called its phases up to v1.12, below `kubeadm alpha phase`.
var formerNames = map[string]string{
	"bootstraptoken":  "bootstrap-token",
	"controlplane":    "control-plane",
	"from-staticpods": "convert-from-staticpods",
	"mark-master":     "mark-control-plane",
	"self-hosting":    "selfhosting",
	"selfhosted":      "selfhosting",
}

func addName(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// phaseList is the phases for a person, each with its parts.
func phaseList(phases []phase.Phase) string {
	list := make([]string, 0, len(phases))
	for _, p := range phases {
		text := p.Name()
		if c, ok := p.(phase.Composite); ok {
			text += " (" + strings.Join(c.Parts(), " ") + ")"
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}
