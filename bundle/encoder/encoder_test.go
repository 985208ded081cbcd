//go:build cgo

package encoder

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"kubebundle/bundle"
)

// goldens are digests of what the encoders make of sample. They change with the library's version and with every parameter, and
// then the digest of every bundle changes: that is for the changelog.
var goldens = map[string]string{
	"libzstd 1.5.7 best":    "4bebf3f909090a228002dac39f42e6d92abc381b89827b8729b02799d6e752e9",
	"libzstd 1.5.7 default": "db7609df1550d3566f3ca5cb878a788c6d1bd580385fafc80d480ec9cdac4dd6",
	"libzstd 1.5.7 fast":    "f4d389e79d4ba04a231b673ae3b2b6fb3cb26c9fa75f9878a5c268f54a1aa0e7",
}

// sample is text that compresses about as programs do.
func sample(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 4096)
	for i := range words {
		b := make([]byte, 2+r.IntN(12))
		for j := range b {
			b[j] = byte(r.IntN(256))
		}
		words[i] = string(b)
	}
	var buf bytes.Buffer
	for buf.Len() < n {
		buf.WriteString(words[int(r.ExpFloat64()*400)%len(words)])
	}
	return buf.Bytes()[:n]
}

// encode writes data in pieces.
func encode(t *testing.T, c Compression, piece int, data ...[]byte) []byte {
	t.Helper()
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	f, err := e.Encode(&out)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range data {
		for len(d) > 0 {
			n := min(piece, len(d))
			if k, err := f.Write(d[:n]); k != n || err != nil {
				t.Fatalf("Write = %d, %v", k, err)
			}
			d = d[n:]
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// TestSameBytes proves that the bytes depend on the input and on nothing else: not on the pieces in which it comes, not
// on the machine (the goldens were made on another one).
func TestSameBytes(t *testing.T) {
	data := sample(3 << 20)
	got := map[string]string{}
	for _, c := range Compressions() {
		e, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		whole := encode(t, c, len(data), data)
		got[e.Name()] = digest(whole)
		if !bytes.Equal(whole, encode(t, c, 4097, data)) {
			t.Errorf("%s: other pieces, other bytes", c)
		}
	}
	if diff := cmp.Diff(goldens, got); diff != "" {
		t.Errorf("every bundle gets another digest (-want +got):\n%s", diff)
	}
}

// TestFarMatches proves what the encoder is here for: what was seen 100 MiB ago is not stored again. And that the
// installer's decoder reads the result within its limits.
func TestFarMatches(t *testing.T) {
	seen, gap := make([]byte, 1<<20), make([]byte, 100<<20)
	rand.NewChaCha8([32]byte{}).Read(seen) //nolint:errcheck // never fails
	for _, c := range Compressions() {
		packed := encode(t, c, 1<<20, seen, gap, seen)
		if len(packed) > len(seen)+len(seen)/8 {
			t.Errorf("%s: %d bytes for %d that are there twice", c, len(packed), len(seen))
		}
		d, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderMaxWindow(bundle.MaxWindow))
		if err != nil {
			t.Fatal(err)
		}
		want, got := sha256.New(), sha256.New()
		for _, p := range [][]byte{seen, gap, seen} {
			want.Write(p)
		}
		if _, err := io.Copy(got, d); err != nil || !bytes.Equal(want.Sum(nil), got.Sum(nil)) {
			t.Errorf("%s: decoded to something else: %v", c, err)
		}
		d.Close()
	}
}

// TestDamageIsSeen proves that frames have a checksum.
func TestDamageIsSeen(t *testing.T) {
	packed := encode(t, Fast, 1<<20, sample(1<<20))
	packed[len(packed)-1] ^= 1
	d, err := zstd.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := io.Copy(io.Discard, d); !errors.Is(err, zstd.ErrCRCMismatch) {
		t.Errorf("reading gives %v", err)
	}
}

type full struct{ after int }

var errFull = errors.New("no space left")

func (f *full) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriterFails(t *testing.T) {
	for _, c := range Compressions() {
		e, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		f, err := e.Encode(&full{after: 100 << 10})
		if err != nil {
			t.Fatal(err)
		}
		noise := make([]byte, 16<<20)
		rand.NewChaCha8([32]byte{}).Read(noise) //nolint:errcheck // never fails
		_, werr := f.Write(noise)
		cerr := f.Close()
		if err := errors.Join(werr, cerr); !errors.Is(err, errFull) {
			t.Errorf("%s: Write and Close say %v", c, err)
		}
		if _, err := f.Write([]byte("more")); err == nil {
			t.Errorf("%s: a closed frame takes more", c)
		}
	}
}

func TestAbort(t *testing.T) {
	e, err := New(Default)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	f, err := e.Encode(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(sample(1 << 20)); err != nil {
		t.Fatal(err)
	}
	f.Abort()
	if d, err := zstd.NewReader(&out); err == nil {
		defer d.Close()
		if _, err := io.Copy(io.Discard, d); !errors.Is(err, io.ErrUnexpectedEOF) && out.Len() > 0 {
			t.Errorf("an aborted frame can be read: %v", err)
		}
	}
	if _, err := f.Write([]byte("more")); err == nil {
		t.Error("an aborted frame takes more")
	}
}

func TestNew(t *testing.T) {
	if _, err := New("xz"); err == nil || !strings.Contains(err.Error(), `unknown compression "xz" (known: [fast default best])`) {
		t.Errorf("New(xz): %v", err)
	}
	e, err := New("")
	if err != nil || !strings.HasSuffix(e.Name(), " default") {
		t.Errorf("New: %v, %v", e, err)
	}
}
