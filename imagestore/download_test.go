package imagestore

import (
	"bytes"
	"crypto/sha1" // what is tested
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fileServer serves files by path, counts, and can misbehave.
type fileServer struct {
	*httptest.Server
	mu     sync.Mutex
	files  map[string][]byte
	counts map[string]int
	ranges []string
	fault  func(w http.ResponseWriter, r *http.Request, n int) bool
}

func newFileServer(t *testing.T) *fileServer {
	t.Helper()
	f := &fileServer{files: map[string][]byte{}, counts: map[string]int{}}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.counts[r.URL.Path]++
		n, fault := f.counts[r.URL.Path], f.fault
		data, ok := f.files[r.URL.Path]
		if rng := r.Header.Get("Range"); rng != "" {
			f.ranges = append(f.ranges, rng)
		}
		f.mu.Unlock()
		if fault != nil && fault(w, r, n) {
			return
		}
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fileServer) reset(fault func(w http.ResponseWriter, r *http.Request, n int) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts, f.ranges, f.fault = map[string]int{}, nil, fault
}

func (f *fileServer) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[path]
}

// publish serves a file with checksum files of some kinds.
func (f *fileServer) publish(path string, data []byte, kinds ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.files[path] = data
	for _, k := range kinds {
		f.files[path+"."+k] = []byte(hexSum(k, data) + "\n")
	}
}

func hexSum(kind string, data []byte) string {
	switch kind {
	case "sha512":
		return fmt.Sprintf("%x", sha512.Sum512(data))
	case "sha256":
		return fmt.Sprintf("%x", sha256.Sum256(data))
	}
	return fmt.Sprintf("%x", sha1.Sum(data)) // what is tested
}

const kubelet = "/release/v1.34.4/bin/linux/amd64/kubelet"

// request asks for a file with all kinds of checksums.
func request(base, path string, kinds ...string) DownloadRequest {
	if len(kinds) == 0 {
		kinds = []string{"sha512", "sha256", "sha1"}
	}
	r := DownloadRequest{URL: base + path}
	for _, k := range kinds {
		r.Checksums = append(r.Checksums, Checksum{Kind: k, URL: base + path + "." + k})
	}
	return r
}

func TestDownload(t *testing.T) {
	srv := newFileServer(t)
	data := []byte(noise(20, 1<<20))
	for _, c := range []struct {
		published []string
		want      string
	}{
		{[]string{"sha512", "sha256", "sha1"}, "sha512"},
		{[]string{"sha256", "sha1"}, "sha256"},
		{[]string{"sha1"}, "sha1"},
	} {
		t.Run(c.want, func(t *testing.T) {
			path := "/" + c.want + kubelet
			srv.publish(path, data, c.published...)
			srv.reset(nil)
			var last Event
			s := newStore(t, Options{Progress: func(e Event) { last = e }})
			f, err := s.Download(t.Context(), request(srv.URL, path))
			if err != nil {
				t.Fatal(err)
			}
			want := &File{
				Path: s.cache.blob(sumOf(data)), SHA256: sumOf(data), Size: int64(len(data)),
				Source: srv.URL + path, Fetched: srv.URL + path, Checksum: c.want + ":" + hexSum(c.want, data),
			}
			if diff := cmp.Diff(want, f); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if last.Done != int64(len(data)) || last.Size != last.Done || last.Ref != srv.URL+path {
				t.Errorf("last event %+v", last)
			}
			if got := readFile(t, f); !bytes.Equal(got, data) {
				t.Error("the content differs")
			}
			if left := files(t, s.o.CacheDir, "partial"); len(left) != 0 {
				t.Errorf("left over: %v", left)
			}

			again, err := newStore(t, Options{CacheDir: s.o.CacheDir}).Download(t.Context(), request(srv.URL, path))
			if err != nil || !again.Cached {
				t.Errorf("the second time: %+v, %v", again, err)
			}
			if _, err := s.Download(t.Context(), request(srv.URL, path)); err != nil {
				t.Error(err)
			}
			if n := srv.count(path); n != 1 {
				t.Errorf("fetched %d times", n)
			}

			spoil(t, f.Path)
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(r); !errors.Is(err, ErrDigest) {
				t.Errorf("a damaged file reads as %v", err)
			}
			r.Close()
			healed, err := newStore(t, Options{CacheDir: s.o.CacheDir}).Download(t.Context(), request(srv.URL, path))
			if err != nil || healed.Cached || !bytes.Equal(readFile(t, healed), data) {
				t.Errorf("the damaged file was not fetched again: %+v, %v", healed, err)
			}
		})
	}
}

func readFile(t *testing.T, f *File) []byte {
	t.Helper()
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestDownloadErrors(t *testing.T) {
	srv := newFileServer(t)
	data := []byte("a kubelet")
	srv.publish(kubelet, data, "sha512", "sha256", "sha1")
	other := hexSum("sha512", []byte("another kubelet"))
	answer := func(suffix string, do func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request, int) bool {
		return func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if !strings.HasSuffix(r.URL.Path, suffix) {
				return false
			}
			do(w)
			return true
		}
	}
	say := func(s string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { io.WriteString(w, s) } //nolint:errcheck // the test looks at the other side
	}
	for name, c := range map[string]struct {
		fault func(http.ResponseWriter, *http.Request, int) bool
		req   DownloadRequest
		is    error
		want  []string
	}{
		"wrong checksum": {
			fault: answer(".sha512", say(other)), is: ErrDigest,
			want: []string{kubelet, "want sha512:" + other, "got sha512:" + hexSum("sha512", data)},
		},
		"altered file":      {fault: answer("/kubelet", say("evil")), is: ErrDigest, want: []string{kubelet}},
		"checksum is html":  {fault: answer(".sha512", say("<html>log in</html>")), is: ErrDigest, want: []string{"no sha512 checksum of kubelet"}},
		"checksum is short": {fault: answer(".sha512", say("abcd")), is: ErrDigest, want: []string{"no sha512 checksum"}},
		"file is not there": {fault: answer("/kubelet", func(w http.ResponseWriter) { http.Error(w, "no", http.StatusNotFound) }), is: ErrNotFound, want: []string{kubelet}},
		"nothing is there":  {req: request(srv.URL, "/release/v1.34.99/bin/linux/amd64/kubelet"), is: ErrNotFound, want: []string{"kubelet.sha512", "kubelet.sha1", "check the version"}},
		// Whoever can block the strong checksum must not be able to choose the weak one.
		"strong checksum is blocked": {fault: answer(".sha512", func(w http.ResponseWriter) { http.Error(w, "no", http.StatusServiceUnavailable) }), is: ErrUnreachable, want: []string{"503", "tried 2 times"}},
		"forbidden":                  {fault: answer(".sha512", func(w http.ResponseWriter) { http.Error(w, "no", http.StatusForbidden) }), is: ErrUnauthorized},
		"no checksum is known":       {req: DownloadRequest{URL: srv.URL + kubelet}, is: ErrUnsupported, want: []string{"nothing unverified"}},
		"unknown kind":               {req: request(srv.URL, kubelet, "md5"), is: ErrUnsupported, want: []string{"md5"}},
		"nobody there":               {req: request("http://"+closedPort(t), kubelet), is: ErrUnreachable, want: []string{"refused", "--binary-mirror"}},
	} {
		t.Run(name, func(t *testing.T) {
			srv.reset(c.fault)
			defer srv.reset(nil)
			if c.req.URL == "" {
				c.req = request(srv.URL, kubelet)
			}
			s := newStore(t, Options{Retries: 1})
			f, err := s.Download(t.Context(), c.req)
			if !errors.Is(err, c.is) {
				t.Fatalf("got %v, %v", f, err)
			}
			for _, w := range append(c.want, "download "+c.req.URL) {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if left := files(t, s.o.CacheDir, "."); len(left) != 0 {
				t.Errorf("left over: %v", left)
			}
			srv.reset(nil)
			if _, err := s.Download(t.Context(), request(srv.URL, kubelet)); err != nil {
				t.Errorf("once the cause is gone: %v", err)
			}
		})
	}
}

func TestDownloadResume(t *testing.T) {
	srv := newFileServer(t)
	data := []byte(noise(21, 1<<20))
	srv.publish(kubelet, data, "sha512")
	half := len(data) / 2
	srv.reset(func(w http.ResponseWriter, r *http.Request, n int) bool {
		if r.URL.Path == kubelet && n == 1 {
			cut(data, half)(w, r)
		}
		return false
	})
	dir := t.TempDir()
	if _, err := newStore(t, Options{CacheDir: dir, Retries: -1}).Download(t.Context(), request(srv.URL, kubelet)); !errors.Is(err, ErrUnreachable) {
		t.Fatal(err)
	}
	f, err := newStore(t, Options{CacheDir: dir}).Download(t.Context(), request(srv.URL, kubelet))
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("bytes=%d-", half); len(srv.ranges) != 1 || srv.ranges[0] != want {
		t.Errorf("ranges %v, want %s", srv.ranges, want)
	}
	if !bytes.Equal(readFile(t, f), data) {
		t.Error("the content differs")
	}
}

// TestKnownNote: the note that leads from a sha512 to a blob is not believed.
func TestKnownNote(t *testing.T) {
	srv := newFileServer(t)
	srv.publish("/good", []byte("good"), "sha512")
	srv.publish("/evil", []byte("evil"), "sha512")
	s := newStore(t, Options{})
	evil, err := s.Download(t.Context(), request(srv.URL, "/evil"))
	if err != nil {
		t.Fatal(err)
	}
	for _, note := range []string{evil.SHA256, "../../etc/passwd", ""} {
		if err := os.WriteFile(s.cache.known("sha512", hexSum("sha512", []byte("good"))), []byte(note), 0o600); err != nil {
			t.Fatal(err)
		}
		again := newStore(t, Options{CacheDir: s.o.CacheDir})
		f, err := again.Download(t.Context(), request(srv.URL, "/good"))
		if err != nil || string(readFile(t, f)) != "good" {
			t.Errorf("note %q: %+v, %v", note, f, err)
		}
	}
}

func TestBinaryMirror(t *testing.T) {
	srv := newFileServer(t)
	cni := "/containernetworking/plugins/releases/download/v1.7.1/cni-plugins-linux-amd64-v1.7.1.tgz"
	srv.publish("/m"+kubelet, []byte("kubelet"), "sha256")
	srv.publish("/m"+cni, []byte("cni"), "sha256")
	srv.publish("/special/bin/linux/amd64/kubelet", []byte("special"), "sha256")
	host := strings.TrimPrefix(srv.URL, "http://")
	mirrors, err := ParseBinaryMirrors([]string{"http://me:hunter2@" + host + "/m/", "dl.k8s.io/release/v1.36.0=" + srv.URL + "/special"})
	if err != nil {
		t.Fatal(err)
	}
	s := newStore(t, Options{BinaryMirrors: mirrors, Retries: -1})
	for upstream, c := range map[string]struct{ content, fetched string }{
		"https://dl.k8s.io" + kubelet:                               {"kubelet", "http://me:xxxxx@" + host + "/m" + kubelet},
		"https://github.com" + cni:                                  {"cni", "http://me:xxxxx@" + host + "/m" + cni},
		"https://dl.k8s.io/release/v1.36.0/bin/linux/amd64/kubelet": {"special", srv.URL + "/special/bin/linux/amd64/kubelet"},
	} {
		f, err := s.Download(t.Context(), request(upstream, "", "sha256"))
		if err != nil {
			t.Fatal(err)
		}
		if f.Source != upstream || f.Fetched != c.fetched || string(readFile(t, f)) != c.content {
			t.Errorf("%+v", f)
		}
	}
	srv.reset(func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		http.Error(w, "no", http.StatusForbidden)
		return true
	})
	_, err = s.Download(t.Context(), request("https://dl.k8s.io"+kubelet, "", "sha256"))
	if err == nil || !strings.Contains(err.Error(), "mirror http://me:xxxxx@"+host) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the mirror must be named, its password not: %v", err)
	}

	for _, bad := range [][]string{
		{""},
		{"mirror.example.com"},
		{"ftp://mirror.example.com"},
		{"/srv/mirror"},
		{"https://m.example.com?x"},
		{"=https://m.example.com"},
		{"dl.k8s.io="},
		{"https://a.example.com", "https://b.example.com"},
		{"dl.k8s.io=https://a.example.com", "https://dl.k8s.io/=https://b.example.com"},
	} {
		if got, err := ParseBinaryMirrors(bad); err == nil {
			t.Errorf("ParseBinaryMirrors(%q) = %v", bad, got)
		}
	}
	if _, err := ParseBinaryMirrors([]string{"ftp://me:hunter2@x.example.com"}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestRedirects(t *testing.T) {
	plain := newFileServer(t)
	plain.publish("/x", []byte("x"), "sha256")
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL+r.URL.Path+"?signature=hunter2", http.StatusFound)
	}))
	t.Cleanup(secure.Close)
	host := strings.TrimPrefix(secure.URL, "https://")
	_, err := newStore(t, Options{Insecure: []string{host}, Retries: -1}).Download(t.Context(), request(secure.URL, "/x", "sha256"))
	if err == nil || !strings.Contains(err.Error(), "redirect from https to http") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	_, err = newStore(t, Options{Retries: -1}).Download(t.Context(), request(secure.URL, "/x", "sha256"))
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v", err)
	}
	forward := httptest.NewServer(http.RedirectHandler(plain.URL+"/x.sha256", http.StatusFound))
	t.Cleanup(forward.Close)
	r := DownloadRequest{URL: plain.URL + "/x", Checksums: []Checksum{{Kind: "sha256", URL: forward.URL + "/x.sha256"}}}
	if _, err := newStore(t, Options{}).Download(t.Context(), r); err != nil {
		t.Error(err)
	}
}

func TestParseChecksum(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for text, want := range map[string]string{
		sum: sum, sum + "\n": sum, "  " + strings.ToUpper(sum) + "\r\n": sum,
		sum + "  kubelet": sum, sum + " *kubelet\n": sum, sum + "  ./bin/kubelet": sum, sum + "  renamed": sum,
		strings.Repeat("cd", 32) + "  kubectl\n" + sum + "  kubelet\n": sum,
		strings.Repeat("cd", 32) + "  kubectl\n" + sum + "  kubeadm\n": "",
		strings.Repeat("cd", 32) + "  kubelet\n" + sum + "  kubelet\n": "",
		sum + "\n" + sum: "", "": "", "\n\n": "", sum[1:]: "", sum + "00": "", strings.Repeat("zz", 32): "", "sum " + sum + " kubelet": "",
	} {
		got, ok := parseChecksum(text, "https://dl.k8s.io/bin/kubelet?x=1", sha256.Size)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", text, got, ok)
		}
	}
}

func FuzzParseChecksum(f *testing.F) {
	f.Add(strings.Repeat("ab", 32)+"  kubelet\n", "https://x/kubelet")
	f.Fuzz(func(t *testing.T, text, address string) {
		got, ok := parseChecksum(text, address, sha256.Size)
		if ok && (len(got) != 2*sha256.Size || strings.Trim(got, "0123456789abcdef") != "") {
			t.Errorf("%q is no checksum", got)
		}
	})
}
