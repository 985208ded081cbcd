package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// etcdURLAnnotation says where the etcd of a control plane node serves clients (kubeadm 1.34 constants; from 1.18 on).
const etcdURLAnnotation = "kubeadm.kubernetes.io/etcd.advertise-client-urls"

// EtcdEndpoints are where the etcd members of the control planes serve clients, as their pods say. Pods of versions before v1.18 do not
// say it; from them the host's address is taken.
func (c *Client) EtcdEndpoints(ctx context.Context) ([]string, error) {
	var out []string
	err := retry(ctx, func(ctx context.Context) error {
		out = nil
		pods, err := c.Kube.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{LabelSelector: "component=etcd,tier=control-plane"})
		if err != nil {
			return err
		}
		for i := range pods.Items {
			p := &pods.Items[i]
			url := p.Annotations[etcdURLAnnotation]
			if url == "" && p.Status.HostIP != "" {
				url = "https://" + net.JoinHostPort(p.Status.HostIP, "2379")
			}
			if url != "" {
				out = append(out, url)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("find the etcd of the control planes: %w", err)
	}
	if len(out) == 0 {
		return nil, errors.New("find the etcd of the control planes: kube-system has no pod of etcd")
	}
	slices.Sort(out)
	return out, nil
}
