package main

// kubeadmRow says what became of a command of kubeadm, or of one of its flags, that is not simply here under the same name. The first row
// that fits counts. A "*" at the end of a command stands for all that follow, as a flag for all flags; "" is the command itself.
type kubeadmRow struct {
	command, flag string
	here          string // our command that does it; "" where it is missing
	why           string
}

// kubeadmRows: TestKubeadmPage says which are lacking and which are not needed any more.
func kubeadmRows() []kubeadmRow {
	return []kubeadmRow{
		{"*", "allow-missing-template-keys", "", "there are no Go templates: -o is text or json"},
		{"*", "show-managed-fields", "", "belongs to the template printer"},
		{"", "rootfs", "init", "kubeadm changes its root directory into that of a running host; here --rootfs of init and join prepares an image that does not run ([rootfs.md](rootfs.md))"},
		{"", "vmodule", "", "-v 2 tells everything"},

		{"config images", "", "images", ""},
		{"config images list", "", "images list", "the bundle's images; there is no other list, and nothing depends on a configuration"},
		{"config images list", "*", "", "see the command"},
		{"config images pull", "", "images load", "from the bundle into the runtime; nothing is pulled"},
		{"config images pull", "cri-socket", "images load", ""},
		{"config images pull", "*", "", "see the command"},
		{"config", "kubeconfig", "", "no command of config asks a cluster"},
		{"config migrate", "allow-experimental-api", "", "every version that a kubeadm wrote is read"},
		{"config validate", "allow-experimental-api", "", "every version that a kubeadm wrote is read"},
		{"config validate", "allow-deprecated-api", "", "every version that a kubeadm wrote is read"},

		{"certs check-expiration", "config", "", "--cert-dir is all that it needs"},
		{"certs check-expiration", "kubeconfig", "", "it reads the files of the host and asks nobody"},
		{"certs renew*", "config", "", "a renewal keeps what the certificates say; --cert-dir says where they are"},
		{"certs renew*", "kubeconfig", "", "it needs no API server"},

		{"kubeconfig user", "config", "", "admin.conf on this host says where the cluster is, --cert-dir where its CA is"},

		{"init phase addon*", "print-manifest", "render", "install render coredns kube-proxy"},
		{"init phase*", "kubeconfig", "", "a phase uses the node's own: super-admin.conf, else admin.conf"},
		{"init phase kubeconfig*", "kubeconfig-dir", "", "files go to /etc/kubernetes, where everything looks for them; another user's kubeconfig is a copy"},
		{"reset phase*", "kubeconfig", "", "reset of a control plane asks etcd itself, so it works without an API server"},
		{"reset", "kubeconfig", "", "reset of a control plane asks etcd itself, so it works without an API server"},
		{"join phase control-plane-join etcd", "", "join phase etcd-join", "the only name in kubeadm too from v1.35 on"},

		{"token", "dry-run", "token create", "only a creation has a dry run"},

		{"upgrade*", "allow-experimental-upgrades", "", "which version it may be was decided when the bundle was built"},
		{"upgrade*", "allow-release-candidate-upgrades", "", "which version it may be was decided when the bundle was built"},
		{"upgrade apply phase*", "*", "", "see the command"},
		{"upgrade node phase*", "*", "", "see the command"},
		{"upgrade*", "print-config", "", "kubectl -n kube-system get configmap kubeadm-config -o yaml"},
		{"upgrade apply phase*", "", "", "an upgrade that fails goes back as a whole, so it is run as a whole; --skip-phases leaves parts out, and a second run goes on where the first ended"},
		{"upgrade node phase*", "", "", "an upgrade that fails goes back as a whole, so it is run as a whole; --skip-phases leaves parts out, and a second run goes on where the first ended"},
	}
}

// gone are commands and flags of older kubeadms that v1.34 and later do not have, with what does their work here. Seen: the reference
// pages of v1.10 and v1.11, and the sources of v1.17.17, v1.20.15, v1.22.17, v1.25.16, v1.28.15 and v1.31.14.
func gone() []goneRow {
	return []goneRow{
		{"init, join, reset, upgrade: --skip-preflight-checks", "v1.10", "--ignore-preflight-errors all"},
		{"join, upgrade: --feature-gates", "v1.10 …", "the cluster's own gates count; upgrade keeps them"},
		{"join: --experimental-control-plane", "v1.12 … v1.14", "--control-plane"},
		{"init: --experimental-upload-certs", "v1.14", "--upload-certs"},
		{"init, join, upgrade: --experimental-kustomize", "… v1.17", "--patches; there is no kustomize"},
		{"init, join, upgrade: --experimental-patches", "v1.20 … v1.22", "--patches"},
		{"init phase certs: --csr-only, --csr-dir", "v1.17 … v1.22", "`certs generate-csr`"},
		{"certs renew: --use-api, --csr-only", "v1.17 … v1.22", "`certs generate-csr`; the cluster's signers sign no control plane certificates any more"},
		{"--experimental-output", "v1.17 … v1.31", "-o json"},
		{"upgrade apply: --image-pull-timeout", "v1.10 … v1.20", "nothing is pulled"},
		{"upgrade node: --kubelet-version", "… v1.17", "the bundle's version"},
		{"upgrade diff: --api-server-manifest, --controller-manager-manifest, --scheduler-manifest", "… v1.31", "manifests are always in /etc/kubernetes/manifests"},
		{"alpha phase NAME", "v1.10 … v1.12", "`phase NAME`, the same as `init phase NAME`; the old names are understood; `render` shows the result"},
		{"alpha phase selfhosting convert-from-staticpods, alpha selfhosting pivot", "v1.10 … v1.20", "`phase selfhosting convert-from-staticpods`, for v1.10 to v1.12 ([selfhosting.md](selfhosting.md)); missing for later versions, which refuse it with the reason: a control plane that hosts itself does not come back after all its nodes were off"},
		{"alpha phase kubelet config enable-dynamic, alpha kubelet config enable-dynamic", "v1.11 … v1.17", "`init` with the gate DynamicKubeletConfig, v1.10 to v1.12; missing as a command: v1.24 took it out of the kubelet"},
		{"alpha certs NAME", "v1.15 … v1.20", "`certs NAME`"},
		{"alpha kubeconfig user", "v1.13 … v1.20", "`kubeconfig user`"},
		{"config upload from-file, from-flags", "v1.10 … v1.17", "`init phase upload-config`"},
		{"config view", "v1.10 … v1.20", "kubectl -n kube-system get configmap kubeadm-config -o yaml"},
		{"init phase kubelet-finalize experimental-cert-rotation", "v1.20 … v1.31", "the same name, and enable-client-cert-rotation"},
	}
}

type goneRow struct{ what, seen, here string }

// oldGates are kubeadm's own gates, oldest first, and what happens to them.
func oldGates() [][2]string {
	return [][2]string{
		{"CoreDNS", "accepted: must agree with the DNS that the bundle holds (`bundler build --dns`)"},
		{"Auditing", "followed: audit flags and volumes of the API server, as `auditPolicy` says; without a path kubeadm's own policy is written to /etc/kubernetes/audit/audit.yaml"},
		{"DynamicKubeletConfig", "followed: ConfigMap kubelet-base-config-1.9 (v1.10) or kubelet-config-1.N, the Node's configSource, and the flags that kubeadm v1.10 left to the user. A node that joins prints the command for its configSource, which it may not set itself"},
		{"HighAvailability", "followed: the API server's endpoint reconciler is lease; as a flag it also switches on the two below, as in kubeadm"},
		{"SelfHosting", "followed: the phase selfhosting runs at the end of init ([selfhosting.md](selfhosting.md))"},
		{"StoreCertsInSecrets", "followed, with the etcd client's certificate, without which kubeadm's could not start"},
		{"IPv6DualStack (v1.16 … v1.23)", "followed: handed on to the control plane, the kubelets and kube-proxy"},
		{"PublicKeysECDSA (v1.18 … v1.36)", "followed: keys are ECDSA P-256, like encryptionAlgorithm: ECDSA-P256 of v1beta4; it outdoes that field, as in kubeadm"},
		{"RootlessControlPlane (v1.22 …)", "refused: alpha to this day; the pods of the control plane run as root"},
		{"UnversionedKubeletConfigMap (v1.23 … v1.25)", "followed: kubelet-config or kubelet-config-1.N"},
		{"EtcdLearnerMode (v1.27 … v1.32)", "accepted: a member joins as a learner wherever etcd has them, from v1.22 on"},
		{"UpgradeAddonsBeforeControlPlane (v1.28 … v1.30)", "accepted: add-ons follow the control plane that is upgraded"},
		{"WaitForAllControlPlaneComponents (v1.30 … v1.34)", "accepted: every component is waited for in every version"},
		{"ControlPlaneKubeletLocalMode (v1.31 … v1.35), NodeLocalCRISocket (v1.32 … v1.36)", "followed"},
	}
}
