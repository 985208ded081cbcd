package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// contender is something that is measured under a name.
type contender struct {
	name string
	most int // rounds that it takes part in; 0 is all
	run  func(ctx context.Context, round int) (sample, error)
}

// results are the samples of every contender, in the order of the rounds.
type results map[string][]sample

// contest lets contenders take turns. The first one changes from round to round.
func contest(ctx context.Context, log *slog.Logger, rounds int, list []contender, into results) error {
	for round := range rounds {
		for i := range list {
			c := list[(i+round)%len(list)]
			if c.most > 0 && round >= c.most {
				continue
			}
			s, err := c.run(ctx, round)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			log.Info(c.name, "round", fmt.Sprintf("%d/%d", round+1, rounds), "wall", s.Wall.Round(time.Millisecond), "cpu", s.CPU.Round(time.Millisecond))
			into[c.name] = append(into[c.name], s)
		}
	}
	return nil
}

// quantity is one number of a sample, in the unit of its tables.
type quantity struct {
	name   string
	unit   string
	digits int
	of     func(sample) float64
}

var (
	wall    = quantity{"wall", "s", 2, func(s sample) float64 { return s.Wall.Seconds() }}
	cpu     = quantity{"CPU", "s", 2, func(s sample) float64 { return s.CPU.Seconds() }}
	memory  = quantity{"peak RSS", "MB", 0, func(s sample) float64 { return float64(s.RSS) / 1e6 }}
	size    = quantity{"size", "MB", 1, func(s sample) float64 { return float64(s.Size) / 1e6 }}
	away    = quantity{"without API", "s", 1, func(s sample) float64 { return s.Away.Seconds() }}
	back    = quantity{"until the API serves again for good", "s", 1, func(s sample) float64 { return s.Back.Seconds() }}
	gap     = quantity{"longest time without a write through the virtual IP", "s", 1, func(s sample) float64 { return s.Away.Seconds() }}
	lost    = quantity{"acknowledged writes that are gone", "count", 0, func(s sample) float64 { return float64(s.Failed) }}
	refused = quantity{"failed requests of a client that retries once", "count", 0, func(s sample) float64 { return float64(s.Failed) }}
	content = quantity{"size of the content", "MB", 1, func(s sample) float64 { return float64(s.Content) / 1e6 }}
)

// spread is the median of a contender's rounds and their range.
type spread struct{ low, median, high float64 }

// spread is not there for who did not run.
func (r results) spread(name string, q quantity) (spread, bool) {
	v := make([]float64, 0, len(r[name]))
	for _, s := range r[name] {
		v = append(v, q.of(s))
	}
	if len(v) == 0 {
		return spread{}, false
	}
	slices.Sort(v)
	m := v[len(v)/2]
	if len(v)%2 == 0 {
		m = (v[len(v)/2-1] + v[len(v)/2]) / 2
	}
	return spread{v[0], m, v[len(v)-1]}, true
}
