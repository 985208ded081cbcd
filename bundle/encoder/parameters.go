package encoder

// parameter is one of libzstd's, by the number that zstd.h gives it.
type parameter struct {
	id    int
	value int
}

// The numbers of the parameters, as zstd.h has them: stable since 1.4.0, but for the last one, which goes with the version that go.mod pins.
const (
	windowLog    = 101
	hashLog      = 102
	chainLog     = 103
	searchLog    = 104
	minMatch     = 105
	targetLength = 106
	strategy     = 107
	longDistance = 160
	ldmMinMatch  = 162
	checksum     = 201
	rowMatch     = 1011 // its default asks which SIMD instructions the machine has
)

// The strategies, as zstd.h has them.
const (
	fast  = 1
	dfast = 2
	btopt = 7
)

// parameters are pinned: a change of any of them changes the bytes of every bundle. docs/adr/0010-libzstd-encodes.md has what
// was tried. What is not set here libzstd derives from what is. Measured with the window in it, fast takes 140 MB, default about 210 MB (by the difference in make bench) and best 260 MB.
func parameters(c Compression) []parameter {
	p := []parameter{{windowLog, 27}, {checksum, 1}, {longDistance, 1}, {rowMatch, 2}}
	switch c {
	case Fast:
		// A table that stays in a core's own cache; what is far is the long-distance matcher's alone.
		return append(p, parameter{ldmMinMatch, 32}, parameter{strategy, fast}, parameter{hashLog, 15}, parameter{minMatch, 7}, parameter{targetLength, 1})
	case Best:
		return append(p, parameter{ldmMinMatch, 32}, parameter{strategy, btopt}, parameter{hashLog, 23}, parameter{chainLog, 24}, parameter{searchLog, 5}, parameter{minMatch, 4}, parameter{targetLength, 64})
	case Default:
	}
	// One table of eight bytes that remembers most of the window, one of six, in a core's own cache, for what is near.
	return append(p, parameter{ldmMinMatch, 64}, parameter{strategy, dfast}, parameter{hashLog, 24}, parameter{chainLog, 17}, parameter{minMatch, 6}, parameter{targetLength, 1})
}
