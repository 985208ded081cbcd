//go:build cgo

package encoder

/*
#include <stddef.h>

// What we call of zstd.h. That file lies in the module that is linked below, where no compiler of another package finds it.
typedef struct ZSTD_CCtx_s ZSTD_CCtx;
ZSTD_CCtx*  ZSTD_createCCtx(void);
size_t      ZSTD_freeCCtx(ZSTD_CCtx*);
size_t      ZSTD_CCtx_setParameter(ZSTD_CCtx*, int, int);
size_t      ZSTD_compressStream2_simpleArgs(ZSTD_CCtx*, void*, size_t, size_t*, const void*, size_t, size_t*, int);
unsigned    ZSTD_isError(size_t);
const char* ZSTD_getErrorName(size_t);
const char* ZSTD_versionString(void);
*/
import "C"

import (
	"errors"
	"fmt"
	"io"
	"unsafe"

	_ "github.com/DataDog/zstd" // the sources of libzstd

	"kubebundle/bundle"
)

const available = true

func version() string { return C.GoString(C.ZSTD_versionString()) }

// The ways to call ZSTD_compressStream2.
const (
	goOn = 0 // ZSTD_e_continue
	end  = 2 // ZSTD_e_end
)

// outSize is how much is taken from libzstd at once, in bytes.
const outSize = 256 << 10

// frame is a frame that is being written.
type frame struct {
	cctx *C.ZSTD_CCtx
	w    io.Writer
	out  []byte
	err  error // sticky
}

func newFrame(w io.Writer, params []parameter) (bundle.Frame, error) {
	cctx := C.ZSTD_createCCtx()
	if cctx == nil {
		return nil, errors.New("start libzstd: out of memory")
	}
	for _, p := range params {
		if err := check(C.ZSTD_CCtx_setParameter(cctx, C.int(p.id), C.int(p.value))); err != nil {
			C.ZSTD_freeCCtx(cctx)
			return nil, fmt.Errorf("set parameter %d to %d: %w", p.id, p.value, err)
		}
	}
	return &frame{cctx: cctx, w: w, out: make([]byte, outSize)}, nil
}

func (f *frame) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n := 0
	for n < len(p) {
		var k int
		if k, _, f.err = f.step(p[n:], goOn); f.err != nil {
			return n, f.err
		}
		n += k
	}
	return n, nil
}

// Close ends the frame and gives the memory back.
func (f *frame) Close() error {
	for rest := 1; rest > 0 && f.err == nil; {
		_, rest, f.err = f.step(nil, end)
	}
	err := f.err
	f.Abort()
	return err
}

// Abort gives the memory back. It waits for what the library's threads have begun.
func (f *frame) Abort() {
	C.ZSTD_freeCCtx(f.cctx)
	f.cctx, f.err = nil, errors.New("the zstd frame is closed")
}

// step gives libzstd input and takes output. It says how much of p was taken, and how much libzstd still has.
func (f *frame) step(p []byte, how int) (taken, rest int, err error) {
	var produced, consumed C.size_t
	size := C.size_t(len(p))
	if size == 0 {
		p = f.out // anything that has an address
	}
	// Written like this, cgo knows that these are bytes and does not look at what else lies around them.
	r := C.ZSTD_compressStream2_simpleArgs(f.cctx, unsafe.Pointer(&f.out[0]), C.size_t(len(f.out)), &produced, unsafe.Pointer(&p[0]), size, &consumed, C.int(how))
	if err := check(r); err != nil {
		return 0, 0, err
	}
	if produced > 0 {
		_, err = f.w.Write(f.out[:produced])
	}
	return int(consumed), int(r), err
}

func check(r C.size_t) error {
	if C.ZSTD_isError(r) == 0 {
		return nil
	}
	return errors.New("libzstd: " + C.GoString(C.ZSTD_getErrorName(r)))
}
