package manifests

import "k8s.io/apimachinery/pkg/util/version"

// span is a range of Kubernetes minors 1.from … 1.to, both inclusive; 0 leaves a side open.
type span struct{ from, to uint }

// Spans read as sentences in tables: since(20), until(19), between(16, 22), always.
var always = span{}

func since(minor uint) span        { return span{from: minor} }
func until(minor uint) span        { return span{to: minor} }
func between(from, to uint) span   { return span{from: from, to: to} }
func (s span) has(minor uint) bool { return minor >= s.from && (s.to == 0 || minor <= s.to) }

// minorOf gives N of version 1.N.P. A pre-release counts as its minor: v1.36.0-rc.1 has the rules of 1.36.
func minorOf(v *version.Version) uint { return v.Minor() }

// isSince reports whether v belongs to 1.minor or a later one.
func isSince(v *version.Version, minor uint) bool { return minorOf(v) >= minor }

// row is a value that holds for a span of minors.
type row[T any] struct {
	span
	value T
}

// pick gives the value of the first row that covers v's minor, and the zero value where none does.
func pick[T any](v *version.Version, rows []row[T]) T {
	for _, r := range rows {
		if r.has(minorOf(v)) {
			return r.value
		}
	}
	var zero T
	return zero
}
