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

// dropPodBridge takes the bridge away that the pods of this node were plugged into. It keeps the address of the node's former pod network; a node that
// joins again gets another network, and then no pod starts there ("cni0" already has an IP address different from ...). kubeadm leaves it to people.
func dropPodBridge() step.Step {
	return step.Exec{
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
}
