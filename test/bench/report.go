package main

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is what a run says.
type report struct {
	machine *machine
	results results
	parts   []string
	runs    int
	version string
	to      string
	images  int
}

// verdict of a goal.
type verdict string

const (
	reached    verdict = "yes"
	notReached verdict = "NO"
	noGoal     verdict = ""
	unmeasured verdict = "not measured"
)

// row is a line with its numbers.
type row struct {
	line
	mine, theirs   spread
	value          float64 // what the goals are about: the ratio, or our number where there is no opponent
	there          bool
	verdict, later verdict
}

func (r report) rows(part string) []row {
	var out []row
	for _, l := range lines() {
		if l.part != part {
			continue
		}
		w := row{line: l}
		var ok bool
		w.mine, w.there = r.results.spread(l.ours, l.quantity)
		w.value = w.mine.median
		if l.opponent != "" {
			w.theirs, ok = r.results.spread(l.opponent, l.quantity)
			w.there = w.there && ok && w.theirs.median > 0
			w.value /= w.theirs.median
		}
		w.verdict, w.later = w.judge(l.goal), w.judge(l.next)
		out = append(out, w)
	}
	return out
}

func (w row) judge(goal float64) verdict {
	switch {
	case goal == 0:
		return noGoal
	case !w.there:
		return unmeasured
	case w.value <= goal:
		return reached
	}
	return notReached
}

func (w row) number(s spread) string { return fmt.Sprintf("%.*f", w.quantity.digits, s.median) }

// cells are what both tables show.
func (w row) cells() []string {
	title := w.ours + ": " + w.quantity.name + " (" + w.quantity.unit + ")"
	mine, opponent, theirs, ratio := "-", w.opponent, "", ""
	if w.there {
		mine = w.number(w.mine)
		if w.opponent != "" {
			theirs, ratio = w.number(w.theirs), fmt.Sprintf("%.2f", w.value)
		}
	}
	return []string{title, mine, opponent, theirs, ratio, w.promise(w.goal, w.verdict), w.promise(w.next, w.later)}
}

func (w row) promise(goal float64, v verdict) string {
	if v == noGoal {
		return ""
	}
	if w.opponent != "" {
		return fmt.Sprintf("≤ %.2f %s", goal, v)
	}
	if goal == none {
		return fmt.Sprintf("0 %s", v)
	}
	return fmt.Sprintf("≤ %g %s %s", goal, w.quantity.unit, v)
}

var head = []string{"ours", "median", "opponent", "median", "ratio", "goal", "next goal"}

// table prints the result for a terminal.
func (r report) table(out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(head, "\t"))
	for _, p := range r.parts {
		for _, w := range r.rows(p) {
			fmt.Fprintln(t, strings.Join(w.cells(), "\t"))
		}
	}
	return t.Flush()
}

var titles = map[string]string{
	partBuild:  "Build: the same content into one file",
	partImport: "Import: the same images into the same daemon, empty",
	partInit:   "Init: the same host, the same images",

	partUpgrade:  "Upgrade: one control plane to the next minor, images already there",
	partSnapshot: "Snapshot: 100 MB of keys saved and restored",
	partReset:    "Reset: a control plane taken off its host",
	partHA:       "Three control planes behind a virtual IP: what a client notices",
}

var methods = map[string]string{
	partBuild: `Every contender fetches %d images of Kubernetes %s and flannel, and kubelet, kubectl, crictl and the CNI plugins, from a registry and a file server on loopback.
Ours begins with an empty cache, verifies every digest and every published checksum, and syncs its file; the opponents do none of that for the programs.
"Size of the content" is our payload against the opponent's file; "size" is our whole file, which has the installer in it.
Peak RSS is that of the largest process; %.0f MB is the least that this run could have seen.
`,
	partImport: `Each run has a fresh containerd with an empty store and counts until the file systems are synced; CPU includes the daemon. Both read their file from the page cache.
After each import the daemon's digests are compared with the registry's. "Again" is the same command once more.
`,
	partInit: `Each run has a fresh host without a network. kubeadm's host is given kubelet, CNI plugins, units, a service route, DNS and the sandbox image's name before the clock starts.
Ours brings all of these itself, within the time. "Ready" is when the API server says so of the node, flannel being applied by ` + "`install init`" + ` or by kubectl.
`,
	partUpgrade: `Each run has a fresh cluster of one host, made by ours or by kubeadm, that goes from %s to %s; the new images are there before the clock starts, for kubeadm its program too.
Ours counts until ` + "`install upgrade apply`" + ` has ended: programs unpacked, etcd saved, the control plane, the kubelet and the node Ready with it. kubeadm leaves the kubelet to people: its
command counts alone, and once more with a new kubelet put into place by hand, until the node is Ready with it. "Without API" is the sum of all gaps of an observer
that asks /readyz over a new connection ten times a second, from the start until the new kubelet's static pods have been quiet for twenty seconds. The upgrade that fails is
given an API server with an unknown flag; the node returns by itself, and what counts is from the first request that fails to the last.
`,
	partSnapshot: `One cluster of one host, whose etcd holds 10,000 keys of 10 kB of random bytes beside the cluster's own. Both save to a file of their own and go back to it, in turn, and a restore counts
until the API server serves. By hand is what the documentation of etcd and Kubernetes says: the static pods' manifests moved away, the ports awaited, ` + "`etcdutl snapshot restore`" + ` with the same
raised revision, the data and the manifests moved into place. Ours also checks the snapshot against its checksum and against the cluster's CA.
`,
	partReset: `Each run has a fresh cluster of one host, made by ours or by kubeadm, with all its pods running there.
`,
	partHA: `One run of ` + "`make test-ha`" + `, which also fails when one of these numbers is too high. A client writes a ConfigMap and reads it, again and again, through the virtual IP. kubeadm has no such address.
`,
}

// markdown is the document. Sections of parts that were not measured stay as they were in the former one.
func (r report) markdown(former string) []byte {
	var b bytes.Buffer
	b.WriteString(`# Benchmarks

Written by ` + "`make bench`" + `; do not edit. Every ratio is ours divided by the opponent's, from one run on one machine in which all took turns. Below 1 is better than the
opponent. Seconds of another machine mean nothing here, ratios do. The parts can be measured one by one: each says of which commit it is, and how busy the machine was.
`)
	list := func(title string, l [][2]string) {
		fmt.Fprintf(&b, "\n| %s | |\n|---|---|\n", title)
		for _, f := range l {
			fmt.Fprintf(&b, "| %s | %s |\n", f[0], f[1])
		}
	}
	list("machine", r.machine.facts)
	list("who", r.machine.versions)
	for _, p := range allParts() {
		if old := section(former, titles[p]); old != "" && !slices.Contains(r.parts, p) {
			b.WriteString(old)
			continue
		}
		r.section(&b, p)
	}
	return b.Bytes()
}

// section is a part of a document with its title, "" if it has none.
func section(doc, title string) string {
	mark := "\n## " + title + "\n"
	at := strings.Index(doc, mark)
	if at < 0 {
		return ""
	}
	doc = doc[at:]
	if end := strings.Index(doc[len(mark):], "\n## "); end >= 0 {
		doc = doc[:len(mark)+end]
	}
	return doc
}

func (r report) section(b *bytes.Buffer, p string) {
	fmt.Fprintf(b, "\n## %s\n\n", titles[p])
	switch p {
	case partBuild:
		fmt.Fprintf(b, methods[p], r.images, r.version, float64(r.machine.floor)/1e6)
	case partUpgrade:
		fmt.Fprintf(b, methods[p], r.version, r.to)
	default:
		b.WriteString(methods[p])
	}
	if slices.Contains(r.parts, p) {
		rounds := fmt.Sprintf("medians of %d rounds", r.rounds(p))
		if r.rounds(p) == 1 {
			rounds = "one round"
		}
		fmt.Fprintf(b, "\nMeasured at %s: %s. Load average before %s, after %s.\n", r.machine.commit, rounds, r.machine.before, r.machine.after)
	}
	rows := r.rows(p)
	fmt.Fprintf(b, "\n| %s |\n|---|--:|---|--:|--:|---|---|\n", strings.Join(head, " | "))
	for _, w := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.ReplaceAll(strings.Join(escape(w.cells()), " | "), "≤ ", "≤\u00a0"))
	}
	r.excuses(b, rows)
	if r.rounds(p) > 1 {
		r.ranges(b, p)
	}
}

func (r report) rounds(part string) int {
	switch part {
	case partBuild, partImport:
		return r.runs
	case partHA:
		return 1
	}
	return min(r.runs, maxInitRuns)
}

// A pipe would end a cell.
func escape(cells []string) []string {
	for i := range cells {
		cells[i] = strings.ReplaceAll(cells[i], "|", `\|`)
	}
	return cells
}

// excuses say what stands in the way of goals that are not reached.
func (r report) excuses(b *bytes.Buffer, rows []row) {
	first := true
	for _, w := range rows {
		if w.verdict != notReached && w.later != notReached && w.verdict != unmeasured && w.later != unmeasured {
			continue
		}
		if first {
			b.WriteString("\nNot reached:\n\n")
			first = false
		}
		why := w.why
		if !w.there {
			why = "There is nothing to measure yet."
		}
		goal := w.goal
		if w.verdict != notReached {
			goal = w.next
		}
		bound := fmt.Sprintf("≤ %g", goal)
		if goal == none {
			bound = "0"
		}
		fmt.Fprintf(b, "- **%s, %s**: %s (goal %s). %s\n", w.ours, w.quantity.name, w.found(), bound, why)
	}
}

func (w row) found() string {
	switch {
	case !w.there:
		return "no number"
	case w.opponent == "":
		return fmt.Sprintf("%.*f %s", w.quantity.digits, w.value, w.quantity.unit)
	}
	return fmt.Sprintf("%.2f of %s", w.value, w.opponent)
}

// ranges show how far the rounds were apart, for whoever doubts a median.
func (r report) ranges(b *bytes.Buffer, part string) {
	b.WriteString("\nLowest and highest of the rounds:\n\n| | wall s | CPU s | peak RSS MB |\n|---|--:|--:|--:|\n")
	seen := map[string]bool{"": true}
	for _, w := range r.rows(part) {
		for _, name := range []string{w.ours, w.opponent} {
			if _, ok := r.results.spread(name, wall); !ok || seen[name] {
				continue
			}
			seen[name] = true
			cells := []string{name}
			for _, q := range []quantity{wall, cpu, memory} {
				s, _ := r.results.spread(name, q)
				cell := fmt.Sprintf("%.*f - %.*f", q.digits, s.low, q.digits, s.high)
				if s.high == 0 {
					cell = ""
				}
				cells = append(cells, cell)
			}
			fmt.Fprintf(b, "| %s |\n", strings.Join(escape(cells), " | "))
		}
	}
}
