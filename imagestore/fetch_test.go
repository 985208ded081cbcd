package imagestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// bigLayer does not compress, so that it travels in many packets.
func bigLayer(t *testing.T, seed uint64) v1.Layer {
	t.Helper()
	return layerOf(t, compression.GZip, entry{name: "big", content: noise(seed, 1<<20)})
}

func TestFetchOnce(t *testing.T) {
	reg := newRegistry(t)
	shared := bigLayer(t, 1)
	var refs []string
	var digests []string
	for i := range 5 {
		own := layerOf(t, compression.GZip, entry{name: "own", content: noise(uint64(i)+10, 1000)})
		digests = append(digests, digest(t, own))
		refs = append(refs, reg.push(t, fmt.Sprintf("img%d:1", i), imageOf(t, "amd64", v1.Config{}, shared, own)))
	}
	digests = append(digests, digest(t, shared))

	var now, most atomic.Int32
	reg.reset(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		for _, d := range digests {
			if isBlob(r, d) {
				if n := now.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(20 * time.Millisecond)
				now.Add(-1)
			}
		}
		return false
	})
	events := map[string]Event{}
	s := newStore(t, Options{Jobs: 2, Progress: func(e Event) { events[e.Digest] = e }})
	var images []*Image
	for _, ref := range refs {
		images = append(images, resolve(t, s, ref, linuxAMD64))
	}
	// Two Fetches and an Open at the same time still ask once.
	var wg sync.WaitGroup
	errs := make([]error, 3)
	wg.Go(func() { errs[0] = s.Fetch(t.Context(), images) })
	wg.Go(func() { errs[1] = s.Fetch(t.Context(), images[3:]) })
	wg.Go(func() { _, errs[2] = readLayer(t, s, images[4].Layers[1]) })
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, d := range digests {
		asked := 0
		for i := range 5 {
			asked += reg.count(fmt.Sprintf("GET /v2/img%d/blobs/%s", i, d))
		}
		if asked != 1 {
			t.Errorf("%s was asked for %d times", d, asked)
		}
		if e := events[d]; e.Done != e.Size || e.Size == 0 || e.Cached || e.Err != nil || !strings.HasPrefix(e.Ref, reg.host) {
			t.Errorf("last event is %+v", e)
		}
	}
	if most.Load() != 2 {
		t.Errorf("%d downloads at a time with 2 jobs", most.Load())
	}
	if left := files(t, s.o.CacheDir, "partial"); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}

	t.Run("a second store needs no blob", func(t *testing.T) {
		reg.reset(nil)
		again := newStore(t, Options{CacheDir: s.o.CacheDir, Progress: func(e Event) { events[e.Digest] = e }})
		if err := again.Fetch(t.Context(), []*Image{resolve(t, again, refs[0], linuxAMD64)}); err != nil {
			t.Fatal(err)
		}
		if n := reg.count("GET blobs"); n != 0 {
			t.Errorf("%d blobs asked for", n)
		}
		if e := events[digest(t, shared)]; !e.Cached || e.Done != e.Size {
			t.Errorf("event is %+v", e)
		}
	})
}

// TestTwoProcesses: stores that share a cache wait for each other. The lock belongs to the open file, so two stores stand for two processes.
func TestTwoProcesses(t *testing.T) {
	reg := newRegistry(t)
	layer := bigLayer(t, 2)
	ref := reg.push(t, "x:1", imageOf(t, "amd64", v1.Config{}, layer))
	reg.reset(func(_ http.ResponseWriter, r *http.Request, _ int) bool {
		if isBlob(r, digest(t, layer)) {
			time.Sleep(50 * time.Millisecond)
		}
		return false
	})
	dir := t.TempDir()
	var wg sync.WaitGroup
	errs := make([]error, 4)
	for i := range errs {
		s := newStore(t, Options{CacheDir: dir})
		img := resolve(t, s, ref, linuxAMD64)
		wg.Go(func() { errs[i] = s.Fetch(t.Context(), []*Image{img}) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	if n := reg.count("GET /v2/x/blobs/" + digest(t, layer)); n != 1 {
		t.Errorf("asked for %d times", n)
	}
	if left := files(t, dir, "partial"); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestResume(t *testing.T) {
	reg := newRegistry(t)
	layer := bigLayer(t, 3)
	data, d := compressed(t, layer), digest(t, layer)
	ref := reg.push(t, "x:1", imageOf(t, "amd64", v1.Config{}, layer))
	half := len(data) / 2
	breakOff := cut(data, half)
	dies := func(w http.ResponseWriter, r *http.Request, n int) bool {
		if isBlob(r, d) && n == 1 {
			breakOff(w, r)
		}
		return false
	}

	t.Run("in one process", func(t *testing.T) {
		reg.reset(dies)
		s := newStore(t, Options{})
		if err := s.Fetch(t.Context(), []*Image{resolve(t, s, ref, linuxAMD64)}); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("bytes=%d-%d", half, len(data)-1); len(reg.ranges) != 1 || reg.ranges[0] != want {
			t.Errorf("ranges %v, want %s", reg.ranges, want)
		}
	})
	t.Run("after a killed one", func(t *testing.T) {
		reg.reset(dies)
		first := newStore(t, Options{Retries: -1})
		img := resolve(t, first, ref, linuxAMD64)
		if err := first.Fetch(t.Context(), []*Image{img}); !errors.Is(err, ErrUnreachable) {
			t.Fatalf("got %v", err)
		}
		if left := files(t, first.o.CacheDir, "partial"); len(left) != 1 {
			t.Fatalf("partial files: %v", left)
		}
		if _, err := os.Stat(first.cache.blob(d)); err == nil {
			t.Fatal("half a blob is visible")
		}
		second := newStore(t, Options{CacheDir: first.o.CacheDir})
		img = resolve(t, second, ref, linuxAMD64)
		if err := second.Fetch(t.Context(), []*Image{img}); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("bytes=%d-%d", half, len(data)-1); len(reg.ranges) != 1 || reg.ranges[0] != want {
			t.Errorf("ranges %v, want %s", reg.ranges, want)
		}
		got, err := os.ReadFile(second.cache.blob(d))
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("the blob differs, %v", err)
		}
	})
	for name, c := range map[string]struct {
		left   []byte
		ranges int
		total  int // requests for the blob
	}{
		"garbage was left":           {bytes.Repeat([]byte("x"), half), 1, 2},
		"too much was left":          {append(bytes.Clone(data), 'x'), 0, 1},
		"everything was left":        {data, 0, 0},
		"all of it, one bit is off":  {append(bytes.Clone(data[:len(data)-1]), data[len(data)-1]^1), 0, 1},
		"nothing but the file there": {nil, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			reg.reset(nil)
			s := newStore(t, Options{})
			img := resolve(t, s, ref, linuxAMD64)
			if err := os.WriteFile(filepath.Join(s.o.CacheDir, "partial", "sha256-"+strings.TrimPrefix(d, digestPrefix)), c.left, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.Fetch(t.Context(), []*Image{img}); err != nil {
				t.Fatal(err)
			}
			if n := reg.count("GET /v2/x/blobs/" + d); n != c.total || len(reg.ranges) != c.ranges {
				t.Errorf("%d requests, ranges %v", n, reg.ranges)
			}
			if tarBytes, err := readLayer(t, s, img.Layers[0]); err != nil || !bytes.Contains(tarBytes, []byte(noise(3, 1000))) {
				t.Errorf("the layer is wrong: %v", err)
			}
		})
	}
	for name, answer := range map[string]func(w http.ResponseWriter){
		"the server does not know ranges": func(w http.ResponseWriter) { w.Write(data) }, //nolint:errcheck // the test looks at the other side
		"the server answers another range": func(w http.ResponseWriter) {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", len(data)-1, len(data)))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(data) //nolint:errcheck // the test looks at the other side
		},
		"the server refuses the range": func(w http.ResponseWriter) { w.WriteHeader(http.StatusRequestedRangeNotSatisfiable) },
	} {
		t.Run(name, func(t *testing.T) {
			reg.reset(func(w http.ResponseWriter, r *http.Request, n int) bool {
				if isBlob(r, d) && r.Header.Get("Range") != "" {
					answer(w)
					return true
				}
				return dies(w, r, n)
			})
			s := newStore(t, Options{})
			img := resolve(t, s, ref, linuxAMD64)
			if err := s.Fetch(t.Context(), []*Image{img}); err != nil {
				t.Fatal(err)
			}
			if _, err := readLayer(t, s, img.Layers[0]); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCacheWrite proves that what a killed process leaves of a small file is taken over by the next one: all that is unfinished lies under a
// name that leads to it.
func TestCacheWrite(t *testing.T) {
	dir := t.TempDir()
	c, err := newCache(dir)
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("small, as documents go\n"), 1<<20)
	d := sumOf(data)
	files := func() (out []string) {
		err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				out = append(out, strings.TrimPrefix(p, dir+"/"))
			}
			return nil // it may go away meanwhile
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	hexes := strings.TrimPrefix(d, digestPrefix)
	blob, part := "blobs/sha256/"+hexes[:2]+"/"+hexes, "partial/sha256-"+hexes
	for name, tc := range map[string]struct {
		write       func() error
		place, part string
	}{
		"a document": {func() error { return c.put(t.Context(), d, data) }, blob, part},
		"a note":     {func() error { return c.note(t.Context(), "sha512", "abc", d) }, "known/sha512-abc", "partial/known-sha512-abc"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, tc.part), []byte("what was left"), 0o600); err != nil {
				t.Fatal(err)
			}
			before := files()
			done := make(chan error)
			go func() { done <- tc.write() }()
			for ended := false; !ended; {
				select {
				case err := <-done:
					if err != nil {
						t.Fatal(err)
					}
					ended = true
				default:
				}
				for _, f := range files() {
					if f != tc.place && f != tc.part && !slices.Contains(before, f) {
						t.Fatalf("in between there is %s: killed now, it would stay", f)
					}
				}
			}
			got, err := os.ReadFile(filepath.Join(dir, tc.place))
			if err != nil || !bytes.Equal(got, data) && string(got) != d+"\n" {
				t.Errorf("%s has %d bytes, %v", tc.place, len(got), err)
			}
			if _, err := os.Stat(filepath.Join(dir, tc.part)); err == nil {
				t.Errorf("%s is still there", tc.part)
			}
		})
	}
	t.Run("another process is at it", func(t *testing.T) {
		p, err := c.lockPartial(t.Context(), "known-sha512-def")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- c.note(t.Context(), "sha512", "def", d) }()
		select {
		case err := <-done:
			t.Errorf("did not wait: %v", err)
		case <-time.After(250 * time.Millisecond):
		}
		if err := errors.Join(p.close(), <-done); err != nil {
			t.Error(err)
		}
	})
}

// TestDamagedCache: a file is not trusted because it is there.
func TestDamagedCache(t *testing.T) {
	reg := newRegistry(t)
	layer := bigLayer(t, 4)
	d := digest(t, layer)
	ref := reg.push(t, "x:1", imageOf(t, "amd64", v1.Config{}, layer))
	dir := t.TempDir()
	s := newStore(t, Options{CacheDir: dir})
	img := resolve(t, s, ref, linuxAMD64)
	if err := s.Fetch(t.Context(), []*Image{img}); err != nil {
		t.Fatal(err)
	}
	want, err := readLayer(t, s, img.Layers[0])
	if err != nil {
		t.Fatal(err)
	}

	for name, damage := range map[string]func(path string){
		"a byte differs": func(p string) { spoil(t, p) },
		"truncated": func(p string) {
			if err := os.Truncate(p, 100); err != nil {
				t.Fatal(err)
			}
		},
		"empty": func(p string) {
			if err := os.Truncate(p, 0); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, digest := range []string{d, img.Config.Digest} {
				p := s.cache.blob(digest)
				if err := os.Chmod(p, 0o644); err != nil {
					t.Fatal(err)
				}
				damage(p)
			}
			reg.reset(nil)
			again := newStore(t, Options{CacheDir: dir})
			img := resolve(t, again, ref, linuxAMD64)
			got, err := readLayer(t, again, img.Layers[0])
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("the damaged entry was used: %v", err)
			}
			if n := reg.count("GET blobs"); n != 2 {
				t.Errorf("%d blobs were fetched", n)
			}
		})
	}
	t.Run("while the process runs", func(t *testing.T) {
		again := newStore(t, Options{CacheDir: dir})
		img := resolve(t, again, ref, linuxAMD64)
		if err := again.Fetch(t.Context(), []*Image{img}); err != nil {
			t.Fatal(err)
		}
		spoil(t, again.cache.blob(d))
		_, err := readLayer(t, again, img.Layers[0])
		if err == nil {
			t.Fatal("a damaged layer ended with io.EOF")
		}
		if next := newStore(t, Options{CacheDir: dir}); next != nil {
			img := resolve(t, next, ref, linuxAMD64)
			if got, err := readLayer(t, next, img.Layers[0]); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the next process did not heal it: %v", err)
			}
		}
	})
}

func TestCorruptBlob(t *testing.T) {
	reg := newRegistry(t)
	layer := bigLayer(t, 5)
	data, d := compressed(t, layer), digest(t, layer)
	ref := reg.push(t, "x:1", imageOf(t, "amd64", v1.Config{}, layer))
	wrong := bytes.Clone(data)
	wrong[len(wrong)/2] ^= 1
	for name, body := range map[string][]byte{"a bit differs": wrong, "longer": append(bytes.Clone(data), 'x'), "something else": []byte("<html>")} {
		t.Run(name, func(t *testing.T) {
			reg.reset(func(w http.ResponseWriter, r *http.Request, _ int) bool {
				if isBlob(r, d) {
					w.Write(body) //nolint:errcheck // the test looks at the other side
					return true
				}
				return false
			})
			var last Event
			s := newStore(t, Options{Retries: 2, Progress: func(e Event) { last = e }})
			img := resolve(t, s, ref, linuxAMD64)
			err := s.Fetch(t.Context(), []*Image{img})
			if name == "something else" {
				// Shorter than promised looks like a broken connection until the whole is there.
				if err == nil || last.Err == nil {
					t.Fatal("no error")
				}
			} else if !errors.Is(err, ErrDigest) || !strings.Contains(err.Error(), ref) || !strings.Contains(err.Error(), d) || last.Err == nil {
				t.Fatalf("got %v, event %+v", err, last)
			}
			if n := reg.count("GET /v2/x/blobs/" + d); name != "something else" && n != 1 {
				t.Errorf("asked for %d times", n)
			}
			if _, err := os.Stat(s.cache.blob(d)); err == nil {
				t.Error("the wrong blob is in the cache")
			}
			reg.reset(nil)
			if err := s.Fetch(t.Context(), []*Image{img}); err != nil {
				t.Errorf("once the registry is right again: %v", err)
			}
		})
	}
	t.Run("another repository has it right", func(t *testing.T) {
		second := reg.push(t, "y:1", imageOf(t, "amd64", v1.Config{}, layer))
		reg.reset(func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if isBlob(r, d) && strings.HasPrefix(r.URL.Path, "/v2/x/") {
				w.Write(wrong) //nolint:errcheck // the test looks at the other side
				return true
			}
			return false
		})
		s := newStore(t, Options{})
		images := []*Image{resolve(t, s, ref, linuxAMD64), resolve(t, s, second, linuxAMD64)}
		if err := s.Fetch(t.Context(), images); err != nil {
			t.Error(err)
		}
	})
}

func TestRetry(t *testing.T) {
	reg := newRegistry(t)
	layer := bigLayer(t, 6)
	d := digest(t, layer)
	ref := reg.push(t, "x:1", imageOf(t, "amd64", v1.Config{}, layer))
	status := func(code int) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { http.Error(w, "busy", code) }
	}
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter)
		again  bool
	}{
		"500":                {status(500), true},
		"503":                {status(503), true},
		"429":                {status(429), true},
		"408":                {status(408), true},
		"reset":              {func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, true},
		"401":                {status(401), false},
		"403":                {status(403), false},
		"404":                {status(404), false},
		"501":                {status(501), false},
		"stalled connection": {func(http.ResponseWriter) { time.Sleep(600 * time.Millisecond) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, what := range []string{"/manifests/1", "/blobs/" + d} {
				faulty := func(fails int) func(w http.ResponseWriter, r *http.Request, n int) bool {
					return func(w http.ResponseWriter, r *http.Request, n int) bool {
						if !strings.HasSuffix(r.URL.Path, what) || n > fails {
							return false
						}
						c.answer(w)
						return true
					}
				}
				fetch := func(s *Store) error {
					img, err := s.Resolve(t.Context(), ref, nil, linuxAMD64)
					if err != nil {
						return err
					}
					return s.Fetch(t.Context(), []*Image{img})
				}
				reg.reset(faulty(2))
				err := fetch(newStore(t, Options{Retries: 2, StallTimeout: 200 * time.Millisecond, Transport: hasty()}))
				if (err == nil) != c.again {
					t.Errorf("%s: %v", what, err)
				}
				if n := reg.count("GET /v2/x" + what); (n == 3) != c.again || (n == 1) == c.again {
					t.Errorf("%s: %d requests", what, n)
				}
				if !c.again {
					continue
				}
				reg.reset(faulty(1000))
				err = fetch(newStore(t, Options{Retries: 2, StallTimeout: 200 * time.Millisecond, Transport: hasty()}))
				if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "tried 3 times") {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
	t.Run("stalled half way", func(t *testing.T) {
		for _, what := range []string{"/manifests/1", "/blobs/" + d} {
			reg.reset(func(w http.ResponseWriter, r *http.Request, n int) bool {
				if !strings.HasSuffix(r.URL.Path, what) || n > 1 {
					return false
				}
				w.Header().Set("Content-Length", strconv.Itoa(len(compressed(t, layer))))
				w.Write([]byte{0x1f}) //nolint:errcheck // the test looks at the other side
				w.(http.Flusher).Flush()
				<-r.Context().Done()
				return true
			})
			s := newStore(t, Options{StallTimeout: 200 * time.Millisecond})
			if err := s.Fetch(t.Context(), []*Image{resolve(t, s, ref, linuxAMD64)}); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if n := reg.count("GET /v2/x" + what); n != 2 {
				t.Errorf("%s: %d requests", what, n)
			}
			s = newStore(t, Options{StallTimeout: 200 * time.Millisecond, Retries: -1})
			reg.reset(reg.fault)
			img, err := s.Resolve(t.Context(), ref, nil, linuxAMD64)
			if err == nil {
				err = s.Fetch(t.Context(), []*Image{img})
			}
			if !errors.Is(err, ErrUnreachable) {
				t.Errorf("%s without retries: %v", what, err)
			}
		}
	})
	t.Run("Retry-After is obeyed", func(t *testing.T) {
		reg.reset(func(w http.ResponseWriter, r *http.Request, n int) bool {
			if isBlob(r, d) && n == 1 {
				w.Header().Set("Retry-After", "1")
				http.Error(w, "slow down", http.StatusTooManyRequests)
				return true
			}
			return false
		})
		s := newStore(t, Options{})
		img := resolve(t, s, ref, linuxAMD64)
		start := time.Now()
		if err := s.Fetch(t.Context(), []*Image{img}); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(start); waited < time.Second {
			t.Errorf("came back after %s", waited)
		}
	})
	t.Run("progress starts the count anew", func(t *testing.T) {
		data := compressed(t, layer)
		reg.reset(func(w http.ResponseWriter, r *http.Request, n int) bool {
			if !isBlob(r, d) || n > 6 {
				return false
			}
			var from int
			fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from) //nolint:errcheck // absent: 0
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(data)-1, len(data)))
			w.Header().Set("Content-Length", strconv.Itoa(len(data)-from))
			if from > 0 {
				w.WriteHeader(http.StatusPartialContent)
			}
			w.Write(data[from : from+1000]) //nolint:errcheck // the test looks at the other side
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		})
		s := newStore(t, Options{Retries: 1})
		if err := s.Fetch(t.Context(), []*Image{resolve(t, s, ref, linuxAMD64)}); err != nil {
			t.Error(err)
		}
	})
}

// hasty is a transport that waits 200 ms for the first byte.
func hasty() *http.Transport {
	tr := http.DefaultTransport.(*http.Transport).Clone()
	tr.ResponseHeaderTimeout = 200 * time.Millisecond
	return tr
}

func TestCancel(t *testing.T) {
	reg := newRegistry(t)
	layer := bigLayer(t, 7)
	data, d := compressed(t, layer), digest(t, layer)
	ref := reg.push(t, "x:1", imageOf(t, "amd64", v1.Config{}, layer))
	started := make(chan struct{})
	reg.reset(func(w http.ResponseWriter, r *http.Request, n int) bool {
		if isBlob(r, d) && n == 1 {
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			w.Write(data[:1000]) //nolint:errcheck // the test looks at the other side
			w.(http.Flusher).Flush()
			close(started)
			<-r.Context().Done()
			return true
		}
		return false
	})
	s := newStore(t, Options{})
	img := resolve(t, s, ref, linuxAMD64)
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- s.Fetch(ctx, []*Image{img}) }()
	<-started
	go func() { second <- s.Fetch(t.Context(), []*Image{img}) }()
	time.Sleep(20 * time.Millisecond) // lets the second one find the first at work; without it the test only shows less
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled one: %v", err)
	}
	if err := <-second; err != nil {
		t.Errorf("the one that waited must take over: %v", err)
	}
}

func TestOpen(t *testing.T) {
	reg := newRegistry(t)
	content := entry{name: "etc/x", content: strings.Repeat("compress me ", 1000)}
	for name, c := range map[string]compression.Compression{"gzip": compression.GZip, "zstd": compression.ZStd, "plain": compression.None} {
		t.Run(name, func(t *testing.T) {
			ref := reg.push(t, name+":1", imageOf(t, "amd64", v1.Config{}, layerOf(t, c, content)))
			s := newStore(t, Options{})
			img := resolve(t, s, ref, linuxAMD64)
			got, err := readLayer(t, s, img.Layers[0]) // without Fetch
			if diff := cmp.Diff(tarOf(t, content), got); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
			wrong := img.Layers[0]
			wrong.DiffID = digestPrefix + strings.Repeat("0", 64)
			if _, err := readLayer(t, s, wrong); !errors.Is(err, ErrDigest) {
				t.Errorf("a wrong diff ID: %v", err)
			}
			r, err := s.Open(t.Context(), img.Layers[0])
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyN(io.Discard, r, 10); err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		})
	}
	s := newStore(t, Options{})
	for name, l := range map[string]Layer{
		"unknown":     {DiffID: digestPrefix + strings.Repeat("1", 64), Blob: Descriptor{Digest: digestPrefix + strings.Repeat("2", 64)}},
		"no digest":   {DiffID: digestPrefix + strings.Repeat("1", 64), Blob: Descriptor{Digest: "../../etc/passwd"}},
		"no diff ID":  {DiffID: "", Blob: Descriptor{Digest: digestPrefix + strings.Repeat("2", 64)}},
		"sha512 only": {DiffID: "sha512:" + strings.Repeat("1", 128), Blob: Descriptor{Digest: digestPrefix + strings.Repeat("2", 64)}},
	} {
		if r, err := s.Open(t.Context(), l); err == nil {
			r.Close()
			t.Errorf("%s: opened", name)
		}
	}
}

func TestNew(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("a store without cache directory")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{CacheDir: file}); err == nil {
		t.Error("a store inside a file")
	}
	s, err := New(Options{CacheDir: filepath.Join(t.TempDir(), "a/b")})
	if err != nil || s.o.Jobs != 4 || s.o.Retries != 5 || s.o.RetryDelay != 500*time.Millisecond {
		t.Errorf("defaults: %v", err)
	}
}
