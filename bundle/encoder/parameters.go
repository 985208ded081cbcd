package encoder

// parameter is one of libzstd's, by the number that zstd.h gives it.
type parameter struct {
	id    int
	value int
}

// The numbers of the parameters, as zstd.h has them: stable since 1.4.0, but for the last ones, which go with the version that go.mod pins.
const (
	windowLog    = 101
	hashLog      = 102
	chainLog     = 103
	searchLog    = 104
	minMatch     = 105
	targetLength = 106
	strategy     = 107
	longDistance = 160
	ldmHashLog   = 161
	ldmMinMatch  = 162
	ldmBucketLog = 163
	ldmHashRate  = 164
	checksum     = 201
	workers      = 400
	jobSize      = 401
	overlapLog   = 402
	rowMatch     = 1011 // its default asks which SIMD instructions the machine has
)

// parameters are pinned: a change of any of them changes the bytes of every bundle. docs/adr/0010-libzstd-encodes.md has what was tried.
func parameters(c Compression) []parameter {
	p := []parameter{{windowLog, 27}, {checksum, 1}, {longDistance, 1}, {ldmMinMatch, 32}, {rowMatch, 1}}
	switch c {
	case Fast:
		return append(p, []parameter{{strategy, 1}, {hashLog, 18}, {minMatch, 6}, {targetLength, 1}}...)
	case Best:
		return append(p, []parameter{{strategy, 7}, {hashLog, 24}, {chainLog, 24}, {searchLog, 6}, {minMatch, 3}, {targetLength, 128}}...)
	case Default:
	}
	return append(p, []parameter{{strategy, 5}, {hashLog, 25}, {chainLog, 25}, {searchLog, 4}, {minMatch, 5}, {targetLength, 32}}...)
}
