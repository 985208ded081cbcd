package cluster

import (
	"errors"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/restmapper"
)

// kind is where objects of a kind live.
type kind struct {
	resource   string
	namespaced bool
}

// builtin are the kinds that the installer itself applies, and those that nearly every manifest has. For them nobody has to be asked:
// a group's version comes with the object, name and scope never change.
func builtin(gk schema.GroupKind) (kind, bool) {
	const rbac = "rbac.authorization.k8s.io"
	k, ok := map[schema.GroupKind]kind{
		{Kind: "ConfigMap"}:                       {"configmaps", true},
		{Kind: "Namespace"}:                       {"namespaces", false},
		{Kind: "Node"}:                            {"nodes", false},
		{Kind: "Pod"}:                             {"pods", true},
		{Kind: "Secret"}:                          {"secrets", true},
		{Kind: "Service"}:                         {"services", true},
		{Kind: "ServiceAccount"}:                  {"serviceaccounts", true},
		{Group: "apps", Kind: "DaemonSet"}:        {"daemonsets", true},
		{Group: "apps", Kind: "Deployment"}:       {"deployments", true},
		{Group: "extensions", Kind: "DaemonSet"}:  {"daemonsets", true},
		{Group: "extensions", Kind: "Deployment"}: {"deployments", true},
		{Group: rbac, Kind: "ClusterRole"}:        {"clusterroles", false},
		{Group: rbac, Kind: "ClusterRoleBinding"}: {"clusterrolebindings", false},
		{Group: rbac, Kind: "Role"}:               {"roles", true},
		{Group: rbac, Kind: "RoleBinding"}:        {"rolebindings", true},
		{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}: {"customresourcedefinitions", false},
	}[gk]
	return k, ok
}

// kinds finds the resource of a kind; those that are not built in are asked from the server, once, and again when one is missing.
type kinds struct {
	discovery discovery.DiscoveryInterface

	mu     sync.Mutex
	mapper meta.RESTMapper
}

// unknownKindError is a kind that the server does not serve (yet: its CRD may be on its way).
type unknownKindError struct{ gvk schema.GroupVersionKind }

func (e *unknownKindError) Error() string {
	return fmt.Sprintf("the API server knows no %s in %s", e.gvk.Kind, e.gvk.GroupVersion())
}

func isUnknownKind(err error) bool {
	var unknown *unknownKindError
	return errors.As(err, &unknown)
}

func (k *kinds) find(gvk schema.GroupVersionKind) (schema.GroupVersionResource, bool, error) {
	if b, ok := builtin(gvk.GroupKind()); ok {
		return gvk.GroupVersion().WithResource(b.resource), b.namespaced, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.mapper != nil {
		if m, err := k.mapper.RESTMapping(gvk.GroupKind(), gvk.Version); err == nil {
			return m.Resource, m.Scope.Name() == meta.RESTScopeNameNamespace, nil
		}
	}
	groups, err := restmapper.GetAPIGroupResources(k.discovery)
	if err != nil {
		return schema.GroupVersionResource{}, false, fmt.Errorf("ask for the API's kinds: %w", err)
	}
	k.mapper = restmapper.NewDiscoveryRESTMapper(groups)
	m, err := k.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		return schema.GroupVersionResource{}, false, &unknownKindError{gvk}
	}
	if err != nil {
		return schema.GroupVersionResource{}, false, err
	}
	return m.Resource, m.Scope.Name() == meta.RESTScopeNameNamespace, nil
}
