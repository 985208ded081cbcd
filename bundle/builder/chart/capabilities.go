package chart

import (
	"reflect"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/kubernetes/scheme"
)

// capabilities is what .Capabilities tells a template: the bundle's version, and the API versions of a server of that version.
func capabilities(v *version.Version) (*common.Capabilities, error) {
	kube, err := common.ParseKubeVersion("v" + v.String())
	if err != nil {
		return nil, err
	}
	caps := common.DefaultCapabilities.Copy()
	caps.KubeVersion, caps.APIVersions = *kube, served(v)
	return caps, nil
}

// lifecycle is what the types of k8s.io/api know about themselves (zz_generated.prerelease-lifecycle.go).
type (
	introduced interface {
		APILifecycleIntroduced() (major, minor int)
	}
	removed interface {
		APILifecycleRemoved() (major, minor int)
	}
)

// served lists what a server of a version serves by default, as group/version and group/version/Kind: every stable version of a kind
// from the release that introduced it, betas from before v1.24 until they were removed (later ones must be turned on: KEP-3136),
// and no alphas.
func served(v *version.Version) common.VersionSet {
	minor := int(v.Minor())
	set := map[string]bool{}
	add := func(from, until int, groupVersion string, kinds ...string) {
		if minor < from || until > 0 && minor >= until {
			return
		}
		set[groupVersion] = true
		for _, k := range kinds {
			set[groupVersion+"/"+k] = true
		}
	}
	for gvk, t := range scheme.Scheme.AllKnownTypes() {
		obj := reflect.New(t).Interface()
		in, ok := obj.(introduced)
		if !ok || strings.Contains(gvk.Version, "alpha") || strings.HasSuffix(gvk.Kind, "List") {
			continue
		}
		_, from := in.APILifecycleIntroduced()
		until := 0
		if strings.Contains(gvk.Version, "beta") {
			if from >= 24 {
				continue
			}
			if out, ok := obj.(removed); ok {
				_, until = out.APILifecycleRemoved()
			}
		}
		add(from, until, gvk.GroupVersion().String(), gvk.Kind)
	}
	// These two are not in k8s.io/api (kubernetes-facts: removed in v1.22 with the other betas of that age).
	add(16, 0, "apiextensions.k8s.io/v1", "CustomResourceDefinition")
	add(7, 22, "apiextensions.k8s.io/v1beta1", "CustomResourceDefinition")
	add(10, 0, "apiregistration.k8s.io/v1", "APIService")
	add(7, 22, "apiregistration.k8s.io/v1beta1", "APIService")
	out := make(common.VersionSet, 0, len(set))
	for s := range set {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}
