package installer

import (
	"context"
	"errors"
	"io/fs"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
)

// podBridge is what the CNI bridge plugin, and flannel over it, calls its bridge when nobody names it.
const podBridge = "cni0"

// flannelSubnet tells flannel's plugin the network of the node's pods; flannel's daemon writes it, some seconds after the node has joined.
const flannelSubnet = "/run/flannel/subnet.env"

// forgetPodNetwork takes the bridge away that the pods of this node were plugged into, and what would make it anew. Both keep the node's former pod
// network; a node that joins again gets another one, and then no pod starts there ("cni0" already has an IP address different from ...). kubeadm
// leaves it to people.
func forgetPodNetwork() []step.Step {
	bridge := step.Exec{
		What:    "remove the bridge of the pods",
		Command: host.Command{Name: "ip", Args: []string{"link", "delete", podBridge}},
		Done: func(_ context.Context, h host.Reader) (bool, error) {
			_, err := h.Stat("/sys/class/net/" + podBridge + "/bridge")
			if errors.Is(err, fs.ErrNotExist) {
				return true, nil
			}
			return false, err
		},
	}
	return []step.Step{bridge, step.Remove{Path: flannelSubnet, Why: "a node that joins again has another network"}}
}
