package containerd

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Editing of TOML text by line. It understands what people and `containerd config default` write; [Configure] checks the outcome with a real
// parser, so what it does not understand becomes an error and never a wrong file.

// edit sets one key: in its line if there is one, else below its table's header, else in a new table at the end.
func edit(text string, s setting) string {
	lines := strings.SplitAfter(text, "\n")
	in := len(s.table) == 0
	insertAt, indent := -1, ""
	if in {
		insertAt = 0
	}
	for i, line := range lines {
		if path, ok := parseHeader(line); ok {
			in = slices.Equal(path, s.table)
			if in {
				insertAt, indent = i+1, leading(line)+"  "
			}
			continue
		}
		if in && keyOf(line) == s.key {
			last := i + continued(lines[i:])
			lines[i] = leading(line) + s.line() + trailing(lines[i:last+1])
			return strings.Join(slices.Delete(lines, i+1, last+1), "")
		}
	}
	if insertAt < 0 {
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		if text != "" {
			text += "\n"
		}
		return text + header(s.table) + "\n  " + s.line() + "\n"
	}
	if len(s.table) == 0 {
		// Above everything, but below the comment that opens the file.
		for insertAt < len(lines) && strings.HasPrefix(lines[insertAt], "#") {
			insertAt++
		}
	}
	if insertAt > 0 && !strings.HasSuffix(lines[insertAt-1], "\n") {
		lines[insertAt-1] += "\n"
	}
	return strings.Join(slices.Insert(lines, insertAt, indent+s.line()+"\n"), "")
}

func leading(line string) string { return line[:len(line)-len(strings.TrimLeft(line, " \t"))] }

// continued counts the further lines of an array that is not closed on its first.
func continued(lines []string) int {
	depth := 0
	for i, line := range lines {
		code, _ := splitComment(line)
		depth += strings.Count(code, "[") - strings.Count(code, "]")
		if depth <= 0 {
			return i
		}
	}
	return 0
}

// trailing is what follows a value on its last line: a comment, and the line's end.
func trailing(lines []string) string {
	last := lines[len(lines)-1]
	_, comment := splitComment(last)
	end := ""
	if strings.HasSuffix(last, "\r\n") {
		end = "\r\n"
	} else if strings.HasSuffix(last, "\n") {
		end = "\n"
	}
	if comment = strings.TrimRight(comment, "\r\n"); comment != "" {
		return " " + comment + end
	}
	return end
}

// splitComment splits a line at the # that is outside of strings.
func splitComment(line string) (code, comment string) {
	var quote rune
	escaped := false
	for i, c := range line {
		switch {
		case escaped:
			escaped = false
		case quote == '"' && c == '\\':
			escaped = true
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			return line[:i], line[i:]
		}
	}
	return line, ""
}

// parseHeader reads a table's header: [plugins."io.containerd.grpc.v1.cri".cni].
func parseHeader(line string) ([]string, bool) {
	code, _ := splitComment(line)
	code = strings.TrimSpace(code)
	if !strings.HasPrefix(code, "[") || !strings.HasSuffix(code, "]") || strings.HasPrefix(code, "[[") {
		return nil, false
	}
	path, rest := parseKey(code[1 : len(code)-1])
	return path, rest == "" && len(path) > 0
}

// keyOf is the key that a line gives a value, "" if it gives none or a dotted one.
func keyOf(line string) string {
	path, rest := parseKey(line)
	if len(path) != 1 || !strings.HasPrefix(rest, "=") {
		return ""
	}
	return path[0]
}

// parseKey reads a dotted key and gives what follows it.
func parseKey(s string) (path []string, rest string) {
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" {
			return nil, s
		}
		var part string
		if q := s[0]; q == '"' || q == '\'' {
			end := strings.IndexByte(s[1:], q)
			if end < 0 || strings.Contains(s[1:1+end], `\`) {
				return nil, s
			}
			part, s = s[1:1+end], s[2+end:]
		} else {
			n := strings.IndexFunc(s, func(r rune) bool { return !bareRune(r) })
			if n < 0 {
				n = len(s)
			}
			part, s = s[:n], s[n:]
		}
		if part == "" {
			return nil, s
		}
		path = append(path, part)
		s = strings.TrimLeft(s, " \t")
		if !strings.HasPrefix(s, ".") {
			return path, s
		}
		s = s[1:]
	}
}

func bareRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

var bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func header(table []string) string {
	if len(table) == 0 {
		return "(top)"
	}
	parts := make([]string, 0, len(table))
	for _, p := range table {
		if !bareKey.MatchString(p) {
			p = strconv.Quote(p)
		}
		parts = append(parts, p)
	}
	return "[" + strings.Join(parts, ".") + "]"
}

// literal writes the kinds of values that [Configure] sets.
func literal(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case []any:
		parts := make([]string, 0, len(v))
		for _, e := range v {
			parts = append(parts, literal(e))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	default:
		return fmt.Sprint(v)
	}
}
