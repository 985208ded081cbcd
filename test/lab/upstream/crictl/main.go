// Command crictl is the lab's stand-in for the program of that name, which cannot be had as a Go module. It asks a CRI
// runtime for its version, status, images or containers and prints the answer as JSON, and does no more. It says what it
// is in `crictl --version`. The lab serves it under the real one's address so that its download and checksum are tried.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

const usage = "usage: crictl [--runtime-endpoint unix:///…] version|info|images|ps|pods   (kubebundle's lab stand-in, JSON only)"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "crictl (kubebundle's lab stand-in):", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	endpoint := "unix:///run/containerd/containerd.sock"
	if v := os.Getenv("CONTAINER_RUNTIME_ENDPOINT"); v != "" {
		endpoint = v
	}
	if len(args) >= 2 && (args[0] == "--runtime-endpoint" || args[0] == "-r") {
		endpoint, args = args[1], args[2:]
	}
	if len(args) == 1 && args[0] == "--version" {
		fmt.Println("crictl: kubebundle's lab stand-in, not the real one")
		return nil
	}
	if len(args) != 1 {
		return fmt.Errorf("%s", usage)
	}
	conn, err := grpc.NewClient(endpoint, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // the process ends
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var (
		rt  = cri.NewRuntimeServiceClient(conn)
		img = cri.NewImageServiceClient(conn)
		msg proto.Message
	)
	switch args[0] {
	case "version":
		msg, err = rt.Version(ctx, &cri.VersionRequest{})
	case "info":
		msg, err = rt.Status(ctx, &cri.StatusRequest{Verbose: true})
	case "images":
		msg, err = img.ListImages(ctx, &cri.ListImagesRequest{})
	case "ps":
		msg, err = rt.ListContainers(ctx, &cri.ListContainersRequest{})
	case "pods":
		msg, err = rt.ListPodSandbox(ctx, &cri.ListPodSandboxRequest{})
	default:
		return fmt.Errorf("%s", usage)
	}
	if err != nil {
		return err
	}
	out, err := protojson.MarshalOptions{Multiline: true, Indent: "  "}.Marshal(msg)
	if err != nil {
		return err
	}
	_, err = fmt.Println(string(out))
	return err
}
