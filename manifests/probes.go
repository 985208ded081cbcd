package manifests

import (
	"math"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// health is where a component answers, and what kubeadm asks of it. An empty path means no such probe.
type health struct {
	scheme                       corev1.URIScheme
	liveness, readiness, startup string
}

// The probes by version (kubeadm 1.10 … 1.37, phases/controlplane and phases/etcd; facts section 4.1, corrected from the trees).
var (
	apiServerHealth = []row[health]{
		{until(18), health{scheme: corev1.URISchemeHTTPS, liveness: "/healthz"}},
		{since(19), health{corev1.URISchemeHTTPS, "/livez", "/readyz", "/livez"}},
	}
	controllerManagerHealth = []row[health]{
		{until(15), health{scheme: corev1.URISchemeHTTP, liveness: "/healthz"}},
		{between(16, 18), health{scheme: corev1.URISchemeHTTPS, liveness: "/healthz"}},
		{since(19), health{corev1.URISchemeHTTPS, "/healthz", "", "/healthz"}},
	}
	schedulerHealth = []row[health]{
		{until(15), health{scheme: corev1.URISchemeHTTP, liveness: "/healthz"}},
		{between(16, 18), health{scheme: corev1.URISchemeHTTPS, liveness: "/healthz"}},
		{between(19, 31), health{corev1.URISchemeHTTPS, "/healthz", "", "/healthz"}},
		{since(32), health{corev1.URISchemeHTTPS, "/livez", "/readyz", "/livez"}},
	}
	// Up to 1.15 etcd is asked with etcdctl: see etcdctlProbe.
	etcdHealth = []row[health]{
		{between(16, 18), health{scheme: corev1.URISchemeHTTP, liveness: "/health"}},
		{between(19, 24), health{corev1.URISchemeHTTP, "/health", "", "/health"}},
		{between(25, 30), health{corev1.URISchemeHTTP, "/health?exclude=NOSPACE&serializable=true", "", "/health?serializable=false"}},
		{since(31), health{corev1.URISchemeHTTP, "/livez", "/readyz", "/readyz"}},
	}
)

// probePortName names the container port of the probes from 1.34 on.
const probePortName = "probe-port"

// defaultHealthCheckTimeout is kubeadm's controlPlaneComponentHealthCheck (1.31+) and timeoutForControlPlane (before).
const defaultHealthCheckTimeout = 4 * time.Minute

// addProbes gives a container the probes of its version.
func (c *Cluster) addProbes(container *corev1.Container, s staticPod) {
	if s.health.liveness == "" {
		return
	}
	port := intstr.FromInt(s.probePort)
	if isSince(c.Version, 34) {
		port = intstr.FromString(probePortName)
		container.Ports = []corev1.ContainerPort{{
			Name:          probePortName,
			ContainerPort: int32(s.probePort),
			Protocol:      corev1.ProtocolTCP,
		}}
	}
	get := func(path string, t timing) *corev1.Probe {
		if path == "" {
			return nil
		}
		return &corev1.Probe{
			ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
				Host: s.probeHost, Path: path, Port: port, Scheme: s.health.scheme,
			}},
			InitialDelaySeconds: t.delay,
			TimeoutSeconds:      t.timeout,
			FailureThreshold:    t.failures,
			PeriodSeconds:       t.period,
		}
	}
	container.LivenessProbe = get(s.health.liveness, pick(c.Version, livenessTimings))
	container.ReadinessProbe = get(s.health.readiness, timing{delay: 0, timeout: 15, failures: 3, period: 1})
	container.StartupProbe = get(s.health.startup, c.startupTiming())
}

// timing is in seconds, except failures, which counts periods. A zero period leaves Kubernetes' default of 10 s.
type timing struct{ delay, timeout, failures, period int32 }

// livenessTimings: 1.19 split starting from living, and so could look sooner (kubeadm 1.18, 1.19 util/staticpod).
var livenessTimings = []row[timing]{
	{until(18), timing{delay: 15, timeout: 15, failures: 8}},
	{since(19), timing{delay: 10, timeout: 15, failures: 8, period: 10}},
}

// startupTiming allows as many periods as fit in the time that a component may take to start.
func (c *Cluster) startupTiming() timing {
	const period = 10
	allowed := c.HealthCheckTimeout
	if allowed <= 0 {
		allowed = defaultHealthCheckTimeout
	}
	return timing{
		delay: period, timeout: 15, period: period,
		failures: int32(math.Ceil(allowed.Seconds() / period)),
	}
}

// probeHost is where to ask a component that listens on addr: on a wildcard address the kubelet asks the pod's own.
func probeHost(addr string) string {
	if addr == "0.0.0.0" || addr == "::" {
		return ""
	}
	return addr
}
