package containerd

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// startup is how long CRI may take to read its state after the daemon started; it has thousands of containers to look at on a busy node.
const startup = 30 * time.Second

// cri calls a method of CRI. Right after a (re)start of the daemon, when its socket answers and its CRI plugin does not yet, it waits.
func (r *Runtime) cri(ctx context.Context, method string, in, out any) error {
	deadline := time.Now().Add(startup)
	for {
		err := r.criOnce(ctx, method, in, out)
		// CRI has no code for it: checkInitialized in containerd's internal/cri/instrument.
		if err == nil || !strings.Contains(status.Convert(err).Message(), "server is not initialized yet") || time.Now().After(deadline) {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// criOnce knows that v1alpha2, which is all that containerd before 1.6 speaks, has the same messages on the wire as v1.
func (r *Runtime) criOnce(ctx context.Context, method string, in, out any) error {
	err := r.conn.Invoke(ctx, "/runtime.v1."+method, in, out)
	if status.Code(err) == codes.Unimplemented {
		if old := r.conn.Invoke(ctx, "/runtime.v1alpha2."+method, in, out); status.Code(old) != codes.Unimplemented {
			return old
		}
	}
	return err
}

// hasCRI says whether an error means that this containerd runs without its CRI plugin (Docker ships it so).
func hasCRI(err error) bool { return status.Code(err) != codes.Unimplemented }

func (r *Runtime) criStatus(ctx context.Context) (*criv1.StatusResponse, error) {
	out := &criv1.StatusResponse{}
	return out, r.cri(ctx, "RuntimeService/Status", &criv1.StatusRequest{Verbose: true}, out)
}

func (r *Runtime) criRuntimeConfig(ctx context.Context) (*criv1.RuntimeConfigResponse, error) {
	out := &criv1.RuntimeConfigResponse{}
	return out, r.cri(ctx, "RuntimeService/RuntimeConfig", &criv1.RuntimeConfigRequest{}, out)
}

func (r *Runtime) criImageFs(ctx context.Context) (*criv1.ImageFsInfoResponse, error) {
	out := &criv1.ImageFsInfoResponse{}
	return out, r.cri(ctx, "ImageService/ImageFsInfo", &criv1.ImageFsInfoRequest{}, out)
}

func (r *Runtime) criImage(ctx context.Context, name string) (*criv1.Image, error) {
	out := &criv1.ImageStatusResponse{}
	err := r.cri(ctx, "ImageService/ImageStatus", &criv1.ImageStatusRequest{Image: &criv1.ImageSpec{Image: name}}, out)
	return out.GetImage(), err
}
