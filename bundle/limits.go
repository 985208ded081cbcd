package bundle

import (
	"bytes"
	"errors"
)

// Limits that keep a reader's memory small whatever is in a bundle: a reader needs the window of its decoder and
// less than 64 MiB beside; of a delta, the windows of both bundles and the largest file that is patched. TestCorpus, TestBombs,
// TestMemoryIsFlat and TestDeltaMemory measure it.
const (
	// MaxWindow is the largest zstd window of a payload, in bytes: a decoder holds it in memory.
	MaxWindow = 128 << 20
	// MaxContract is the largest bundle.json, in bytes: some thousand images.
	MaxContract = 8 << 20
	// MaxBlob is the largest index, manifest or config, in bytes. Registries refuse manifests over 4 MiB.
	MaxBlob = 8 << 20
	// maxSignature is far more than a signature with a long comment, in bytes.
	maxSignature = 64 << 10
	// maxSums is the largest SHA256SUMS, in bytes: it has a line for each outer file.
	maxSums = 64 << 10
	// maxOuter is the largest file beside the payload, in bytes; maxOuters how many there may be. They are read before the
	// contract that names them.
	maxOuter  = 1 << 30
	maxOuters = 64
	// maxSize bounds every size, so that sums of sizes cannot overflow.
	maxSize = 1 << 42
	// maxPath is what a tar of 1988 holds in its name field.
	maxPath = 100
	// maxObjects and maxValues bound what a JSON document holds: three bytes of text can become an Image of some hundred.
	maxObjects = 1 << 16
	maxValues  = 1 << 19
	// maxRef is longer than any image reference can be: 255 of name, 128 of tag, 71 of digest.
	maxRef = 512
	// maxTold is how much of an odd text is told, in bytes.
	maxTold = 200
	// maxProblems is how many problems are told of one bundle.
	maxProblems = 100
)

var errMore = errors.New("and more: the rest was not looked at")

// modest refuses a JSON document with more in it than any bundle has. It counts what stands in strings too: nobody's
// documents come near.
func modest(path string, data []byte) error {
	if n := bytes.Count(data, []byte("{")); n > maxObjects {
		return corrupt(path, "holds about %d objects, more than the %d that a bundle can need", n, maxObjects)
	}
	if n := bytes.Count(data, []byte(",")); n > maxValues {
		return corrupt(path, "holds about %d values, more than the %d that a bundle can need", n, maxValues)
	}
	return nil
}
