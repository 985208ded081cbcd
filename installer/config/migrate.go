package config

import (
	"bytes"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Migrate reads a file of any known version and gives it in the newest one's form, with what the user said and nothing else: a default
// that a later version changes is not to be nailed down. A control plane's timeout of older versions moves to the InitConfiguration.
func Migrate(file string, read ReadFile) ([]byte, error) {
	docs, err := readDocuments(file, read)
	if err != nil {
		return nil, err
	}
	if docs.controlPlaneTimeout != nil {
		if docs.init == nil {
			docs.init = &InitConfiguration{TypeMeta: typeMeta("InitConfiguration")}
		}
		docs.init.Timeouts = &TimeoutOverrides{ControlPlaneComponentHealthCheck: docs.controlPlaneTimeout}
	}
	if err := docs.auditAsArgs(); err != nil {
		return nil, usage(fmt.Errorf("%s: %w", file, err))
	}
	out, err := docs.encode()
	if err == nil && len(out) == 0 {
		err = fmt.Errorf("%s: has no configuration", file)
	}
	return out, usage(err)
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: groupV1beta4, Kind: kind}
}

// encode writes what is there, the node's part first, as kubeadm does.
func (d *documents) encode() ([]byte, error) {
	var out bytes.Buffer
	var errs []error
	add := func(there bool, doc any) {
		if !there {
			return
		}
		data, err := yaml.Marshal(doc)
		errs = append(errs, err)
		if out.Len() > 0 {
			out.WriteString("---\n")
		}
		out.Write(data)
	}
	add(d.init != nil, d.init)
	add(d.cluster != nil, d.cluster)
	add(d.join != nil, d.join)
	add(d.reset != nil, d.reset)
	add(d.upgrade != nil, d.upgrade)
	add(d.kubelet != nil, d.kubelet)
	add(d.kubeProxy != nil, d.kubeProxy)
	return out.Bytes(), errors.Join(errs...)
}

// Validate judges a file as init, join, reset or upgrade would, by what is in it. What depends on the host comes from env.
func Validate(file string, read ReadFile, env Environment) error {
	docs, err := readDocuments(file, read)
	if err != nil {
		return err
	}
	var errs []error
	if docs.init != nil || docs.cluster != nil {
		if docs.cluster != nil && docs.cluster.KubernetesVersion != "" && env.KubernetesVersion == "" {
			env.KubernetesVersion, _ = parseVersion(docs.cluster.KubernetesVersion) // what is wrong with it LoadInit says
		}
		_, err := LoadInit(&InitFlags{Config: file}, read, env)
		errs = append(errs, err)
	}
	if docs.join != nil {
		_, err := LoadJoin(&JoinFlags{Config: file}, nil, read, env)
		errs = append(errs, err)
	}
	if docs.reset != nil {
		_, err := LoadReset(&ResetFlags{Config: file}, read)
		errs = append(errs, err)
	}
	if docs.upgrade != nil {
		for _, verb := range []string{"apply", "node", "plan", "diff"} {
			_, err := LoadUpgrade(verb, file, nil, read)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Placeholders in the files that InitDefaults and JoinDefaults give, as kubeadm has them: to be replaced.
const (
	placeholderToken   = "abcdef.0123456789abcdef"
	placeholderAddress = "1.2.3.4"
	placeholderNode    = "node"
)

// InitDefaults is a file for `init` with every default, to be edited. With components it has the documents of kubelet and kube-proxy too,
// which hold no more than their heads: their defaults are their own programs'.
func InitDefaults(version string, components bool) ([]byte, error) {
	f := InitFlags{
		Token: placeholderToken, TokenTTL: DefaultTokenTTL, NodeName: placeholderNode, AdvertiseAddress: placeholderAddress, BindPort: DefaultBindPort,
	}
	docs, err := f.documents()
	if err != nil {
		return nil, err
	}
	c := &Init{
		Cluster: *docs.cluster, NodeRegistration: docs.init.NodeRegistration, LocalAPIEndpoint: docs.init.LocalAPIEndpoint, BootstrapTokens: docs.init.BootstrapTokens,
	}
	c.NodeRegistration.Name = placeholderNode
	var p problems
	c.setDefaults(Environment{KubernetesVersion: version}, &p)
	if err := p.err(); err != nil {
		return nil, err
	}
	for i, a := range c.NodeRegistration.KubeletExtraArgs {
		if a.Name == "node-ip" { // follows the address that will be put in
			c.NodeRegistration.KubeletExtraArgs = append(c.NodeRegistration.KubeletExtraArgs[:i], c.NodeRegistration.KubeletExtraArgs[i+1:]...)
			break
		}
	}
	out := &documents{
		init: &InitConfiguration{
			TypeMeta: typeMeta("InitConfiguration"), BootstrapTokens: c.BootstrapTokens, NodeRegistration: c.NodeRegistration, LocalAPIEndpoint: c.LocalAPIEndpoint,
			Timeouts: timeoutDefaults(),
		},
		cluster: &c.Cluster,
	}
	if components {
		out.kubelet = map[string]any{"apiVersion": groupKubelet, "kind": "KubeletConfiguration"}
		out.kubeProxy = map[string]any{"apiVersion": groupProxy, "kind": "KubeProxyConfiguration"}
	}
	return out.encode()
}

// JoinDefaults is the same for `join`.
func JoinDefaults() ([]byte, error) {
	var r NodeRegistration
	var p problems
	r.Name = placeholderNode
	defaultNode(&r, Environment{}, &p)
	if err := p.err(); err != nil {
		return nil, err
	}
	return (&documents{join: &JoinConfiguration{
		TypeMeta: typeMeta("JoinConfiguration"), NodeRegistration: r, CACertPath: DefaultCertificatesDir + "/ca.crt",
		Discovery: Discovery{
			BootstrapToken:    &BootstrapTokenDiscovery{Token: placeholderToken, APIServerEndpoint: "kube-apiserver:6443", UnsafeSkipCAVerification: true},
			TLSBootstrapToken: placeholderToken,
		},
		Timeouts: timeoutDefaults(),
	}}).encode()
}

func timeoutDefaults() *TimeoutOverrides {
	t := DefaultTimeouts()
	return &TimeoutOverrides{
		ControlPlaneComponentHealthCheck: &metav1.Duration{Duration: t.ControlPlaneComponentHealthCheck},
		KubeletHealthCheck:               &metav1.Duration{Duration: t.KubeletHealthCheck},
		KubernetesAPICall:                &metav1.Duration{Duration: t.KubernetesAPICall},
		EtcdAPICall:                      &metav1.Duration{Duration: t.EtcdAPICall},
		TLSBootstrap:                     &metav1.Duration{Duration: t.TLSBootstrap},
		Discovery:                        &metav1.Duration{Duration: t.Discovery},
		UpgradeManifests:                 &metav1.Duration{Duration: t.UpgradeManifests},
	}
}
