//go:build tools

// Package tools pins what the lab builds from this module: kubeadm's own end-to-end suite, and what its tests import.
package tools

import (
	_ "github.com/onsi/ginkgo/v2"
	_ "github.com/onsi/gomega"
	_ "github.com/onsi/gomega/gstruct"
	_ "github.com/spf13/pflag"
	_ "k8s.io/api/apps/v1"
	_ "k8s.io/api/authorization/v1"
	_ "k8s.io/api/core/v1"
	_ "k8s.io/api/rbac/v1"
	_ "k8s.io/apimachinery/pkg/apis/meta/v1"
	_ "k8s.io/apimachinery/pkg/util/version"
	_ "k8s.io/client-go/kubernetes"
	_ "k8s.io/cluster-bootstrap/token/api"
	_ "k8s.io/kubernetes/test/e2e/framework"
	_ "k8s.io/kubernetes/test/e2e/framework/debug/init"
	_ "k8s.io/kubernetes/test/e2e/framework/metrics/init"
	_ "k8s.io/kubernetes/test/e2e/framework/node/init"
	_ "k8s.io/kubernetes/test/e2e_kubeadm"
	_ "k8s.io/kubernetes/test/utils/format"
	_ "k8s.io/pod-security-admission/api"
	_ "k8s.io/utils/net"
)
