package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"kubebundle/bundle"
	"kubebundle/installer"
	"kubebundle/installer/step"
	cruntime "kubebundle/runtime"
)

func (a *app) imagesCmd() *cobra.Command {
	return group("images", "The bundle's images", a.imagesList(), a.imagesLoad(), a.imagesCheck())
}

// imageJSON is one image as `images list -o json` prints it. Size is of the unpacked layers, in bytes.
type imageJSON struct {
	Ref       string `json:"ref"`
	Component string `json:"component,omitempty"`
	Digest    string `json:"digest"` // of the platform's manifest
	Size      int64  `json:"size"`
}

func (a *app) imagesList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the bundle's images", Args: noArgs, Annotations: anyHost,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, _, err := a.openBundle(cmd.Context())
			if err != nil {
				return err
			}
			out := make([]imageJSON, 0, len(b.Contract().Images))
			for _, img := range b.Contract().Images {
				out = append(out, imageJSON{Ref: img.Ref, Component: img.Component, Digest: img.Manifest.Digest, Size: layersSize(img)})
			}
			if a.output == "json" {
				return a.printJSON(out)
			}
			rows := make([][]string, 0, len(out))
			for _, i := range out {
				rows = append(rows, []string{i.Ref, i.Digest, humanize.Bytes(uint64(max(i.Size, 0)))})
			}
			return a.printTable(rows)
		},
	}
}

func layersSize(img bundle.Image) (n int64) {
	for _, l := range img.Layers {
		n += l.Size
	}
	return n
}

// withRuntime opens bundle and runtime for the image verbs.
func (a *app) withRuntime(ctx context.Context, socket string, do func(t *step.Target, rt cruntime.Runtime) error) error {
	b, err := a.openOwnBundle(ctx)
	if err != nil {
		return err
	}
	if socket == "" {
		rel, err := releaseOf(b.Contract())
		if err != nil {
			return err
		}
		if socket, err = findSocket(a.host, rel.Dockershim()); err != nil {
			return err
		}
	}
	t, closeAll := a.target(func() string { return socket })
	defer closeAll()
	t.Bundle = b
	rt, err := t.Runtime(ctx)
	if err != nil {
		return err
	}
	return do(t, rt)
}

func socketFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "cri-socket", "", "`path` of the container runtime's socket (default: the one that is found)")
}

// imagesError says that images are missing.
type imagesError struct{ missing []cruntime.Image }

func (e *imagesError) Error() string {
	return plural(len(e.missing), "image") + " of the bundle missing in the container runtime"
}

func (e *imagesError) Hint() string { return "./install images load" }

func (a *app) imagesCheck() *cobra.Command {
	var socket string
	cmd := &cobra.Command{
		Use: "check", Short: "Say which images of the bundle the container runtime does not have; exit code 1 if any", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withRuntime(cmd.Context(), socket, func(t *step.Target, rt cruntime.Runtime) error {
				missing, err := rt.Missing(cmd.Context(), step.RuntimeImages(t.Bundle.Contract().Images))
				if err != nil {
					return err
				}
				refs := make([]string, 0, len(missing))
				for _, m := range missing {
					refs = append(refs, m.Ref)
				}
				if a.output == "json" {
					err = a.printJSON(map[string][]string{"missing": refs})
				} else if len(refs) > 0 {
					_, err = fmt.Fprintln(a.out, strings.Join(refs, "\n"))
				}
				if len(missing) > 0 {
					return errors.Join(err, &imagesError{missing})
				}
				return err
			})
		},
	}
	socketFlag(cmd, &socket)
	return cmd
}

func (a *app) imagesLoad() *cobra.Command {
	var socket string
	var missing bool
	cmd := &cobra.Command{
		Use: "load", Short: "Load the bundle's images into the container runtime", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withRuntime(cmd.Context(), socket, func(t *step.Target, _ cruntime.Runtime) error {
				show := a.listener()
				st := step.NewImages(t.Bundle.Contract())
				report := func(n int) {
					show(installer.Event{Phase: "load-images", State: installer.Done, Changed: n, Steps: len(st.List)})
				}
				if missing {
					// A node asks so every few minutes, and must not be in the way of who has the lock, or take it for nothing.
					if whole, err := st.Satisfied(cmd.Context(), t); err != nil {
						return err
					} else if whole {
						report(0)
						return nil
					}
				}
				f, err := a.host.Facts(cmd.Context())
				if err != nil {
					return err
				}
				release, err := a.lock(f, "install images load")
				if err != nil {
					return err
				}
				defer release()
				t.Progress = func(done, total int64, what string) {
					show(installer.Event{Phase: "load-images", Step: st.String(), State: installer.Progress, Done: done, Total: total, What: what})
				}
				show(installer.Event{Phase: "load-images", State: installer.Running})
				n, err := st.Load(cmd.Context(), t, missing)
				if err != nil {
					show(installer.Event{Phase: "load-images", State: installer.Failed, Error: err.Error()})
					return err
				}
				report(n)
				return nil
			})
		},
	}
	socketFlag(cmd, &socket)
	cmd.Flags().BoolVar(&missing, "missing", false, "only those that the runtime does not have")
	return cmd
}
