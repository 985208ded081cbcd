package manifests

import (
	"strings"
	"testing"
)

// fact is a text that a rendered file of some minors holds, and that of the others does not.
type fact struct {
	file, text string
	in         span
}

// facts are what differs between the minors, and what a cluster cannot do without in any: each was looked up in the source of all minors
// from v1.10 to v1.37 (cmd/kubeadm/app and, for units, build/debs and build/rpms). Where a fact is about one place, the text has its
// surroundings.
var facts = []fact{
	// The kubelet's unit, drop-in, flags and configuration.
	{"kubelet.service", "ExecStart=/usr/bin/kubelet\nRestart=always\nStartLimitInterval=0\nRestartSec=10\n", always},
	{"kubelet.service", "Wants=network-online.target\nAfter=network-online.target\n", since(19)},
	{"kubelet.service", "Documentation=http://kubernetes.io/docs/", until(18)},
	{"10-kubeadm.conf", `"KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"`, always},
	{"10-kubeadm.conf", "ExecStart=\nExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS\n", since(11)},
	{"10-kubeadm.conf", "EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\nEnvironmentFile=-/etc/default/kubelet\n", since(11)},
	{"10-kubeadm.conf", "--config=/var/lib/kubelet/config.yaml", since(11)},
	{"10-kubeadm.conf", "--pod-manifest-path=/etc/kubernetes/manifests --allow-privileged=true", until(10)},
	{"10-kubeadm.conf", "--network-plugin=cni --cni-conf-dir=/etc/cni/net.d --cni-bin-dir=/opt/cni/bin", until(10)},
	{"10-kubeadm.conf", "--cadvisor-port=0", until(10)},
	{"10-kubeadm.conf", "--rotate-certificates=true", until(10)},
	{"20-kubebundle.conf", "--cluster-dns=10.96.0.10 --cluster-domain=cluster.local", until(10)},
	{"20-kubebundle.conf", "--container-runtime=remote --container-runtime-endpoint=/run/containerd/containerd.sock", until(10)},
	{"config.yaml", "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n", since(11)},
	{"config.yaml", "  anonymous:\n    enabled: false\n  webhook:\n    enabled: true\n  x509:\n    clientCAFile: /etc/kubernetes/pki/ca.crt\n", since(11)},
	{"config.yaml", "authorization:\n  mode: Webhook\n", since(11)},
	{"config.yaml", "clusterDNS:\n- 10.96.0.10\nclusterDomain: cluster.local\n", since(11)},
	{"config.yaml", "healthzBindAddress: 127.0.0.1\nhealthzPort: 10248\n", since(11)},
	{"config.yaml", "rotateCertificates: true\nstaticPodPath: /etc/kubernetes/manifests\n", since(11)},
	{"config.yaml", "resolvConf: /run/systemd/resolve/resolv.conf\n", since(19)},
	{"config.yaml", "cgroupDriver: systemd\n", since(22)},
	{"config.yaml", "containerRuntimeEndpoint: unix:///run/containerd/containerd.sock\n", since(34)},
	{"instance-config.yaml", "containerRuntimeEndpoint: unix:///run/containerd/containerd.sock\n", since(34)},
	{"config.yaml", "failCgroupV1", between(1, 1)},
	{"kubelet-config.yaml", "  kubelet: |\n    apiVersion: kubelet.config.k8s.io/v1beta1\n", since(11)},
	{"kubelet-config.yaml", "kubeadm.kubernetes.io/component-config.hash: sha256:", since(19)},
	{"kubelet-config.yaml", "  name: kubelet-config\n", since(24)},
	{"kubelet-config.yaml", "resolvConf", between(1, 1)},

	// Static pods: what all have in common.
	{"kube-scheduler.yaml", "  labels:\n    component: kube-scheduler\n    tier: control-plane\n  name: kube-scheduler\n  namespace: kube-system\n", always},
	{"kube-scheduler.yaml", "scheduler.alpha.kubernetes.io/critical-pod: \"\"", until(13)},
	{"kube-scheduler.yaml", "  priorityClassName: system-cluster-critical\n", between(11, 18)},
	{"kube-scheduler.yaml", "  priorityClassName: system-node-critical\n", since(19)},
	{"kube-scheduler.yaml", "  priority: 2000001000\n", since(25)},
	{"kube-scheduler.yaml", "  securityContext:\n    seccompProfile:\n      type: RuntimeDefault\n", since(22)},
	{"kube-scheduler.yaml", "  hostNetwork: true\n", always},
	{"kube-scheduler.yaml", "        cpu: 100m\n", always},
	{"kube-scheduler.yaml", "      initialDelaySeconds: 15\n      timeoutSeconds: 15\n", until(18)},
	{"kube-scheduler.yaml", "      initialDelaySeconds: 10\n      periodSeconds: 10\n      timeoutSeconds: 15\n", since(19)},
	{"kube-scheduler.yaml", "    startupProbe:\n      failureThreshold: 24\n", since(19)},
	{"kube-scheduler.yaml", "    - containerPort: 10259\n      name: probe-port\n", since(34)},
	{"kube-scheduler.yaml", "      path: /etc/kubernetes/scheduler.conf\n      type: FileOrCreate\n", always},
	{"kube-apiserver.yaml", "        cpu: 250m\n", always},
	{"kube-apiserver.yaml", "kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint: 10.77.0.11:6443\n", since(18)},
	{"kube-apiserver.yaml", "--etcd-servers=https://127.0.0.1:2379\n", always},
	{"kube-apiserver.yaml", "--etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt\n    - --etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt\n" +
		"    - --etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key\n", always},
	{"kube-apiserver.yaml", "    - mountPath: /etc/kubernetes/pki\n      name: k8s-certs\n      readOnly: true\n", always},
	{"kube-apiserver.yaml", "    - mountPath: /etc/ssl/certs\n      name: ca-certs\n      readOnly: true\n", always},
	{"kube-controller-manager.yaml", "        cpu: 200m\n", always},
	{"kube-controller-manager.yaml", "    - mountPath: /usr/libexec/kubernetes/kubelet-plugins/volume/exec\n      name: flexvolume-dir\n", until(35)},
	{"kube-controller-manager.yaml", "--cluster-signing-key-file=/etc/kubernetes/pki/ca.key\n", always},
	{"kube-controller-manager.yaml", "--use-service-account-credentials=true\n", always},
	{"kube-controller-manager.yaml", "--controllers=*,bootstrapsigner,tokencleaner\n", always},
	{"etcd.yaml", "kubeadm.kubernetes.io/etcd.advertise-client-urls: https://10.77.0.11:2379\n", since(18)},
	{"etcd.yaml", "        cpu: 100m\n        memory: 100Mi\n", since(20)},
	{"etcd.yaml", "--snapshot-count=10000\n", since(11)},
	{"etcd.yaml", "--listen-peer-urls=https://127.0.0.1:2380\n", between(11, 12)},
	{"etcd.yaml", "--listen-peer-urls=https://10.77.0.11:2380\n", since(13)},
	{"etcd.yaml", "--client-cert-auth=true\n", always},
	{"etcd.yaml", "--peer-client-cert-auth=true\n", always},
	{"etcd.yaml", "      path: /var/lib/etcd\n      type: DirectoryOrCreate\n", always},

	// Certificates and kubeconfigs.
	{"certificates.txt", `ca: ca signed by "" CN=kubernetes `, always},
	{"certificates.txt", `front-proxy-client: front-proxy-client signed by "front-proxy-ca" CN=front-proxy-client O=[] dns=[] ip=[] usages=[clientAuth]`, always},
	{"certificates.txt", `etcd-server: etcd/server signed by "etcd-ca" CN=kube-etcd O=[] dns=["localhost"] ip=[127.0.0.1] usages=[serverAuth]`, until(10)},
	{"certificates.txt", `etcd-server: etcd/server signed by "etcd-ca" CN=cp1 O=[] dns=["cp1" "localhost"] ip=[10.77.0.11 127.0.0.1 ::1] usages=[serverAuth clientAuth]`, since(13)},
	{"certificates.txt", `etcd-peer: etcd/peer signed by "etcd-ca" CN=kube-etcd-peer O=[] dns=["cp1"] ip=[10.77.0.11] usages=[serverAuth clientAuth]`, until(10)},
	{"certificates.txt", `CN=kube-etcd-healthcheck-client O=["system:masters"] dns=[] ip=[] usages=[clientAuth]`, until(28)},
	{"certificates.txt", `CN=kube-apiserver-etcd-client O=["system:masters"] dns=[] ip=[] usages=[clientAuth]`, until(28)},
	{"kubeconfigs.txt", `admin: /etc/kubernetes/admin.conf CN=kubernetes-admin O=["system:masters"]`, until(28)},
	{"kubeconfigs.txt", `admin: /etc/kubernetes/admin.conf CN=kubernetes-admin O=["kubeadm:cluster-admins"]`, since(29)},
	{"kubeconfigs.txt", `super-admin: /etc/kubernetes/super-admin.conf CN=kubernetes-super-admin O=["system:masters"]`, since(29)},
	{"kubeconfigs.txt", `kubelet: /etc/kubernetes/kubelet.conf CN=system:node:cp1 O=["system:nodes"]`, always},
	{"kubeconfigs.txt", `controller-manager: /etc/kubernetes/controller-manager.conf CN=system:kube-controller-manager O=[]`, always},
	{"kubeconfigs.txt", `scheduler: /etc/kubernetes/scheduler.conf CN=system:kube-scheduler O=[]`, always},
	{"admin.conf", "current-context: kubernetes-admin@kubernetes\n", always},
	{"bootstrap-kubelet.conf", "- name: tls-bootstrap-token-user\n  user:\n    token: ", always},
	{"kubelet.conf", "client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem\n", always},

	// What init keeps in the cluster.
	{"cluster-info.yaml", "  name: cluster-info\n  namespace: kube-public\n", always},
	{"cluster-info.yaml", "      name: \"\"\n", always},
	{"cluster-info.yaml", "- apiGroup: rbac.authorization.k8s.io\n  kind: User\n  name: system:anonymous\n", always},
	{"rbac.yaml", "  name: kubeadm:node-autoapprove-certificate-rotation\n", always},
	{"rbac.yaml", "  name: system:certificates.k8s.io:certificatesigningrequests:selfnodeclient\n", always},
	{"rbac.yaml", "  name: system:certificates.k8s.io:certificatesigningrequests:nodeclient\n", always},
	{"rbac.yaml", "  name: kubeadm:kubelet-config-1.", between(11, 23)},
	{"rbac.yaml", "  name: kubeadm:cluster-admins\nroleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: ClusterRole\n  name: cluster-admin\n", since(29)},
	{"kubeadm-config.yaml", "  MasterConfiguration: |\n", until(11)},
	{"kubeadm-config.yaml", "  ClusterConfiguration: |\n", since(12)},
	{"kubeadm-config.yaml", "  ClusterStatus: |\n", between(12, 21)},
	{"kubeadm-config.yaml", "token", between(1, 1)},

	// CoreDNS and kube-dns.
	{"coredns.yaml", "  clusterIP: 10.96.0.10\n", always},
	{"coredns.yaml", "    kubernetes.io/name: KubeDNS\n", until(20)},
	{"coredns.yaml", "    kubernetes.io/name: CoreDNS\n", since(21)},
	{"coredns.yaml", "  - name: metrics\n    port: 9153\n", since(14)},
	{"coredns.yaml", "        - containerPort: 9153\n", since(11)},
	{"coredns.yaml", "  replicas: 2\n", always},
	{"coredns.yaml", "  strategy:\n    rollingUpdate:\n      maxUnavailable: 1\n", always},
	{"coredns.yaml", "      priorityClassName: system-cluster-critical\n", since(14)},
	{"coredns.yaml", "        beta.kubernetes.io/os: linux\n", between(14, 17)},
	{"coredns.yaml", "        kubernetes.io/os: linux\n", since(18)},
	{"coredns.yaml", "        key: node-role.kubernetes.io/master\n", until(25)},
	{"coredns.yaml", "        key: node-role.kubernetes.io/control-plane\n", since(20)},
	{"coredns.yaml", "      - key: CriticalAddonsOnly\n        operator: Exists\n", always},
	{"coredns.yaml", "        podAntiAffinity:\n", since(25)},
	{"coredns.yaml", "  resources:\n  - nodes\n  verbs:\n  - get\n", between(13, 27)},
	{"coredns.yaml", "  - discovery.k8s.io\n  resources:\n  - endpointslices\n  verbs:\n  - list\n  - watch\n", since(22)},
	{"coredns.yaml", "            add:\n            - NET_BIND_SERVICE\n            drop:\n            - all\n", between(11, 28)},
	{"coredns.yaml", "            add:\n            - NET_BIND_SERVICE\n            drop:\n            - ALL\n", since(29)},
	{"coredns.yaml", "          readOnlyRootFilesystem: true\n", since(11)},
	{"coredns.yaml", "            memory: 170Mi\n          requests:\n            cpu: 100m\n            memory: 70Mi\n", always},
	{"coredns.yaml", "      dnsPolicy: Default\n", always},
	{"coredns.yaml", "      - emptyDir: {}\n        name: tmp\n", between(14, 15)},
	{"coredns.yaml", "            path: /health\n            port: liveness-probe\n", since(34)},
	{"kube-dns.yaml", "          value: \"10055\"\n", until(20)},
	{"kube-dns.yaml", "            path: /healthcheck/kubedns\n            port: 10054\n", until(20)},
	{"kube-dns.yaml", "        - --server=/cluster.local/127.0.0.1#10053\n", until(20)},
	{"kube-dns.yaml", "        - --probe=kubedns,127.0.0.1:10053,kubernetes.default.svc.cluster.local,5,SRV\n", until(20)},
	{"kube-dns.yaml", "        beta.kubernetes.io/arch: amd64\n", until(11)},
	{"kube-dns.yaml", "      maxSurge: 10%\n      maxUnavailable: 0\n", until(20)},

	// kube-proxy.
	{"kube-proxy.yaml", "  name: kubeadm:node-proxier\n", always},
	{"kube-proxy.yaml", "kind: Role\nmetadata:\n  name: kube-proxy\n", since(12)},
	{"kube-proxy.yaml", "        - /usr/local/bin/kube-proxy\n        - --config=/var/lib/kube-proxy/config.conf\n", always},
	{"kube-proxy.yaml", "        - --hostname-override=$(NODE_NAME)\n", since(13)},
	{"kube-proxy.yaml", "          privileged: true\n", always},
	{"kube-proxy.yaml", "      hostNetwork: true\n", always},
	{"kube-proxy.yaml", "      priorityClassName: system-node-critical\n", since(11)},
	{"kube-proxy.yaml", "        scheduler.alpha.kubernetes.io/critical-pod: \"\"\n", between(11, 13)},
	{"kube-proxy.yaml", "      - operator: Exists\n", since(11)},
	{"kube-proxy.yaml", "      - key: CriticalAddonsOnly\n        operator: Exists\n", between(11, 21)},
	{"kube-proxy.yaml", "        key: node.cloudprovider.kubernetes.io/uninitialized\n", until(10)},
	{"kube-proxy.yaml", "        beta.kubernetes.io/arch: amd64\n", between(11, 11)},
	{"kube-proxy.yaml", "        beta.kubernetes.io/os: linux\n", between(15, 17)},
	{"kube-proxy.yaml", "        kubernetes.io/os: linux\n", since(18)},
	{"kube-proxy.yaml", "          path: /run/xtables.lock\n          type: FileOrCreate\n", always},
	{"kube-proxy.yaml", "    clusterCIDR: 10.244.0.0/16\n", always},
	{"kube-proxy.yaml", "    bindAddress: 0.0.0.0\n", always},
	{"kube-proxy.yaml", "    mode: iptables\n", since(37)},
	{"kube-proxy.yaml", "  labels:\n    app: kube-proxy\n", always},
	{"kube-proxy.yaml", "kubeadm.kubernetes.io/component-config.hash: sha256:", since(19)},
}

// TestFacts holds every minor against every fact.
func TestFacts(t *testing.T) {
	for _, v := range everyMinor() {
		c := at(t, v)
		files := renderAll(t, c, controlPlane())
		for _, f := range facts {
			if got := strings.Contains(string(files[f.file]), f.text); got != f.in.has(minorOf(c.Version)) {
				t.Errorf("v%s: %s has %q: %v, want %v", v, f.file, f.text, got, !got)
			}
		}
	}
}
