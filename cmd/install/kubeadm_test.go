package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kubebundle/installer"
	"kubebundle/installer/phase"
)

var update = flag.Bool("update", false, "write docs/kubeadm.md; the run fails")

const kubeadmPage = "../../docs/kubeadm.md"

// kubeadmTree is what a kubeadm's --help lists: flags by command.
type kubeadmTree map[string][]string

// readKubeadm reads the recordings in testdata/kubeadm, one line per command. They were made by walking through --help of the programs
// that test/differential builds. v1.37.2 has, by its source, the commands and flags of v1.36.3.
func readKubeadm(t *testing.T) (versions []string, trees map[string]kubeadmTree) {
	t.Helper()
	files, err := filepath.Glob("testdata/kubeadm/v*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no recordings", err)
	}
	trees = map[string]kubeadmTree{}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		v := strings.TrimSuffix(filepath.Base(f), ".txt")
		versions, trees[v] = append(versions, v), kubeadmTree{}
		for line := range strings.Lines(string(data)) {
			cmd, flags, ok := strings.Cut(strings.TrimSpace(line), ":")
			if !ok {
				t.Fatalf("%s: %q", f, line)
			}
			trees[v][strings.TrimPrefix(cmd, ".")] = strings.Fields(flags)
		}
	}
	return versions, trees
}

// ours looks in this program for a command, which may go on with names of phases.
func ours(root *cobra.Command, command string) *cobra.Command {
	words := strings.Fields(command)
	cmd, rest, err := root.Find(words)
	if err != nil || len(words) > 0 && cmd == root {
		return nil
	}
	if len(rest) == 0 {
		return cmd
	}
	var known []string
	switch cmd.CommandPath() {
	case "install init phase":
		known = phase.Names(installer.Init())
	case "install join phase":
		known = append(phase.Names(installer.Join()), phase.Names(installer.JoinControlPlane())...)
	case "install reset phase":
		known = installer.ResetPhases()
	case "install certs renew":
		if slices.Contains(cmd.ValidArgs, rest[0]) {
			return cmd
		}
		return nil
	default:
		return nil
	}
	if names, rest := phaseNames(rest, known); len(names) != 1 || len(rest) > 0 {
		return nil
	}
	return cmd
}

// hasFlag looks at a command; at a group, at what is in it.
func hasFlag(cmd *cobra.Command, name string) bool {
	if cmd.Flags().Lookup(name) != nil || cmd.PersistentFlags().Lookup(name) != nil || cmd.InheritedFlags().Lookup(name) != nil {
		return true
	}
	return cmd.HasParent() && slices.ContainsFunc(cmd.Commands(), func(c *cobra.Command) bool { return c.Flags().Lookup(name) != nil })
}

func (r kubeadmRow) fits(command, flag string) bool {
	head, all := strings.CutSuffix(r.command, "*")
	return (command == r.command || all && strings.HasPrefix(command, head)) && (r.flag == flag || r.flag == "*" && flag != "")
}

// verdict is what the page says about one command (flag "") or flag of kubeadm.
type verdict struct {
	command, flag string
	seen          []string // versions
	here          string   // our command; "" where it is missing
	same          bool     // by the same name
	why           string
}

func TestKubeadmPage(t *testing.T) {
	versions, trees := readKubeadm(t)
	root := (&app{}).root()
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	list, used := judge(t, root, versions, trees)
	for i, r := range kubeadmRows() {
		if !used[i] {
			t.Errorf("kubeadm_table_test.go: the row of %q %q is not needed: take it out", r.command, r.flag)
		}
	}
	got := renderKubeadmPage(root, versions, list)
	if *update {
		if err := os.WriteFile(kubeadmPage, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Error("docs/kubeadm.md was written; run again without -update")
	}
	want, err := os.ReadFile(kubeadmPage)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("docs/kubeadm.md does not tell what the program does: go test ./cmd/install -run TestKubeadmPage -update (- page, + program)\n%s", d)
	}
}

// judge compares every command and flag of every recorded kubeadm with this program.
func judge(t *testing.T, root *cobra.Command, versions []string, trees map[string]kubeadmTree) (list []verdict, used map[int]bool) {
	t.Helper()
	seen := map[[2]string][]string{}
	var order [][2]string
	for _, v := range slices.Backward(versions) { // the newest says the order
		for _, cmd := range sortedKeys(trees[v]) {
			for _, f := range append([]string{""}, trees[v][cmd]...) {
				k := [2]string{cmd, f}
				if seen[k] == nil {
					order = append(order, k)
				}
				seen[k] = append([]string{v}, seen[k]...)
			}
		}
	}
	used = map[int]bool{}
	for _, k := range order {
		v := verdict{command: k[0], flag: k[1], seen: seen[k]}
		i := slices.IndexFunc(kubeadmRows(), func(r kubeadmRow) bool { return r.fits(v.command, v.flag) })
		if cmd := ours(root, v.command); cmd != nil && (v.flag == "" || hasFlag(cmd, v.flag)) {
			v.here, v.same = v.command, true
			if i >= 0 && kubeadmRows()[i].flag == v.flag && kubeadmRows()[i].command == v.command {
				r := kubeadmRows()[i]
				used[i], v.same, v.here, v.why = true, false, r.here, r.why // here by its name, and something else
			}
			list = append(list, v)
			continue
		}
		if i < 0 {
			t.Errorf("kubeadm %s --%s is not here: say why in kubeadm_table_test.go", v.command, v.flag)
			continue
		}
		r := kubeadmRows()[i]
		used[i], v.here, v.why = true, r.here, r.why
		if r.here != "" {
			cmd := ours(root, r.here)
			if cmd == nil {
				t.Errorf("kubeadm_table_test.go: %q says that %q does it, which is no command", r.command, r.here)
			} else if v.flag != "" && r.flag == v.flag && !hasFlag(cmd, v.flag) && v.flag != "print-manifest" {
				t.Errorf("kubeadm_table_test.go: %q says that %q has --%s", r.command, r.here, v.flag)
			}
		}
		list = append(list, v)
	}
	return list, used
}

func sortedKeys(m kubeadmTree) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func renderKubeadmPage(root *cobra.Command, versions []string, list []verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# kubeadm's commands and flags, and ours

Made by `+"`go test ./cmd/install -run TestKubeadmPage -update`"+` from this program and from what `+"`--help`"+` of kubeadm %s lists (v1.37.2 is, by its
source, the same as v1.36.3). A flag or command that comes or goes fails that test until this page says so. How the clusters differ that both
make is in [differences.md](differences.md).

## Commands

| kubeadm | here | flags by the same name and meaning |
|---|---|---|
`, strings.Join(versions, ", "))
	isPhase := func(c string) bool { return strings.Contains(c+" ", " phase ") }
	for _, v := range list {
		if v.flag != "" || isPhase(v.command) || v.command == "" || v.command == "help" {
			continue
		}
		var flags []string
		for _, f := range list {
			if f.command == v.command && f.flag != "" && f.same {
				flags = append(flags, "--"+f.flag)
			}
		}
		fmt.Fprintf(&b, "| %s%s | %s | %s |\n", v.command, seenIn(v, versions), here(v), strings.Join(flags, " "))
	}
	b.WriteString("\n## What is different, and what is missing\n\n| kubeadm | here | why |\n|---|---|---|\n")
	for _, l := range differences(list, versions) {
		b.WriteString(l)
	}
	b.WriteString("\n## Phases\n\nAll flags of `init`, `join` and `reset` can be given to their phases. Several can be named at once, as kubeadm writes them (`certs ca`) or\nwith a slash. The same names serve in `--skip-phases`.\n\n| kubeadm | here |\n|---|---|\n")
	for _, v := range list {
		if v.flag == "" && isPhase(v.command) && !strings.HasSuffix(v.command, " phase") && (v.same || v.here != "") {
			fmt.Fprintf(&b, "| %s%s | %s |\n", v.command, seenIn(v, versions), here(v))
		}
	}
	fmt.Fprintf(&b, "\nOurs between them: %s.\n", strings.Join(ownPhases(list), ", "))
	b.WriteString("\n## Only here\n\n| command | flags | what |\n|---|---|---|\n")
	for _, l := range onlyHere(root, list) {
		b.WriteString(l)
	}
	b.WriteString("\n## Gone from kubeadm\n\nWhat an older kubeadm had and v1.34 has not, with what does it here. Seen in its reference pages of v1.10 and v1.11 and in the sources\nof v1.17.17, v1.20.15, v1.22.17, v1.25.16, v1.28.15 and v1.31.14.\n\n| kubeadm | seen in | here |\n|---|---|---|\n")
	for _, g := range gone() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", g.what, g.seen, g.here)
	}
	b.WriteString("\n## kubeadm's own feature gates\n\nThe first six are of v1.10 to v1.12. Every gate is checked against the version before anything is changed: one that does not exist (any more) is refused with what became\nof it and with those that do.\n\n| gate | here |\n|---|---|\n")
	for _, g := range oldGates() {
		fmt.Fprintf(&b, "| %s | %s |\n", g[0], g[1])
	}
	return b.String()
}

func seenIn(v verdict, versions []string) string {
	if len(v.seen) == len(versions) {
		return ""
	}
	return " (" + strings.Join(v.seen, ", ") + ")"
}

func here(v verdict) string {
	switch {
	case v.same:
		return "the same"
	case v.here != "":
		return "`" + v.here + "`"
	default:
		return "missing"
	}
}

// differences are the rows of what is not the same, one for all commands that share a reason.
func differences(list []verdict, versions []string) []string {
	type key struct{ flag, here, why string }
	commands := map[key][]string{}
	var order []key
	for _, v := range list {
		if v.same || v.why == "see the command" || v.why == "" {
			continue
		}
		k := key{v.flag, here(v), v.why}
		if commands[k] == nil {
			order = append(order, k)
		}
		commands[k] = append(commands[k], v.command+seenIn(v, versions))
	}
	var out []string
	for _, k := range order {
		cmds := commands[k]
		what := strings.Join(cmds, ", ")
		if len(cmds) > 6 {
			what = strings.Join(cmds[:3], ", ") + fmt.Sprintf(" and %d more", len(cmds)-3)
		}
		if k.flag != "" {
			what = "--" + k.flag + " of " + what
		}
		out = append(out, fmt.Sprintf("| %s | %s | %s |\n", strings.TrimSuffix(what, " of "), k.here, k.why))
	}
	return out
}

// ownPhases are those that kubeadm does not have.
func ownPhases(list []verdict) []string {
	theirs := map[string]bool{}
	for _, v := range list {
		if i := strings.Index(v.command, " phase "); i > 0 {
			theirs[strings.ReplaceAll(v.command[i+len(" phase "):], " ", "/")] = true
		}
	}
	var out []string
	for _, n := range append(append(phase.Names(installer.Init()), phase.Names(installer.JoinControlPlane())...), installer.ResetPhases()...) {
		if !theirs[n] && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}

// initLike says whether a command takes what init takes.
func initLike(root, cmd *cobra.Command) bool {
	all := cmd.Name() != "init"
	ours(root, "init").LocalFlags().VisitAll(func(f *pflag.Flag) {
		all = all && (f.Name == "help" || f.Name == "configure-runtime" || f.Name == "rootfs" || cmd.Flags().Lookup(f.Name) != nil)
	})
	return all
}

// onlyHere are the commands and flags that no kubeadm has, in the words of --help.
func onlyHere(root *cobra.Command, list []verdict) []string {
	theirs := map[string]bool{}
	for _, v := range list {
		if v.here == "" && !v.same {
			continue
		}
		if cmd := ours(root, v.here); cmd != nil {
			theirs[cmd.CommandPath()+" "+v.flag] = true
		}
	}
	var out []string
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		known := theirs[cmd.CommandPath()+" "]
		if cmd == root || strings.HasPrefix(cmd.CommandPath(), "install completion") || cmd.Name() == "help" {
			known = true
		}
		var flags, usage []string
		visit := func(f *pflag.Flag) {
			known := theirs[cmd.CommandPath()+" "+f.Name] || cmd.HasParent() && theirs[cmd.Parent().CommandPath()+" "+f.Name]
			if !known && f.Name != "help" && !f.Hidden && !strings.HasPrefix(cmd.CommandPath(), "install completion") {
				_, text := pflag.UnquoteUsage(f)
				flags, usage = append(flags, "--"+f.Name), append(usage, "--"+f.Name+": "+text)
			}
		}
		cmd.LocalFlags().VisitAll(visit)
		if initLike(root, cmd) { // the list is under init
			common := func(text string) bool {
				name, _, _ := strings.Cut(text[len("--"):], ":")
				return ours(root, "init").Flags().Lookup(name) != nil
			}
			flags, usage = slices.DeleteFunc(flags, common), slices.DeleteFunc(usage, common)
			flags = append([]string{"those of init"}, flags...)
		}
		name := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "install"), " ")
		switch {
		case !known:
			out = append(out, fmt.Sprintf("| %s | %s | %s |\n", name, strings.Join(flags, " "), cmd.Short))
		case len(usage) > 0 && !strings.HasSuffix(name, " phase"):
			if name == "" {
				name = "(all)"
			}
			out = append(out, fmt.Sprintf("| %s | %s | %s |\n", name, strings.Join(flags, " "), strings.ReplaceAll(strings.Join(usage, "; "), "|", "\\|")))
		}
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(root)
	return out
}
