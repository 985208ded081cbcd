package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// KubeletPods asks a node's kubelet, through the API server, for the pods that it knows, with what it knows of them: a static pod that the API server
// shows may be the one of before.
func (c *Client) KubeletPods(ctx context.Context, node string) ([]corev1.Pod, error) {
	data, err := c.Kube.CoreV1().RESTClient().Get().Resource("nodes").Name(node).SubResource("proxy").Suffix("pods").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the kubelet of %s: %w", node, err)
	}
	var list corev1.PodList
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("ask the kubelet of %s: %w", node, err)
	}
	return list.Items, nil
}
