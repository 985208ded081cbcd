package config

import (
	"errors"
	"fmt"
	"strings"
)

// fromV1alpha1 is Kubernetes 1.10: token, node name and taint stood at the top, etcd's fields beside each other.
func fromV1alpha1(d *document) ([]*document, error) {
	if d.kind == "NodeConfiguration" {
		d.move(d, "nodeName nodeRegistration.name", "criSocket nodeRegistration.criSocket")
		return d.become(groupV1alpha2), nil
	}
	var errs []error
	token := d.part(groupV1alpha2, "")
	d.move(token, "token", "tokenTTL ttl", "tokenUsages usages", "tokenGroups groups")
	delete(token.body, "apiVersion")
	delete(token.body, "kind")
	if len(token.body) > 0 {
		d.body["bootstrapTokens"] = []any{token.body}
		d.from["bootstrapTokens[0]"] = "token"
	}
	d.move(d, "nodeName nodeRegistration.name", "criSocket nodeRegistration.criSocket")
	if v, _ := take(d.body, "noTaintMaster"); v == true {
		put(d.body, "nodeRegistration.taints", []any{})
	}
	if v, ok := take(d.body, "authorizationModes"); ok {
		modes, err := texts(v)
		if err != nil {
			errs = append(errs, &fieldError{path: "authorizationModes", err: err})
		}
		if text := strings.Join(modes, ","); text != "" && text != "Node,RBAC" && !hasPath(d.body, "apiServerExtraArgs.authorization-mode") {
			put(d.body, "apiServerExtraArgs.authorization-mode", text)
		}
	}
	if v, _ := take(d.body, "cloudProvider"); v != nil && v != "" {
		for _, args := range []string{"apiServerExtraArgs", "controllerManagerExtraArgs", "nodeRegistration.kubeletExtraArgs"} {
			put(d.body, args+".cloud-provider", v)
		}
	}
	// The pull policy has no meaning here: nothing is pulled.
	take(d.body, "imagePullPolicy")
	errs = append(errs,
		d.refuse("privilegedPods", "is not supported: it made the control plane's pods privileged, and no later version has it"),
		d.refuse("etcd.selfHosted", "is not supported: etcd runs as a static pod, or elsewhere (etcd.endpoints)"))
	etcd, _ := d.body["etcd"].(map[string]any)
	if endpoints, _ := etcd["endpoints"].([]any); len(endpoints) > 0 {
		d.move(d, "etcd.endpoints etcd.external.endpoints", "etcd.caFile etcd.external.caFile", "etcd.certFile etcd.external.certFile", "etcd.keyFile etcd.external.keyFile")
	} else {
		for _, f := range []string{"etcd.endpoints", "etcd.caFile", "etcd.certFile", "etcd.keyFile"} {
			errs = append(errs, d.refuse(f, "belongs to an etcd elsewhere, and etcd.endpoints names none"))
		}
		d.move(d, "etcd.dataDir etcd.local.dataDir", "etcd.extraArgs etcd.local.extraArgs", "etcd.image etcd.local.image",
			"etcd.serverCertSANs etcd.local.serverCertSANs", "etcd.peerCertSANs etcd.local.peerCertSANs")
	}
	return d.become(groupV1alpha2), errors.Join(errs...)
}

// texts reads a list of strings.
func texts(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		return nil, errors.New("is not a list")
	}
	out := make([]string, 0, len(list))
	for _, e := range list {
		s, ok := e.(string)
		if !ok {
			return nil, fmt.Errorf("%v is not text", e)
		}
		out = append(out, s)
	}
	return out, nil
}

// fromV1alpha2 is Kubernetes 1.11: one MasterConfiguration held the node's part, the cluster's, the kubelet's and kube-proxy's.
func fromV1alpha2(d *document) ([]*document, error) {
	if d.kind == "NodeConfiguration" {
		d.kind, d.body["kind"] = "JoinConfiguration", "JoinConfiguration"
		return d.become(groupV1alpha3), nil
	}
	docs := []*document{}
	for _, inner := range []struct{ field, apiVersion, kind string }{
		{"kubeletConfiguration.baseConfig", groupKubelet, "KubeletConfiguration"},
		{"kubeProxy.config", groupProxy, "KubeProxyConfiguration"},
	} {
		v, ok := take(d.body, inner.field)
		if body, isMap := v.(map[string]any); isMap && len(body) > 0 {
			n := d.part(inner.apiVersion, inner.kind)
			for k, v := range body {
				n.body[k] = v
			}
			n.body["apiVersion"], n.body["kind"] = inner.apiVersion, inner.kind
			docs = append(docs, n)
		} else if ok && !isZero(v) {
			return nil, &fieldError{path: inner.field, err: errors.New("is not a mapping")}
		}
	}
	take(d.body, "kubeletConfiguration")
	take(d.body, "kubeProxy")
	init := d.part(groupV1alpha3, "InitConfiguration")
	d.move(init, "bootstrapTokens", "nodeRegistration", "api.advertiseAddress apiEndpoint.advertiseAddress", "api.bindPort apiEndpoint.bindPort")
	for to, from := range d.from {
		if strings.HasPrefix(to, "bootstrapTokens") || strings.HasPrefix(to, "nodeRegistration") {
			init.from[to] = from
		}
	}
	d.move(d, "api.controlPlaneEndpoint controlPlaneEndpoint")
	d.kind, d.body["kind"] = "ClusterConfiguration", "ClusterConfiguration"
	return append(append(docs, init), d.become(groupV1alpha3)...), nil
}

// fromV1alpha3 is Kubernetes 1.12: arguments, volumes and names of a component stood beside each other, and so did all of discovery.
func fromV1alpha3(d *document) ([]*document, error) {
	var errs []error
	switch d.kind {
	case "InitConfiguration":
		d.move(d, "apiEndpoint localAPIEndpoint")
	case "ClusterConfiguration":
		errs = clusterV1alpha3(d)
	case "JoinConfiguration":
		errs = joinV1alpha3(d)
	}
	return d.become(groupV1beta1), errors.Join(errs...)
}

func clusterV1alpha3(d *document) []error {
	errs := []error{
		d.refuse("unifiedControlPlaneImage", "is not supported: a bundle holds the components' own images, not hyperkube"),
	}
	if v, ok := take(d.body, "auditPolicy"); ok && v != nil {
		errs = append(errs, d.takeAudit(v))
	}
	for _, c := range []string{"apiServer", "controllerManager", "scheduler"} {
		d.move(d, c+"ExtraArgs "+c+".extraArgs", c+"ExtraVolumes "+c+".extraVolumes")
		component, _ := d.body[c].(map[string]any)
		volumes, _ := component["extraVolumes"].([]any)
		for i, v := range volumes {
			if vol, ok := v.(map[string]any); ok {
				writable, found := vol["writable"]
				if b, isBool := writable.(bool); found && !isBool {
					errs = append(errs, &fieldError{path: fmt.Sprintf("%sExtraVolumes[%d].writable", c, i), err: errors.New("is neither true nor false")})
				} else {
					vol["readOnly"] = !b
				}
				delete(vol, "writable")
			}
		}
	}
	d.move(d, "apiServerCertSANs apiServer.certSANs")
	if v, ok := take(d.body, "etcd.local.image"); ok && v != "" {
		text, _ := v.(string)
		repository, tag, tagged := cutTag(text)
		base, found := strings.CutSuffix(repository, "/etcd")
		if !tagged || !found {
			errs = append(errs, &fieldError{path: "etcd.local.image", err: fmt.Errorf("%q is not REPOSITORY/etcd:TAG, which is all that later versions can say", text)})
		} else {
			put(d.body, "etcd.local.imageRepository", base)
			put(d.body, "etcd.local.imageTag", tag)
		}
	}
	if v, ok := take(d.body, "featureGates.CoreDNS"); ok {
		if d.dns = "CoreDNS"; v == false {
			d.dns = "kube-dns"
		}
	}
	return errs
}

// cutTag cuts the tag off a reference; a port is no tag.
func cutTag(ref string) (repository, tag string, ok bool) {
	i := strings.LastIndexByte(ref, ':')
	if i < 0 || strings.Contains(ref[i:], "/") {
		return ref, "", false
	}
	return ref[:i], ref[i+1:], true
}

func joinV1alpha3(d *document) []error {
	errs := []error{
		d.refuse("clusterName", "was removed: the cluster says its own name"),
		d.refuse("featureGates", "was removed: the cluster says its own feature gates"),
	}
	token, _ := take(d.body, "token")
	if token != nil && token != "" {
		for _, f := range []string{"discoveryToken", "tlsBootstrapToken"} {
			if isZero(d.body[f]) {
				d.body[f] = token
			}
		}
	}
	d.move(d, "discoveryTimeout discovery.timeout", "tlsBootstrapToken discovery.tlsBootstrapToken")
	if isZero(d.body["discoveryFile"]) {
		delete(d.body, "discoveryFile")
		if v, ok := take(d.body, "discoveryTokenAPIServers"); ok {
			servers, err := texts(v)
			switch {
			case err != nil:
				errs = append(errs, &fieldError{path: "discoveryTokenAPIServers", err: err})
			case len(servers) > 1:
				errs = append(errs, &fieldError{path: "discoveryTokenAPIServers", err: errors.New("names several: give the one to ask")})
			case len(servers) == 1:
				put(d.body, "discovery.bootstrapToken.apiServerEndpoint", servers[0])
			}
		}
		d.move(d, "discoveryToken discovery.bootstrapToken.token", "discoveryTokenCACertHashes discovery.bootstrapToken.caCertHashes",
			"discoveryTokenUnsafeSkipCAVerification discovery.bootstrapToken.unsafeSkipCAVerification")
	} else {
		d.move(d, "discoveryFile discovery.file.kubeConfigPath")
		for _, f := range []string{"discoveryToken", "discoveryTokenAPIServers", "discoveryTokenCACertHashes", "discoveryTokenUnsafeSkipCAVerification"} {
			take(d.body, f)
		}
	}
	if v, _ := take(d.body, "controlPlane"); v == true {
		d.body["controlPlane"] = map[string]any{}
		d.move(d, "apiEndpoint controlPlane.localAPIEndpoint")
	} else {
		take(d.body, "apiEndpoint")
	}
	return errs
}
