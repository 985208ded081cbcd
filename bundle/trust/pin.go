package trust

import (
	"bufio"
	"bytes"
	_ "embed" // the place
	"errors"
	"fmt"
	"io"
	"strings"
)

// place is kept by whoever calls Pinned: a line that nothing else has, and room for keys, one per line. A text in the
// program's read-only data survives strip, and `strings install` shows it.
//
//go:embed place.txt
var place string

const placeSize = 4096

// Pinned are the keys that were written into this very program; none if nobody did. A place that cannot be read is an
// error, and its program must go no further.
func Pinned() (Keys, error) {
	keys, err := readPlace(place)
	if err != nil {
		return nil, fmt.Errorf("keys pinned in this program: %w", err)
	}
	return keys, nil
}

func readPlace(text string) (Keys, error) {
	_, list, ok := strings.Cut(text, "\n") // the line itself is not repeated here: Pin wants to find it once
	if !ok || len(text) != placeSize {
		return nil, errors.New("their place is damaged")
	}
	if strings.Trim(list, "\n") == "" {
		return nil, nil
	}
	return ParseKeys(list)
}

// ErrNoPlace says that a program keeps no place for keys.
var ErrNoPlace = errors.New("keeps no place for trusted keys")

// Pin finds the place in a program and says what is to be written there: Place.Data at Place.Offset. The size of the
// program stays the same.
func Pin(program io.Reader, keys Keys) (*Place, error) {
	mark, _, _ := strings.Cut(place, "\n")
	off, err := findOnce(program, []byte(mark+"\n"))
	if err != nil {
		return nil, err
	}
	text := mark + "\n" + strings.Join(keys.Strings(), "\n") + "\n"
	if len(text) > placeSize {
		return nil, fmt.Errorf("%d keys are too many to pin, there is room for %d", len(keys), (placeSize-len(mark)-1)/57)
	}
	return &Place{Offset: off, Data: append([]byte(text), bytes.Repeat([]byte("\n"), placeSize-len(text))...)}, nil
}

// Place is where a program keeps its trusted keys.
type Place struct {
	Offset int64
	Data   []byte
}

// findOnce finds what must be there exactly once, without holding the program in memory.
func findOnce(r io.Reader, mark []byte) (int64, error) {
	found, at := int64(-1), int64(0)
	in := bufio.NewReaderSize(r, 1<<20)
	for {
		window, err := in.Peek(1 << 20)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		i := bytes.Index(window, mark)
		switch {
		case i >= 0 && found >= 0:
			return 0, errors.New("keeps several places for trusted keys")
		case i >= 0:
			found = at + int64(i)
			i += len(mark)
		case err != nil: // the end
			if found < 0 {
				return 0, ErrNoPlace
			}
			return found, nil
		default:
			i = len(window) - len(mark) + 1 // the mark may lie across two windows
		}
		n, err := in.Discard(i)
		at += int64(n)
		if err != nil {
			return 0, err
		}
	}
}
