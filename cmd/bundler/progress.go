package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/cheggaaa/pb/v3"
	"golang.org/x/term"

	"kubebundle/bundle/builder"
	"kubebundle/imagestore"
)

// progress shows a build on standard error: two bars on a terminal, one line per finished thing in a pipe, one JSON
// object per line with -o json. Its methods may be called from any goroutine.
type progress struct {
	mu   sync.Mutex
	w    io.Writer
	json *json.Encoder
	bars *bars // nil but on a terminal
}

func (a *app) newProgress() *progress {
	p := &progress{w: a.err}
	if a.output == "json" {
		p.json = json.NewEncoder(a.err)
		return p
	}
	if f, ok := a.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) && !a.verbose {
		p.bars = newBars(f)
	}
	return p
}

// progressLine is one event in JSON.
type progressLine struct {
	Stage  string `json:"stage"`
	Name   string `json:"name"`
	Arch   string `json:"arch,omitempty"`
	Digest string `json:"digest,omitempty"`
	Size   int64  `json:"size,omitempty"`
	Cached bool   `json:"cached,omitempty"`
	Error  string `json:"error,omitempty"`
}

func (p *progress) say(l progressLine, text string) {
	if p.json != nil {
		_ = p.json.Encode(l) // a closed standard error must not stop a build
		return
	}
	fmt.Fprintln(p.w, text)
}

// pull takes the events of the image store.
func (p *progress) pull(e imagestore.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bars != nil {
		p.bars.pull(e)
		return
	}
	l := progressLine{Stage: "pull", Name: e.Ref, Digest: e.Digest, Size: e.Size, Cached: e.Cached}
	switch {
	case e.Err != nil:
		l.Error = e.Err.Error()
		p.say(l, fmt.Sprintf("pull %s: %v", e.Ref, e.Err))
	case e.Cached:
		p.say(l, fmt.Sprintf("pull %s: %.19s %s is in the cache", e.Ref, e.Digest, bytesOf(e.Size)))
	case e.Done > 0 && e.Done == e.Size:
		p.say(l, fmt.Sprintf("pull %s: %.19s %s", e.Ref, e.Digest, bytesOf(e.Size)))
	}
}

// event takes the events of the builder.
func (p *progress) event(e builder.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bars != nil {
		p.bars.event(e)
		return
	}
	l := progressLine{Stage: string(e.Stage), Name: e.Name, Arch: string(e.Arch), Size: e.Size}
	switch e.Stage {
	case builder.StageResolve:
		p.say(l, "resolve "+e.Name+" for linux/"+string(e.Arch))
	case builder.StageProgram:
		p.say(l, "program "+e.Name+" for linux/"+string(e.Arch))
	case builder.StageBegin:
		p.say(l, "begin "+e.Name)
	case builder.StagePack:
		switch {
		case e.Done != e.Size:
		case e.Ref != "":
			p.say(l, fmt.Sprintf("pack %.21s: %s of %s", e.Name, bytesOf(e.Size), e.Ref))
		default:
			p.say(l, fmt.Sprintf("pack %s: %s", e.Name, bytesOf(e.Size)))
		}
	case builder.StageFinish:
		p.say(l, fmt.Sprintf("wrote %s: %s", e.Name, bytesOf(e.Size)))
	}
}

// warn shows warnings below everything else.
func (p *progress) warn(warnings []string) {
	p.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range warnings {
		p.say(progressLine{Stage: "warning", Name: w}, "warning: "+w)
	}
}

// close ends the bars. Later events start new ones.
func (p *progress) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bars != nil {
		p.bars.stop()
	}
}

// bars is a pair of bars: bytes pulled of those that are known to be needed, and bytes packed.
type bars struct {
	w          *os.File
	pool       *pb.Pool
	pulling    *pb.ProgressBar
	packing    *pb.ProgressBar
	done, size map[string]int64 // by blob
	broken     bool
}

func newBars(w *os.File) *bars { return &bars{w: w} }

const barTemplate = `{{ string . "what" }} {{ counters . }} {{ bar . }} {{ speed . }} {{ string . "name" }}`

func (b *bars) start() {
	if b.pool != nil || b.broken {
		return
	}
	b.done, b.size = map[string]int64{}, map[string]int64{}
	bar := func(what string) *pb.ProgressBar {
		return pb.ProgressBarTemplate(barTemplate).New(0).Set(pb.Bytes, true).Set("what", what)
	}
	b.pulling, b.packing = bar("pull"), bar("pack")
	b.pool = pb.NewPool(b.pulling, b.packing)
	b.pool.Output = b.w
	if err := b.pool.Start(); err != nil {
		b.pool, b.broken = nil, true // a terminal that cannot be drawn on: go on without
	}
}

func (b *bars) stop() {
	if b.pool == nil {
		return
	}
	b.pulling.Finish()
	b.packing.Finish()
	_ = b.pool.Stop() // only a terminal that could not be reset
	b.pool = nil
}

func (b *bars) pull(e imagestore.Event) {
	b.start()
	key := e.Ref + e.Digest
	if e.Digest != "" {
		key = e.Digest
	}
	b.done[key], b.size[key] = e.Done, max(e.Size, e.Done)
	var done, size int64
	for k := range b.done {
		done += b.done[k]
		size += b.size[k]
	}
	b.pulling.SetTotal(size).SetCurrent(done).Set("name", e.Ref)
}

func (b *bars) event(e builder.Event) {
	b.start()
	switch e.Stage {
	case builder.StagePack:
		name := e.Name
		if e.Ref != "" {
			name = e.Ref // a person knows the image, not the layer
		}
		b.packing.SetTotal(e.Total).SetCurrent(e.Packed).Set("name", name)
	case builder.StageResolve, builder.StageProgram, builder.StageBegin, builder.StageFinish:
		b.packing.Set("name", e.Name)
	}
}
