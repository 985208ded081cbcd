package phase

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"kubebundle/bundle"
	"kubebundle/installer/config"
	"kubebundle/release"
)

// kubeletDefaults is what the kubelet's unit reads beside kubeadm-flags.env, since v1.11.
const kubeletDefaults = "/etc/default/kubelet"

const (
	checkGates = "FeatureGates"
	checkArgs  = "ExtraArgs" // kubeadm's name up to v1.10
)

// knobAdvice is for all whose Kubernetes is upstream's, and for those whose is not.
const knobAdvice = "leave it out (a Kubernetes that was built with it goes on with --ignore-preflight-errors %s)"

// knobs refuses feature gates and flags that the version does not know: the program that is given one does not start, and what is seen of
// it is a kubelet that dies every ten seconds, or an API server that never answers.
func (in *inspection) knobs(context.Context) {
	if i := in.s.Init; i != nil {
		in.kubeadmGates(i.Cluster.FeatureGates)
		in.gates("KubeletConfiguration", i.KubeletConfig)
		in.gates("KubeProxyConfiguration", i.KubeProxyConfig)
		in.args("apiServer.extraArgs", string(release.APIServer), i.Cluster.APIServer.ExtraArgs)
		in.args("controllerManager.extraArgs", string(release.ControllerManager), i.Cluster.ControllerManager.ExtraArgs)
		in.args("scheduler.extraArgs", string(release.Scheduler), i.Cluster.Scheduler.ExtraArgs)
	}
	in.args("nodeRegistration.kubeletExtraArgs", release.Kubelet, in.s.registration().KubeletExtraArgs)
	if in.minor() >= 11 {
		if data, err := in.r.ReadFile(kubeletDefaults); err == nil {
			in.args("KUBELET_EXTRA_ARGS in "+kubeletDefaults, release.Kubelet, kubeletExtraArgs(string(data)))
		}
	}
}

// args judges the names of flags, and what feature-gates says.
func (in *inspection) args(where, program string, args []config.Arg) {
	for _, a := range args {
		if err := in.s.Release.CheckFlag(program, a.Name); err != nil {
			in.failAdvise(checkArgs, fmt.Sprintf(knobAdvice, checkArgs), "%s: %v", where, err)
			continue
		}
		if strings.ReplaceAll(a.Name, "_", "-") != "feature-gates" {
			continue
		}
		for entry := range strings.SplitSeq(a.Value, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(entry), "=")
			if name == "" {
				continue
			}
			on, err := strconv.ParseBool(value)
			if err != nil {
				in.failAdvise(checkGates, "correct it", "%s: feature-gates: %q is not name=true or name=false", where, entry)
				continue
			}
			in.gate(where, name, on)
		}
	}
}

// gates judges the featureGates of a component's document.
func (in *inspection) gates(where string, doc map[string]any) {
	in.problems = append(in.problems, gateProblems(in.s.Release, where, doc)...)
}

func (in *inspection) gate(where, name string, on bool) {
	in.problems = append(in.problems, gateProblem(in.s.Release, where, name, on)...)
}

func gateProblems(rel *release.Release, where string, doc map[string]any) []Problem {
	const advice = "correct it"
	gates, ok := doc["featureGates"].(map[string]any)
	if !ok && doc["featureGates"] != nil {
		return []Problem{{Check: checkGates, Level: LevelError, Message: where + ": featureGates is not a mapping of names to true or false", Advice: advice}}
	}
	var out []Problem
	for _, name := range slices.Sorted(maps.Keys(gates)) {
		on, ok := gates[name].(bool)
		if !ok {
			out = append(out, Problem{
				Check: checkGates, Level: LevelError, Advice: advice,
				Message: fmt.Sprintf("%s: feature gate %s is %v, neither true nor false", where, name, gates[name]),
			})
			continue
		}
		out = append(out, gateProblem(rel, where, name, on)...)
	}
	return out
}

func gateProblem(rel *release.Release, where, name string, on bool) []Problem {
	err := rel.CheckGate(name, on)
	if err == nil {
		return nil
	}
	return []Problem{{Check: checkGates, Level: LevelError, Message: where + ": " + err.Error(), Advice: fmt.Sprintf(knobAdvice, checkGates)}}
}

// kubeadmGates judges the gates that are kubeadm's own. One that would make kubeadm do what this installer does not is refused, for the
// cluster would not be the one that was asked for.
func (in *inspection) kubeadmGates(gates map[string]bool) {
	for _, name := range slices.Sorted(maps.Keys(gates)) {
		if err := in.s.Release.CheckKubeadmGate(name, gates[name]); err != nil {
			advice := fmt.Sprintf(knobAdvice, checkGates)
			if in.s.Release.CheckGate(name, gates[name]) == nil {
				advice = "the components know this gate: name it in featureGates of a KubeletConfiguration, or as feature-gates among extraArgs"
			}
			in.failAdvise(checkGates, advice, "%v", err)
			continue
		}
		if name == "CoreDNS" && gates[name] != in.hasImage(release.CoreDNS) {
			in.failAdvise(checkGates, "the DNS server is chosen when a bundle is built: bundler build --dns coredns or kube-dns",
				"kubeadm's feature gate CoreDNS is %v, and the bundle holds the other server", gates[name])
		}
		if name == rootlessGate && gates[name] {
			in.failAdvise(checkGates, "leave it out: the pods of the control plane run as root", "kubeadm's feature gate %s: this installer does not follow it", name)
		}
	}
}

// rootlessGate never became beta: it makes users of the host and changes who owns the keys. All other gates are followed, or ask for what
// is done anyway (doc.go of this package and docs/kubeadm.md list them).
const rootlessGate = "RootlessControlPlane"

// kubeletExtraArgs reads the flags of KUBELET_EXTRA_ARGS from an environment file of systemd's.
func kubeletExtraArgs(file string) []config.Arg {
	short := func(a config.Arg) bool { return len(a.Name) <= 1 } // -v is a short form
	return slices.DeleteFunc(environmentArgs(file, "KUBELET_EXTRA_ARGS", ""), short)
}

// environmentArgs reads the flags in a variable of an environment file of systemd's. bare is the value of a flag that is given none.
func environmentArgs(file, variable, bare string) []config.Arg {
	var out []config.Arg
	for line := range strings.Lines(file) {
		value, ok := strings.CutPrefix(strings.TrimSpace(line), variable+"=")
		if !ok {
			continue
		}
		out = nil // the last one counts
		words := strings.Fields(strings.Trim(value, `"'`))
		for i, w := range words {
			if !strings.HasPrefix(w, "-") {
				continue
			}
			name, given, ok := strings.Cut(strings.TrimLeft(w, "-"), "=")
			switch {
			case ok:
			case i+1 < len(words) && !strings.HasPrefix(words[i+1], "-"):
				given = words[i+1]
			default:
				given = bare
			}
			out = append(out, config.Arg{Name: name, Value: given})
		}
	}
	return out
}

func (in *inspection) hasImage(c release.Component) bool {
	return slices.ContainsFunc(in.contract.Images, func(i bundle.Image) bool { return i.Component == string(c) })
}
