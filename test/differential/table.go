package differential

// Table lists the differences that stay, each with its reason.
func Table() []Row {
	const certificates = "file /etc/kubernetes/*"
	return []Row{
		{
			Artefact: certificates, Path: "*not after*", Kubeadm: "8760h0m0s", Ours: "8759h55m0s",
			Why: "a certificate begins five minutes before it is made (clocks differ) and lives as long as was asked for, counted from there; kubeadm adds the five minutes",
		},
		{
			Artefact: certificates, Path: "*not after*", Kubeadm: "87600h0m0s", Ours: "87599h55m0s",
			Why: "see above; a CA lives ten years",
		},
		{
			Artefact: certificates, Path: "*not after*", Kubeadm: "2160h0m0s", Ours: "2159h55m0s", From: 31,
			Why: "see above; with certificateValidityPeriod: 2160h",
		},
		{
			Artefact: certificates, Path: "*not after*", Kubeadm: "17520h0m0s", Ours: "17519h55m0s", From: 31,
			Why: "see above; with caCertificateValidityPeriod: 17520h",
		},
		{
			Artefact: certificates, Path: "*subject key id*", Kubeadm: "false", Ours: "true",
			Why: "RFC 5280 4.2.1.2 recommends the identifier in end entity certificates too",
		},
		{
			Artefact: "file /var/lib/kubelet/kubeadm-flags.env", Path: "KUBELET_KUBEADM_ARGS[--node-ip]", Ours: "*",
			Why: "on a host without a default route the kubelet finds no address of its own, and the node gets no InternalIP",
		},
		{
			Artefact: "ConfigMap kube-system/kubelet-config", Path: "data.kubelet.resolvConf", Kubeadm: `"/run/systemd/resolve/resolv.conf"`, To: 36,
			Why: "where resolv.conf is depends on the host: each node's config.yaml says it, not the configuration of all nodes; kubeadm does so since v1.37",
		},
		{
			Artefact: "ConfigMap kube-system/kubeadm-config", Path: "data.ClusterConfiguration.apiServer.extraArgs.authorization-mode", Kubeadm: `"Node,RBAC"`, To: 29,
			Why: "kubeadm wrote its own default among the user's arguments; every version's kubeadm adds the same one when it renders, and since v1.30 it is not stored",
		},
		{
			Scenario: "options/join*", Artefact: "file /etc/kubernetes/*kubelet.conf", Path: "contexts[tls-bootstrap-token-user@kubernetes]", Kubeadm: "*",
			Why: "a context's name is a label: kubeadm's always says kubernetes, ours the cluster's name",
		},
		{
			Scenario: "options/join*", Artefact: "file /etc/kubernetes/*kubelet.conf", Path: "contexts[tls-bootstrap-token-user@prod]", Ours: "*",
			Why: "see above",
		},
		{
			Scenario: "options/join*", Artefact: "file /etc/kubernetes/*kubelet.conf", Path: "current-context", Kubeadm: "*@kubernetes", Ours: "*@prod",
			Why: "see above",
		},
	}
}
