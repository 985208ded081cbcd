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
		{"config print reset-defaults", "", "", "reset has few settings, and --help names them"},
		{"config print upgrade-defaults", "", "", "upgrade takes flags"},

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
		{"upgrade*", "config", "", "flags say all that an UpgradeConfiguration says; the cluster's own configuration is in the cluster"},
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
		{"alpha phase NAME", "v1.10 … v1.12", "`init phase NAME` (mark-master is mark-control-plane, controlplane is control-plane); `render` shows the result"},
		{"alpha phase selfhosting convert-from-staticpods, alpha selfhosting pivot", "v1.10 … v1.20", "missing: a control plane that hosts itself cannot start again after all its nodes were off, and kubeadm gave it up; `init` and `render` refuse the gate SelfHosting by name"},
		{"alpha phase kubelet config enable-dynamic, alpha kubelet config enable-dynamic", "v1.11 … v1.17", "missing: v1.24 took it out of the kubelet; the kubelet's configuration is a file here"},
		{"alpha certs NAME", "v1.15 … v1.20", "`certs NAME`"},
		{"alpha kubeconfig user", "v1.13 … v1.20", "`kubeconfig user`"},
		{"config upload from-file, from-flags", "v1.10 … v1.17", "`init phase upload-config`"},
		{"config view", "v1.10 … v1.20", "kubectl -n kube-system get configmap kubeadm-config -o yaml"},
		{"init phase kubelet-finalize experimental-cert-rotation", "v1.20 … v1.31", "the same name, and enable-client-cert-rotation"},
	}
}

type goneRow struct{ what, seen, here string }

// oldGates are kubeadm's own gates of v1.10 to v1.12, and what happens to them.
func oldGates() [][2]string {
	return [][2]string{
		{"CoreDNS", "accepted: must agree with the DNS that the bundle holds (`bundler build --dns`)"},
		{"Auditing", "refused: give the API server its audit flags in apiServerExtraArgs (apiServer.extraArgs); `auditPolicy` in the file is refused with its line"},
		{"DynamicKubeletConfig", "refused as kubeadm's gate: the kubelet's configuration is a file; a KubeletConfiguration may still name the kubelet's gate where its version knows it"},
		{"HighAvailability", "refused: alpha of v1.9 and v1.10; further control planes join with --control-plane from v1.13 on"},
		{"SelfHosting", "refused: see above"},
		{"StoreCertsInSecrets", "refused: it belonged to self-hosting"},
	}
}
