package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// fromV1beta1 is Kubernetes 1.13 to 1.21.
func fromV1beta1(d *document) ([]*document, error) {
	err := d.newer(groupV1beta2, "certificateKey", "controlPlane.certificateKey", "nodeRegistration.ignorePreflightErrors")
	return d.become(groupV1beta2), err
}

// fromV1beta2 is Kubernetes 1.15 to 1.26.
func fromV1beta2(d *document) ([]*document, error) {
	errs := []error{
		d.newer(groupV1beta3, "skipPhases", "patches", "nodeRegistration.imagePullPolicy"),
		d.refuse("useHyperKubeImage", "is not supported: a bundle holds the components' own images, not hyperkube"),
	}
	if v, ok := take(d.body, "dns.type"); ok && v != "" {
		text, _ := v.(string)
		if d.dns = text; text != "CoreDNS" && text != "kube-dns" {
			errs = append(errs, &fieldError{path: "dns.type", err: fmt.Errorf("unknown %q: known are CoreDNS, kube-dns", v)})
		}
	}
	return d.become(groupV1beta3), errors.Join(errs...)
}

// fromV1beta3 is Kubernetes 1.22 and later: extraArgs is a mapping of names to values there and a list in v1beta4, and all timeouts have
// got a struct of their own. Fields that only v1beta4 has are refused, as kubeadm refuses them.
func fromV1beta3(d *document) ([]*document, error) {
	errs := []error{d.newer(groupV1beta4, onlyV1beta4(d.kind)...)}
	for _, path := range extraArgsOf(d.kind) {
		errs = append(errs, argsToList(d.body, path))
	}
	// In v1beta3 each timeout stands in the document of the component that it is about.
	if d.kind == "ClusterConfiguration" {
		var err error
		d.timeout, err = takeTimeout(d.body)
		errs = append(errs, err)
	}
	if d.kind == "JoinConfiguration" {
		if t, ok := take(d.body, "discovery.timeout"); ok {
			if _, has := d.body["discovery"]; !has {
				d.body["discovery"] = map[string]any{}
			}
			d.body["timeouts"] = map[string]any{"discovery": t, "tlsBootstrap": t}
		}
	}
	return d.become(groupV1beta4), errors.Join(errs...)
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
