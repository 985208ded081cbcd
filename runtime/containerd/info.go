package containerd

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	criv1 "k8s.io/cri-api/pkg/apis/runtime/v1"

	cruntime "kubebundle/runtime"
)

const defaultSnapshotter = "overlayfs"

// criConfig is the part of CRI's verbose status that matters here. 1.x tells everything; 2.x leaves out the sandbox image and the default
// snapshotter, which live in its images plugin.
type criConfig struct {
	Containerd struct {
		Snapshotter        string `json:"snapshotter"`
		DefaultRuntimeName string `json:"defaultRuntimeName"`
		Runtimes           map[string]struct {
			Snapshotter string         `json:"snapshotter"`
			Options     map[string]any `json:"options"`
		} `json:"runtimes"`
	} `json:"containerd"`
	CNI struct {
		BinDir  string   `json:"binDir"`  // 1.x
		BinDirs []string `json:"binDirs"` // 2.x
	} `json:"cni"`
	SandboxImage      string `json:"sandboxImage"`
	SystemdCgroup     bool   `json:"systemdCgroup"`
	ContainerdRootDir string `json:"containerdRootDir"`
}

// Info implements cruntime.Runtime. What a containerd without CRI cannot tell stays empty.
func (r *Runtime) Info(ctx context.Context) (cruntime.Info, error) {
	v, err := r.client.Version(ctx)
	if err != nil {
		return cruntime.Info{}, fmt.Errorf("ask containerd at %s for its version: %w", r.socket, err)
	}
	// Distributions append theirs: "1.6.20~ds1".
	version, _, _ := strings.Cut(strings.TrimPrefix(v.Version, "v"), "~")
	info := cruntime.Info{Name: "containerd", Version: version, Socket: "unix://" + r.socket}
	cfg, err := r.criConfig(ctx)
	if err != nil {
		if !hasCRI(err) {
			return info, nil
		}
		return cruntime.Info{}, fmt.Errorf("ask containerd at %s for its CRI configuration: %w", r.socket, err)
	}
	info.Root = cfg.ContainerdRootDir
	info.CgroupDriver, info.TellsDriver = r.cgroupDriver(ctx, cfg)
	info.CNIBinDirs = cfg.CNI.BinDirs
	if len(info.CNIBinDirs) == 0 && cfg.CNI.BinDir != "" {
		info.CNIBinDirs = []string{cfg.CNI.BinDir}
	}
	info.SandboxImage = cfg.SandboxImage
	if info.SandboxImage == "" {
		info.SandboxImage = r.configuredSandbox(ctx)
	}
	return info, nil
}

func (r *Runtime) criConfig(ctx context.Context) (criConfig, error) {
	var cfg criConfig
	st, err := r.criStatus(ctx)
	if err != nil {
		return cfg, err
	}
	if err := json.Unmarshal([]byte(st.GetInfo()["config"]), &cfg); err != nil {
		return cfg, fmt.Errorf("read CRI's configuration: %w", err)
	}
	return cfg, nil
}

// cgroupDriver asks CRI where it can be asked (containerd 2.0), else reads the options of the default runtime.
func (r *Runtime) cgroupDriver(ctx context.Context, cfg criConfig) (driver string, tells bool) {
	if rc, err := r.criRuntimeConfig(ctx); err == nil && rc.GetLinux() != nil {
		if rc.GetLinux().GetCgroupDriver() == criv1.CgroupDriver_CGROUPFS {
			return "cgroupfs", true
		}
		return "systemd", true
	}
	def, ok := cfg.Containerd.Runtimes[cfg.Containerd.DefaultRuntimeName]
	if !ok {
		return "", false
	}
	if on, ok := def.Options["SystemdCgroup"].(bool); (ok && on) || cfg.SystemdCgroup {
		return "systemd", false
	}
	return "cgroupfs", false
}

// snapshotter is the one that CRI will look for the images in.
func (r *Runtime) snapshotter(ctx context.Context) (string, error) {
	if r.opts.Snapshotter != "" {
		return r.opts.Snapshotter, nil
	}
	cfg, err := r.criConfig(ctx)
	if err != nil {
		if !hasCRI(err) {
			return defaultSnapshotter, nil
		}
		return "", fmt.Errorf("ask containerd at %s for its snapshotter: %w", r.socket, err)
	}
	if s := cfg.Containerd.Runtimes[cfg.Containerd.DefaultRuntimeName].Snapshotter; s != "" {
		return s, nil
	}
	if cfg.Containerd.Snapshotter != "" {
		return cfg.Containerd.Snapshotter, nil
	}
	// 2.x: its folder is named after it, io.containerd.snapshotter.v1.overlayfs.
	fs, err := r.criImageFs(ctx)
	if err != nil {
		return "", fmt.Errorf("ask containerd at %s for its image file system: %w", r.socket, err)
	}
	var names []string
	for _, f := range fs.GetImageFilesystems() {
		if _, name, ok := strings.Cut(filepath.Base(f.GetFsId().GetMountpoint()), "snapshotter.v1."); ok {
			if name == defaultSnapshotter {
				return name, nil
			}
			names = append(names, name)
		}
	}
	if len(names) != 1 {
		// A snapshotter with a folder of its own choice, or a remote one. The default is what CRI has unless told otherwise.
		r.log.Warn("cannot tell containerd's snapshotter, taking the default", "snapshotter", defaultSnapshotter, "seen", names)
		return defaultSnapshotter, nil
	}
	return names[0], nil
}
