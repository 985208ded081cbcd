// Package cri asks whoever serves CRI at a socket about itself: the questions that do not need to know the runtime behind it.
package cri

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// patience is how long an answer may take. Nobody there is known at once; a daemon under load is slow.
const patience = 10 * time.Second

// About is what a runtime says about itself through CRI.
type About struct {
	Name         string // as it calls itself: "docker" (cri-dockerd), "containerd", "cri-o"
	Version      string // of the runtime behind CRI
	SandboxImage string // "" where it does not tell
	CgroupDriver string // "systemd", "cgroupfs"; "" where a kubelet cannot ask for it
}

// Ask asks the runtime at socket ("unix:///path" or "/path").
func Ask(ctx context.Context, socket string) (About, error) {
	path := strings.TrimPrefix(socket, "unix://")
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// gRPC says little about why nobody is there.
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return About{}, fmt.Errorf("ask CRI: %w", err)
	}
	_ = c.Close() // nothing was written
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return About{}, fmt.Errorf("ask CRI at %s: %w", path, err)
	}
	defer func() { _ = conn.Close() }() // only asked
	version := &criv1.VersionResponse{}
	if err := call(ctx, conn, "Version", &criv1.VersionRequest{}, version); err != nil {
		return About{}, fmt.Errorf("ask CRI at %s: %w", path, err)
	}
	a := About{Name: version.GetRuntimeName(), Version: version.GetRuntimeVersion()}
	st := &criv1.StatusResponse{}
	if err := call(ctx, conn, "Status", &criv1.StatusRequest{Verbose: true}, st); err != nil {
		return About{}, fmt.Errorf("ask CRI at %s for its status: %w", path, err)
	}
	var config struct {
		SandboxImage string `json:"sandboxImage"`
	}
	// cri-dockerd since 0.3 and containerd 1.x have it there; what is not JSON tells nothing.
	if err := json.Unmarshal([]byte(st.GetInfo()["config"]), &config); err == nil {
		a.SandboxImage = config.SandboxImage
	}
	rc := &criv1.RuntimeConfigResponse{}
	if err := call(ctx, conn, "RuntimeConfig", &criv1.RuntimeConfigRequest{}, rc); err == nil && rc.GetLinux() != nil {
		a.CgroupDriver = "systemd"
		if rc.GetLinux().GetCgroupDriver() == criv1.CgroupDriver_CGROUPFS {
			a.CgroupDriver = "cgroupfs"
		}
	}
	return a, nil
}

// call knows that v1alpha2, which is all that old runtimes speak, has the same messages on the wire.
func call(ctx context.Context, conn *grpc.ClientConn, method string, in, out any) error {
	err := conn.Invoke(ctx, "/runtime.v1.RuntimeService/"+method, in, out)
	if status.Code(err) == codes.Unimplemented {
		if old := conn.Invoke(ctx, "/runtime.v1alpha2.RuntimeService/"+method, in, out); status.Code(old) != codes.Unimplemented {
			return old
		}
	}
	return err
}
