package manifests

import (
	"encoding/base64"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// ClusterInfo is kube-public/cluster-info with its Role and RoleBinding: a kubeconfig without user that anybody may read, and that
// the controller manager signs with every bootstrap token (kubeadm 1.34 phases/bootstraptoken/clusterinfo; facts section 6.2).
// server is https://host:port as joining nodes shall use it.
func ClusterInfo(_ *Cluster, server string, caPEM []byte) ([]runtime.Object, error) {
	if server == "" || len(caPEM) == 0 {
		return nil, errors.New("render cluster-info: the server address or the CA is missing")
	}
	kubeconfig, err := encodeMap(map[string]any{
		"apiVersion": "v1",
		"kind":       "Config",
		"clusters": []any{map[string]any{
			"name": "",
			"cluster": map[string]any{
				"certificate-authority-data": base64.StdEncoding.EncodeToString(caPEM),
				"server":                     server,
			},
		}},
	})
	if err != nil {
		return nil, fmt.Errorf("render cluster-info: %w", err)
	}
	const name = "kubeadm:bootstrap-signer-clusterinfo"
	return []runtime.Object{
		configMap(metav1.NamespacePublic, "cluster-info", map[string]string{"kubeconfig": string(kubeconfig)}),
		role(metav1.NamespacePublic, name, rbacv1.PolicyRule{
			Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{"cluster-info"},
		}),
		roleBinding(metav1.NamespacePublic, name, user("system:anonymous")),
	}, nil
}

func configMap(namespace, name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Data:       data,
	}
}
