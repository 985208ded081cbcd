// Command cri-dockerd of the lab stands for Mirantis/cri-dockerd, whose module cannot be had where the lab is built. It is what that project
// was made from: the dockershim of Kubernetes v1.23, the last that had one, as a program of its own.
//
// dockershim speaks CRI v1alpha2 and the kubelets from v1.26 on only v1. In that version the messages of the two are the same on the wire, so
// calls of the one are passed on as calls of the other, byte by byte; fields that came later are unknown to dockershim and left alone. What
// it does not have stays unimplemented, RuntimeConfig among it (cri-dockerd has that since 0.3.17), so a kubelet uses the cgroup
// driver that it is told.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1alpha2"
	kubeletconfig "k8s.io/kubernetes/pkg/kubelet/apis/config"
	"k8s.io/kubernetes/pkg/kubelet/cri/streaming"
	"k8s.io/kubernetes/pkg/kubelet/dockershim"
	"k8s.io/kubernetes/pkg/kubelet/dockershim/remote"
)

// maxMessage is the kubelet's own limit.
const maxMessage = 16 << 20

// The flags have cri-dockerd's names and defaults.
var (
	endpoint = flag.String("container-runtime-endpoint", "unix:///var/run/cri-dockerd.sock", "where CRI is served")
	engine   = flag.String("docker-endpoint", "unix:///var/run/docker.sock", "Docker's own socket")
	sandbox  = flag.String("pod-infra-container-image", "registry.k8s.io/pause:3.10", "image of every pod's sandbox")
	plugin   = flag.String("network-plugin", "cni", "cni or nothing")
	binDir   = flag.String("cni-bin-dir", "/opt/cni/bin", "CNI's programs")
	confDir  = flag.String("cni-conf-dir", "/etc/cni/net.d", "CNI's configuration")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	ds, err := dockershim.NewDockerService(
		&dockershim.ClientConfig{DockerEndpoint: *engine, RuntimeRequestTimeout: 2 * time.Minute, ImagePullProgressDeadline: time.Minute},
		*sandbox,
		&streaming.Config{
			Addr: "127.0.0.1:0", StreamIdleTimeout: 4 * time.Hour, StreamCreationTimeout: streaming.DefaultConfig.StreamCreationTimeout,
			SupportedRemoteCommandProtocols: streaming.DefaultConfig.SupportedRemoteCommandProtocols,
			SupportedPortForwardProtocols:   streaming.DefaultConfig.SupportedPortForwardProtocols,
		},
		&dockershim.NetworkPluginSettings{
			HairpinMode: kubeletconfig.PromiscuousBridge, PluginName: *plugin, PluginConfDir: *confDir, PluginBinDirString: *binDir,
			PluginCacheDir: "/var/lib/cni/cache",
		},
		"", "", "/var/lib/cri-dockerd")
	if err != nil {
		return err
	}
	path := strings.TrimPrefix(*endpoint, "unix://")
	inner := path + ".v1alpha2"
	if err := remote.NewDockerServer("unix://"+inner, ds).Start(); err != nil {
		return err
	}
	conn, err := grpc.Dial("unix://"+inner, grpc.WithInsecure(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	s := grpc.NewServer(grpc.ForceServerCodec(asIs{}), grpc.UnknownServiceHandler(forward(conn)),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage))
	return s.Serve(l)
}

// forward makes the same call of the older version. All calls that dockershim has are one message each way.
func forward(conn *grpc.ClientConn) grpc.StreamHandler {
	return func(_ any, in grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(in)
		call, ok := strings.CutPrefix(method, "/runtime.v1.")
		if !ok {
			return status.Error(codes.Unimplemented, method)
		}
		var ask, answer []byte
		if err := in.RecvMsg(&ask); err != nil {
			return err
		}
		var err error
		if call == "RuntimeService/Status" {
			answer, err = verbose(in.Context(), conn, ask)
		} else {
			err = conn.Invoke(in.Context(), "/runtime.v1alpha2."+call, &ask, &answer, grpc.ForceCodec(asIs{}))
		}
		if err != nil {
			return err
		}
		return in.SendMsg(&answer)
	}
}

// verbose adds to a status what cri-dockerd tells and dockershim does not: the image of sandboxes.
func verbose(ctx context.Context, conn *grpc.ClientConn, ask []byte) ([]byte, error) {
	var req runtimeapi.StatusRequest
	if err := req.Unmarshal(ask); err != nil {
		return nil, err
	}
	resp, err := runtimeapi.NewRuntimeServiceClient(conn).Status(ctx, &req)
	if err != nil {
		return nil, err
	}
	if req.Verbose {
		config, err := json.Marshal(map[string]string{"sandboxImage": *sandbox})
		if err != nil {
			return nil, err
		}
		resp.Info = map[string]string{"config": string(config)}
	}
	return resp.Marshal()
}

// asIs passes messages as bytes.
type asIs struct{}

func (asIs) Marshal(v any) ([]byte, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("a message is %T", v)
	}
	return *b, nil
}

func (asIs) Unmarshal(data []byte, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("a message is %T", v)
	}
	*b = append([]byte(nil), data...)
	return nil
}

func (asIs) Name() string { return "proto" }
