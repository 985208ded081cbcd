package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fromV1beta3 turns a v1beta3 document into the v1beta4 form, in place: extraArgs is a list of names and values instead of a
// mapping, and all timeouts have a struct of their own. Fields that only v1beta4 has are refused, as kubeadm refuses them.
func fromV1beta3(kind string, doc map[string]any) error {
	var all []error
	for _, path := range onlyV1beta4(kind) {
		if hasPath(doc, path) {
			all = append(all, &fieldError{path: path, err: fmt.Errorf("unknown field: only %s has it", groupV1beta4)})
		}
	}
	for _, path := range extraArgsOf(kind) {
		if err := argsToList(doc, path); err != nil {
			all = append(all, err)
		}
	}
	// In v1beta3 each timeout stands in the document of the component that it is about; takeTimeout moves the cluster's.
	if kind == "JoinConfiguration" {
		if discovery, ok := doc["discovery"].(map[string]any); ok {
			if t, ok := discovery["timeout"]; ok {
				delete(discovery, "timeout")
				doc["timeouts"] = map[string]any{"discovery": t, "tlsBootstrap": t}
			}
		}
	}
	doc["apiVersion"] = groupV1beta4
	return errors.Join(all...)
}

func onlyV1beta4(kind string) []string {
	switch kind {
	case "InitConfiguration", "JoinConfiguration":
		return []string{"dryRun", "timeouts", "nodeRegistration.imagePullSerial"}
	case "ClusterConfiguration":
		return []string{
			"dns.disabled", "proxy", "encryptionAlgorithm", "certificateValidityPeriod", "caCertificateValidityPeriod",
			"apiServer.extraEnvs", "controllerManager.extraEnvs", "scheduler.extraEnvs", "etcd.local.extraEnvs",
		}
	}
	return nil
}

func extraArgsOf(kind string) []string {
	if kind == "ClusterConfiguration" {
		return []string{"apiServer.extraArgs", "controllerManager.extraArgs", "scheduler.extraArgs", "etcd.local.extraArgs"}
	}
	return []string{"nodeRegistration.kubeletExtraArgs"}
}

// argsToList turns {b: "2", a: "1"} into [{name: a, value: "1"}, {name: b, value: "2"}].
func argsToList(doc map[string]any, path string) error {
	parts := splitPath(path)
	parent := doc
	for _, part := range parts[:len(parts)-1] {
		next, ok := parent[part].(map[string]any)
		if !ok {
			return nil
		}
		parent = next
	}
	key := parts[len(parts)-1]
	value, ok := parent[key]
	if !ok || value == nil {
		return nil
	}
	args, ok := value.(map[string]any)
	if !ok {
		return &fieldError{path: path, err: errors.New("in v1beta3 it is a mapping of names to values")}
	}
	list := make([]any, 0, len(args))
	for _, name := range slices.Sorted(maps.Keys(args)) {
		text, ok := args[name].(string)
		if !ok {
			return &fieldError{path: path + "." + name, err: errors.New("is not text: put the value in quotes")}
		}
		list = append(list, map[string]any{"name": name, "value": text})
	}
	parent[key] = list
	return nil
}

func hasPath(doc map[string]any, path string) bool {
	parts := splitPath(path)
	for _, part := range parts[:len(parts)-1] {
		next, ok := doc[part].(map[string]any)
		if !ok {
			return false
		}
		doc = next
	}
	_, ok := doc[parts[len(parts)-1]]
	return ok
}

// takeTimeout removes apiServer.timeoutForControlPlane from a v1beta3 ClusterConfiguration: from v1beta4 on it is a timeout of InitConfiguration.
func takeTimeout(doc map[string]any) (*metav1.Duration, error) {
	const field = "timeoutForControlPlane"
	server, _ := doc["apiServer"].(map[string]any)
	text, ok := server[field].(string)
	if !ok {
		return nil, nil // none, or of a wrong type, which strict decoding will name
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return nil, &fieldError{path: "apiServer." + field, err: fmt.Errorf("%q is not a duration such as 4m0s", text)}
	}
	delete(server, field)
	return &metav1.Duration{Duration: d}, nil
}
