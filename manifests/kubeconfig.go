package manifests

import (
	"encoding/base64"
	"fmt"
	"path"
)

const (
	defaultClusterName = "kubernetes"
	bootstrapUser      = "tls-bootstrap-token-user"
	kubeletPKIDir      = "/var/lib/kubelet/pki"
	kubeletClientPEM   = "kubelet-client-current.pem"
	nodesGroup         = "system:nodes"
	nodeUserPrefix     = "system:node:"
)

// Kubeconfigs lists the kubeconfigs that init writes (kubeadm 1.34 phases/kubeconfig; facts section 5).
//
// The controller manager and the scheduler talk to their own node's API server from 1.19 on, so that they never meet an older one
// during an upgrade; the kubelet of a control plane node does with ControlPlaneKubeletLocalMode (default from 1.33). super-admin.conf
// exists from 1.29, when admin.conf lost system:masters.
func Kubeconfigs(c *Cluster, n *Node) []KubeconfigSpec {
	shared, local := clusterServer(c, n), n.localServer()
	component := pick(c.Version, []row[string]{{until(18), shared}, {since(19), local}})
	kubelet := shared
	if c.enabled(kubeletLocalMode) {
		kubelet = local
	}
	adminGroup := pick(c.Version, []row[string]{{until(28), mastersGroup}, {since(29), clusterAdminsGroup}})

	specs := []KubeconfigSpec{{
		Name: "admin", Path: path.Join(kubernetesDir, "admin.conf"),
		CommonName: "kubernetes-admin", Organization: []string{adminGroup}, Server: shared,
	}}
	if isSince(c.Version, 29) {
		specs = append(specs, KubeconfigSpec{
			Name: "super-admin", Path: path.Join(kubernetesDir, "super-admin.conf"),
			CommonName: "kubernetes-super-admin", Organization: []string{mastersGroup}, Server: shared,
		})
	}
	return append(specs,
		KubeconfigSpec{
			Name: "kubelet", Path: path.Join(kubernetesDir, "kubelet.conf"),
			CommonName: nodeUserPrefix + n.Name, Organization: []string{nodesGroup}, Server: kubelet,
		},
		KubeconfigSpec{
			Name: "controller-manager", Path: path.Join(kubernetesDir, controllerManagerConf),
			CommonName: "system:kube-controller-manager", Server: component,
		},
		KubeconfigSpec{
			Name: "scheduler", Path: path.Join(kubernetesDir, schedulerConf),
			CommonName: "system:kube-scheduler", Server: component,
		})
}

// Kubeconfig encodes a kubeconfig with an embedded client certificate.
func Kubeconfig(c *Cluster, k KubeconfigSpec, caPEM, certPEM, keyPEM []byte) ([]byte, error) {
	data, err := encodeKubeconfig(c, k.Server, caPEM, k.CommonName, map[string]any{
		"client-certificate-data": base64.StdEncoding.EncodeToString(certPEM),
		"client-key-data":         base64.StdEncoding.EncodeToString(keyPEM),
	})
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", path.Base(k.Path), err)
	}
	return data, nil
}

// TokenKubeconfig encodes a kubeconfig whose user is known by a token.
func TokenKubeconfig(c *Cluster, k KubeconfigSpec, caPEM []byte, token string) ([]byte, error) {
	data, err := encodeKubeconfig(c, k.Server, caPEM, k.CommonName, map[string]any{"token": token})
	if err != nil {
		return nil, fmt.Errorf("render the kubeconfig of %s: %w", k.CommonName, err)
	}
	return data, nil
}

// BootstrapKubeconfig encodes bootstrap-kubelet.conf: token instead of certificate. server is the address given to join
// (https://host:port).
func BootstrapKubeconfig(c *Cluster, server string, caPEM []byte, token string) ([]byte, error) {
	data, err := encodeKubeconfig(c, server, caPEM, bootstrapUser, map[string]any{"token": token})
	if err != nil {
		return nil, fmt.Errorf("render bootstrap-kubelet.conf: %w", err)
	}
	return data, nil
}

// RotatedKubeletKubeconfig is kubelet.conf after kubelet-finalize: it points to the rotating certificate file, which follows the user's
// --cert-dir (kubeadm 1.18+ kubelet-finalize). server is https://host:port.
func RotatedKubeletKubeconfig(c *Cluster, n *Node, server string, caPEM []byte) ([]byte, error) {
	dir := kubeletPKIDir
	if given, ok := argValue(n.KubeletExtraArgs, "cert-dir"); ok {
		dir = given
	}
	pem := path.Join(dir, kubeletClientPEM)
	data, err := encodeKubeconfig(c, server, caPEM, nodeUserPrefix+n.Name, map[string]any{
		"client-certificate": pem,
		"client-key":         pem,
	})
	if err != nil {
		return nil, fmt.Errorf("render kubelet.conf: %w", err)
	}
	return data, nil
}

// encodeKubeconfig writes the one shape of all our kubeconfigs: one cluster, one user, one context USER@CLUSTER. It is a generic map
// because the type lives in client-go, which belongs to another package.
func encodeKubeconfig(c *Cluster, server string, caPEM []byte, user string, credentials map[string]any) ([]byte, error) {
	cluster := c.Name
	if cluster == "" {
		cluster = defaultClusterName
	}
	context := user + "@" + cluster
	return encodeMap(map[string]any{
		"apiVersion": "v1",
		"kind":       "Config",
		"clusters": []any{map[string]any{
			"name": cluster,
			"cluster": map[string]any{
				"certificate-authority-data": base64.StdEncoding.EncodeToString(caPEM),
				"server":                     server,
			},
		}},
		"contexts": []any{map[string]any{
			"name":    context,
			"context": map[string]any{"cluster": cluster, "user": user},
		}},
		"current-context": context,
		"users":           []any{map[string]any{"name": user, "user": credentials}},
	})
}
