package manifests

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// defaultTokenGroup is the group that kubeadm's bootstrap tokens put their bearer into.
const defaultTokenGroup = "system:bootstrappers:kubeadm:default-node-token"

const rbacAPI = "rbac.authorization.k8s.io/v1" // served since 1.8

// UploadConfigRBAC lets joining nodes read the ConfigMaps of upload-config: a Role and a RoleBinding each for kubeadm-config and (from
// 1.11) for the kubelet's ConfigMap (kubeadm 1.34 phases/uploadconfig, phases/kubelet; facts section 6.3). kubeadm made the first pair
// from 1.12 on; here every version has it, because our join reads that ConfigMap in every version.
func UploadConfigRBAC(c *Cluster) []runtime.Object {
	readers := []rbacv1.Subject{group(defaultTokenGroup), group(nodesGroup)}
	objs := []runtime.Object{
		configMapReader("kubeadm:nodes-kubeadm-config", kubeadmConfigMapName),
		roleBinding(kubeSystem, "kubeadm:nodes-kubeadm-config", readers...),
	}
	if kubelet := KubeletConfigMapOf(c); kubelet != "" {
		name := "kubeadm:" + kubelet
		if kubelet == baseConfigMap {
			name = "kubeadm:kubelet-base-configmap"
		}
		objs = append(objs, configMapReader(name, kubelet), roleBinding(kubeSystem, name, readers...))
	}
	return objs
}

// BootstrapTokenRBAC lets token bearers ask for a certificate and have it approved, and (from 1.18) look for a Node of their name;
// from 1.36.1 it also gives the API server's kubelet client its rights (kubeadm 1.36 phases/bootstraptoken/node; facts section 6.3).
func BootstrapTokenRBAC(c *Cluster) []runtime.Object {
	token, nodes := group(defaultTokenGroup), group(nodesGroup)
	const approve = "system:certificates.k8s.io:certificatesigningrequests:"
	objs := []runtime.Object{
		clusterRoleBinding("kubeadm:kubelet-bootstrap", "system:node-bootstrapper", token),
		clusterRoleBinding("kubeadm:node-autoapprove-bootstrap", approve+"nodeclient", token),
		clusterRoleBinding("kubeadm:node-autoapprove-certificate-rotation", approve+"selfnodeclient", nodes),
	}
	if isSince(c.Version, 18) {
		objs = append(objs,
			clusterRole("kubeadm:get-nodes", rbacv1.PolicyRule{
				Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"nodes"},
			}),
			clusterRoleBinding("kubeadm:get-nodes", "kubeadm:get-nodes", token))
	}
	if c.kubeletClientByBinding() {
		objs = append(objs,
			clusterRoleBinding("kubeadm:apiserver-kubelet-client", "system:kubelet-api-admin", user(kubeletClientCommonName)))
	}
	return objs
}

// ClusterAdminsBinding is kubeadm:cluster-admins, which gives admin.conf its rights from 1.29 on; nil before. It must be made with
// super-admin.conf (kubeadm 1.29 phases/kubeconfig).
func ClusterAdminsBinding(c *Cluster) runtime.Object {
	if !isSince(c.Version, 29) {
		return nil
	}
	return clusterRoleBinding(clusterAdminsGroup, "cluster-admin", group(clusterAdminsGroup))
}

// configMapReader is a Role in kube-system to get one ConfigMap.
func configMapReader(name, configMap string) *rbacv1.Role {
	return role(kubeSystem, name, rbacv1.PolicyRule{
		Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{configMap},
	})
}

func role(namespace, name string, rules ...rbacv1.PolicyRule) *rbacv1.Role {
	return &rbacv1.Role{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacAPI, Kind: "Role"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Rules:      rules,
	}
}

// roleBinding binds the Role of its own name.
func roleBinding(namespace, name string, subjects ...rbacv1.Subject) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacAPI, Kind: "RoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   subjects,
	}
}

func clusterRole(name string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacAPI, Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules:      rules,
	}
}

func clusterRoleBinding(name, roleName string, subjects ...rbacv1.Subject) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacAPI, Kind: "ClusterRoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roleName},
		Subjects:   subjects,
	}
}

// The API server fills a missing apiGroup in; it is written so that a second look finds no difference.
func group(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: name}
}

func user(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}
}

func serviceAccount(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: kubeSystem, Name: name}
}
