package release

// The components of a virtual IP for the control plane. They are no images of Kubernetes: a bundle has them when it was built with --vip.
const (
	Keepalived = "keepalived"
	HAProxy    = "haproxy"
)

// VirtualIPImages are what a bundle takes unless it is told otherwise: the images of the example in Kubernetes' own advice (kubeadm
// docs/ha-considerations.md, "keepalived and haproxy"), at fixed versions.
func VirtualIPImages() map[string]string {
	return map[string]string{
		Keepalived: "docker.io/osixia/keepalived:2.0.20",
		HAProxy:    "docker.io/library/haproxy:2.8.9",
	}
}
