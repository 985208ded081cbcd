package step

import "fmt"

// Logs tells a person how to see what a component's container says, on a node with this CRI socket. A kubelet with its own dockershim serves
// that socket itself, so crictl has nobody to ask while it is the kubelet or its pods that do not come up: Docker has. "" is a socket that is not known.
func Logs(socket, component string) string {
	switch {
	case socket == "":
		return fmt.Sprintf("crictl ps -a | grep %s, then crictl logs CONTAINER (with Docker's own kubelet docker ps -a and docker logs); journalctl -xeu kubelet", component)
	case IsDockershim(socket):
		return fmt.Sprintf("docker ps -a | grep %s, then docker logs CONTAINER; journalctl -xeu kubelet", component)
	}
	return fmt.Sprintf("crictl --runtime-endpoint %[1]s ps -a | grep %[2]s, then crictl --runtime-endpoint %[1]s logs CONTAINER; journalctl -xeu kubelet", socket, component)
}
