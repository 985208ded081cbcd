package manifests

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// mergeEnv joins variables, later lists over earlier ones, sorted by name (kubeadm 1.34 util/env.go).
func mergeEnv(lists ...[]corev1.EnvVar) []corev1.EnvVar {
	byName := map[string]corev1.EnvVar{}
	for _, list := range lists {
		for _, e := range list {
			byName[e.Name] = e
		}
	}
	out := make([]corev1.EnvVar, 0, len(byName))
	for _, e := range byName {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b corev1.EnvVar) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
