package step

import (
	"context"
	"fmt"
)

// Print says something on the command's standard output. It always runs, so it does not count as a change (see Inert).
type Print struct {
	What string // "the join command"
	// Text is asked when the step runs, so that it can use what earlier steps found out. It ends with a newline.
	Text func() string
}

func (s Print) String() string { return "print " + s.What }

// Satisfied is never true.
func (s Print) Satisfied(context.Context, *Target) (bool, error) { return false, nil }

// Apply prints.
func (s Print) Apply(_ context.Context, t *Target) error {
	if t.Out == nil {
		return nil
	}
	_, err := fmt.Fprint(t.Out, s.Text())
	return err
}

// Inert implements Inert.
func (s Print) Inert() {}

// Inert marks steps that change nothing; they are not journalled and not counted.
type Inert interface{ Inert() }
