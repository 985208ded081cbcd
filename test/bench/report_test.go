package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func walls(list ...float64) []sample {
	var out []sample
	for _, s := range list {
		out = append(out, sample{Wall: time.Duration(s * float64(time.Second)), CPU: time.Second, RSS: 100e6, Size: 60e6, Content: 50e6})
	}
	return out
}

func TestSpread(t *testing.T) {
	r := results{"odd": walls(9, 1, 2), "even": walls(4, 1, 2, 3)}
	for name, want := range map[string]spread{"odd": {1, 2, 9}, "even": {1, 2.5, 4}} {
		if got, ok := r.spread(name, wall); !ok || got != want {
			t.Errorf("%s: %v, %v, want %v", name, got, ok, want)
		}
	}
	if _, ok := r.spread("nobody", wall); ok {
		t.Error("who did not run has a number")
	}
}

func TestContestTakesTurns(t *testing.T) {
	var order []string
	var list []contender
	for _, n := range []string{"a", "b", "c"} {
		list = append(list, contender{name: n, run: func(_ context.Context, round int) (sample, error) {
			order = append(order, n)
			return sample{Wall: time.Duration(round+1) * time.Second}, nil
		}})
	}
	r := results{}
	if err := contest(t.Context(), slog.New(slog.DiscardHandler), 2, list, r); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, ""); got != "abcbca" {
		t.Errorf("order %s, want abcbca", got)
	}
	for _, n := range []string{"a", "b", "c"} {
		if s, _ := r.spread(n, wall); s != (spread{1, 1.5, 2}) {
			t.Errorf("%s: %v", n, s)
		}
	}
}

func TestReportJudges(t *testing.T) {
	r := report{
		machine: &machine{facts: [][2]string{{"processor", "2 × one"}}, floor: 30e6, commit: "abc1234", before: "0.1", after: "2"}, parts: []string{partBuild, partImport, partInit}, runs: 3, version: "v1.34.4", images: 9,
		results: results{
			crane: {{Wall: 10 * time.Second, CPU: time.Second, Size: 100e6, Content: 100e6}}, skopeo: {{Wall: 20 * time.Second, CPU: time.Second, Size: 80e6, Content: 80e6}},
			ourDefault: walls(50), ourFast: walls(10),
			ourLoad: walls(5), ctrImport: walls(10), ourLoadAgain: walls(0.1), ctrAgain: walls(2),
			ourInit: walls(12), kubeadmInit: walls(10), ourReady: walls(7), kubeadmReady: walls(10),
		},
	}
	var table bytes.Buffer
	if err := r.table(&table); err != nil {
		t.Fatal(err)
	}
	doc := string(r.markdown("# Old\n\n## " + titles[partBuild] + "\n\nold build\n\n## " + titles[partReset] + "\n\nkept reset\n"))
	for _, c := range []struct {
		in   string
		want []string
	}{
		{table.String(), []string{
			"0.50", "≤ 0.65 yes", // content against crane
			"2.50", "≤ 2.00 NO", // wall against skopeo
			"≤ 400 MB yes",
			"not measured", // best
			"≤ 0.45 NO", "≤ 0.2 s yes",
			"1.20", "≤ 1.20 yes", "0.70", "≤ 0.60 NO",
		}},
		{doc, []string{
			"Measured at abc1234: medians of 3 rounds. Load average before 0.1, after 2", "kept reset", "9 images of Kubernetes v1.34.4", "30 MB is the least",
			"- **bundler build, wall**: 2.50 of skopeo --dest-decompress | zstd -3 --long=27 (goal ≤ 2). The encoder",
			"- **bundler build --compression best, size of the content**: no number (goal ≤ 0.55). There is nothing to measure yet.",
			"- **install images load, wall**: 0.50 of ctr images import (goal ≤ 0.45).",
			`skopeo --dest-decompress \| zstd`,
		}},
	} {
		for _, w := range c.want {
			if !strings.Contains(c.in, w) {
				t.Errorf("no %q in\n%s", w, c.in)
			}
		}
	}
	if strings.Contains(doc, "old build") || strings.Count(doc, "\n## ") != len(allParts()) {
		t.Errorf("the document\n%s", doc)
	}
	if strings.Contains(doc, "**install init, images loaded") {
		t.Error("a goal that is reached has an excuse")
	}
}

func TestOnlyNamesParts(t *testing.T) {
	for only, want := range map[string]string{"": strings.Join(allParts(), ","), "init": "init", "reset,upgrade": "upgrade,reset"} {
		if got, err := chosen(only); err != nil || strings.Join(got, ",") != want {
			t.Errorf("-only %q: %v, %v, want %s", only, got, err, want)
		}
	}
	if _, err := chosen("reset,all"); err == nil || !strings.Contains(err.Error(), `no part "all"`) {
		t.Errorf("error %v", err)
	}
}

// Every goal that may be missed says why, so that the document is never left without a reason.
func TestEveryGoalHasAReason(t *testing.T) {
	for _, l := range lines() {
		if (l.goal > 0 || l.next > 0) && l.why == "" {
			t.Errorf("%s, %s: no reason", l.ours, l.quantity.name)
		}
	}
}
