package manifests

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// FuzzParseKubeadmConfigMap: whatever a cluster answers, the result is an error or a Cluster that can be stored and read again.
func FuzzParseKubeadmConfigMap(f *testing.F) {
	for _, r := range releases {
		cm, err := KubeadmConfigMap(r.cluster(), controlPlane())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(cm.Data[clusterConfigKey]+cm.Data[masterConfigKey], cm.Data[clusterStatusKey])
	}
	f.Add("apiVersion: kubeadm.k8s.io/v1beta4\nscheduler:\n  extraArgs: [{name: a}, null]\n", "apiEndpoints: null")
	f.Fuzz(func(t *testing.T, config, status string) {
		cm := &corev1.ConfigMap{Data: map[string]string{clusterConfigKey: config, clusterStatusKey: status}}
		fallback := releases[len(releases)-1].cluster().Version
		c, err := ParseKubeadmConfigMap(fallback, cm)
		if err != nil {
			return
		}
		if c.Version == nil || c.Name == "" || c.CertificatesDir == "" || c.ServiceSubnet == "" || c.DNSDomain == "" {
			t.Fatalf("read without its defaults: %+v", c)
		}
		again, err := KubeadmConfigMap(c, controlPlane())
		if err != nil {
			t.Fatalf("read, but cannot be stored: %v", err)
		}
		if _, err := ParseKubeadmConfigMap(fallback, again); err != nil {
			t.Fatalf("stored, but cannot be read: %v", err)
		}
	})
}

// FuzzKubeletFilesFromConfigMap: a joining node writes valid files or none.
func FuzzKubeletFilesFromConfigMap(f *testing.F) {
	for _, r := range releases {
		cm, err := KubeletConfigMap(r.cluster())
		if err != nil {
			f.Fatal(err)
		}
		if cm != nil {
			f.Add(cm.Data[kubeletConfigKey])
		}
	}
	f.Fuzz(func(t *testing.T, doc string) {
		c := releases[len(releases)-1].cluster()
		cm := &corev1.ConfigMap{Data: map[string]string{kubeletConfigKey: doc}}
		files, err := KubeletFilesFromConfigMap(c, controlPlane(), cm)
		if err != nil {
			return
		}
		cm.Data[kubeletConfigKey] = string(files[len(files)-1].Data)
		if _, err := KubeletFilesFromConfigMap(c, controlPlane(), cm); err != nil {
			t.Fatalf("config.yaml cannot be read again: %v\n%s", err, cm.Data[kubeletConfigKey])
		}
	})
}
