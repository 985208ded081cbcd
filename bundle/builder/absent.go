package builder

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kubebundle/imagestore"
	"kubebundle/release"
)

// AbsentError says that a version is at neither of the two places that a release has: its images and its programs.
type AbsentError struct {
	Version string   // v1.34.99
	Known   bool     // the catalog has it, so it was published somewhere
	Last    string   // last patch of its minor that the catalog knows
	Near    []string // tags that the registry has
	Images  error
	Program error
}

func (e *AbsentError) Error() string {
	return fmt.Sprintf("Kubernetes %s is not there, neither images nor programs:\n%v\n%v", e.Version, e.Images, e.Program)
}

// Unwrap gives what each place said.
func (e *AbsentError) Unwrap() []error { return []error{e.Images, e.Program} }

// Hint names the versions that are there.
func (e *AbsentError) Hint() string {
	var lines []string
	if e.Known {
		lines = append(lines, "this version was published: look at what the mirrors hold (--registry-mirror, --binary-mirror)")
	}
	if len(e.Near) > 0 {
		lines = append(lines, "the registry has "+strings.Join(e.Near, ", "))
	}
	if !e.Known {
		lines = append(lines, e.Last+" is the last patch of its minor that this program knows; `bundler versions` lists all")
	}
	return strings.Join(lines, "\n")
}

// gather resolves the images and downloads the programs, side by side. What one side finds ends the other, unless it may be half of an AbsentError.
func (b *Builder) gather(ctx context.Context, p *Plan) (*gathered, error) {
	sides, cancel := context.WithCancel(ctx)
	defer cancel()
	var out gathered
	var program error
	done := make(chan struct{})
	go func() {
		defer close(done)
		out.programs, out.warnings, program = b.programs(sides, p)
		if program != nil && !errors.Is(program, imagestore.ErrNotFound) {
			cancel()
		}
	}()
	var err error
	out.images, err = b.resolve(sides, p)
	absent, near := p.lacksServer(err)
	if err != nil && !absent {
		cancel()
	}
	<-done
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case absent && errors.Is(program, imagestore.ErrNotFound):
		return nil, p.absent(near, err, program)
	case errors.Is(program, context.Canceled):
		return nil, err
	case errors.Is(err, context.Canceled):
		return nil, program
	}
	return &out, errors.Join(program, err)
}

// lacksServer says whether the image of the API server was not found, and which tags are near it.
func (p *Plan) lacksServer(err error) (bool, []string) {
	server := slices.IndexFunc(p.Images, func(i PlannedImage) bool { return i.Component == string(release.APIServer) })
	for _, e := range unjoin(err) {
		var failed *imagestore.ResolveError
		if !errors.As(e, &failed) || server < 0 || failed.Ref != p.Images[server].Ref || !errors.Is(e, imagestore.ErrNotFound) {
			continue
		}
		var tag *imagestore.TagError
		if errors.As(e, &tag) {
			return true, tag.Near
		}
		return true, nil
	}
	return false, nil
}

func unjoin(err error) []error {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		return list.Unwrap()
	}
	return []error{err}
}

func (p *Plan) absent(near []string, images, program error) error {
	e := &AbsentError{Version: p.KubernetesVersion, Near: near, Images: unjoin(images)[0], Program: program}
	minors, err := release.Minors()
	if err != nil {
		return err
	}
	e.Last = minors[len(minors)-1].LastPatch
	for _, m := range minors {
		if strings.HasPrefix(p.KubernetesVersion, m.Minor+".") {
			e.Last = m.LastPatch
		}
	}
	e.Known = len(p.rel.Warnings()) == 0
	return e
}
