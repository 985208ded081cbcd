package phase

import (
	"context"
	"errors"
	"fmt"
	"path"

	"k8s.io/apimachinery/pkg/util/version"

	"kubebundle/installer/host"
	"kubebundle/installer/step"
	cruntime "kubebundle/runtime"
)

const (
	// KeptBundle is where a node whose runtime forgets images keeps its bundle. The base of a delta is kept beside it, where it is found by its name.
	KeptBundle  = "/var/lib/kubebundle/bundle"
	imagesUnit  = "kubebundle-images.service"
	imagesTimer = "kubebundle-images.timer"
	imagesPath  = systemdDir + "/" + imagesUnit
	timerPath   = systemdDir + "/" + imagesTimer
)

// KeepBundle makes sure that images which a runtime loses come back. Docker and containerd before 1.7.3 cannot pin: the kubelet, when the
// disk fills up, and an administrator's prune take every image that no container uses at that moment, the sandboxes' own image first (no
// kubelet since v1.28 protects it, whatever its flag says), and there is no registry to get it from. So the node
// keeps a copy of the bundle, and a unit loads from it what is missing: before each start of the kubelet, the one at boot among
// them, and every five minutes. A run that finds all there asks the runtime a dozen questions and reads nothing from the bundle.
type KeepBundle struct{}

// Name is ours.
func (KeepBundle) Name() string { return "keep-bundle" }

// Plan does nothing where the runtime can pin.
func (KeepBundle) Plan(ctx context.Context, s *State, _ host.Reader) ([]step.Step, error) {
	info, err := s.runtimeInfo(ctx)
	if err != nil && s.DryRun { // which runtime it will be is not known
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask the container runtime: %w", err)
	}
	if !forgets(info) {
		return nil, nil
	}
	if s.Bundle == nil {
		return nil, errors.New("keep the bundle: no bundle at hand")
	}
	var steps []step.Step
	// First: the base may be what was kept so far.
	if base := s.Bundle.Base(); base != nil {
		steps = append(steps, step.NewKeepBase(base, path.Join(path.Dir(KeptBundle), base.Contract().Name())))
	}
	return append(steps,
		step.NewKeepBundle(s.Bundle, KeptBundle),
		step.File{Path: imagesPath, Mode: 0o644, Data: []byte(imagesService(info))},
		step.File{Path: timerPath, Mode: 0o644, Data: []byte(imagesTimerText)},
		step.Unit{Name: imagesUnit, Enable: true},
		step.Unit{Name: imagesTimer, Enable: true, Start: true, Files: []string{timerPath}},
	), nil
}

// firstPinning is the first containerd that tells the kubelet which images are pinned (its change 7944; 1.6 never got it).
var firstPinning = version.MustParseGeneric("1.7.3")

// forgets says whether a runtime may lose images that nobody removed on purpose.
func forgets(info cruntime.Info) bool {
	if info.Name != "containerd" {
		return info.Name == "docker"
	}
	v, err := version.ParseGeneric(info.Version)
	return err == nil && v.LessThan(firstPinning)
}

// imagesService renders the unit. It talks to Docker itself, so it need not wait for cri-dockerd. The kubelet starts after it, however it
// ends: a node that lacks an image is better than no node. Who has removed the copy reads in the journal what is missing and what brings it back.
func imagesService(info cruntime.Info) string {
	return fmt.Sprintf(`# Written by kubebundle: %[3]s here cannot pin images, and nothing but the bundle can bring one back.
[Unit]
Description=Load images of Kubernetes that %[3]s has lost
Wants=%[4]s.service
After=%[4]s.service
Before=kubelet.service

[Service]
Type=oneshot
TimeoutStartSec=30min
ExecStart=/bin/sh -c 'for f in install bundle.json payload.tar.zst; do \
  [ -e %[1]s/$$f ] || { echo "%[1]s/$$f is gone, so images that %[3]s loses cannot be loaded again: run the install command of this node once more from its bundle, it puts it back" >&2; exit 1; }; done; \
  exec %[1]s/install images load --missing --cri-socket %[2]s'

[Install]
WantedBy=kubelet.service
`, KeptBundle, info.Socket, displayName(info), info.Name)
}

// displayName is what people call a runtime.
func displayName(info cruntime.Info) string {
	if info.Name == "docker" {
		return "Docker"
	}
	return info.Name
}

const imagesTimerText = `# Written by kubebundle: see kubebundle-images.service.
[Unit]
Description=Look for images of Kubernetes that the container runtime has lost

[Timer]
OnActiveSec=5min
OnUnitInactiveSec=5min
AccuracySec=10s

[Install]
WantedBy=timers.target
`
