package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// checkHead compares what lies beside the payload with the contract and with SHA256SUMS.
func checkHead(h *head, c *Contract) []error {
	var errs []error
	add := func(path, why string, args ...any) { errs = append(errs, corrupt(path, why, args...)) }
	if h.top != "" && h.top != c.Name() {
		add(h.top, "the top folder should be called %s", c.Name())
	}
	for _, f := range c.Outer {
		got, ok := h.outer[f.Path]
		switch {
		case !ok:
			add(f.Path, "is missing")
		case got.size != f.Size:
			add(f.Path, "has %d bytes, the contract says %d", got.size, f.Size)
		case got.sum != "" && got.sum != f.SHA256:
			add(f.Path, "has digest %s, the contract says %s", got.sum, f.SHA256)
		}
	}
	for name := range h.outer {
		if !slices.ContainsFunc(c.Outer, func(f File) bool { return f.Path == name }) {
			add(name, "is not in the contract")
		}
	}
	if h.payloadSize != c.Payload.Size {
		add(PayloadName, "has %d bytes, the contract says %d", h.payloadSize, c.Payload.Size)
	}
	return append(errs, checkSums(h.sums, c, h.contract)...)
}

var sumLineRE = regexp.MustCompile(`^([0-9a-f]{64}) [ *]([A-Za-z0-9._-]+)$`)

// checkSums compares SHA256SUMS with the contract's digests and with the digest of the contract's own bytes.
func checkSums(sums []byte, c *Contract, contract []byte) []error {
	var errs []error
	add := func(why string, args ...any) { errs = append(errs, corrupt(SumsName, why, args...)) }
	want := map[string]string{ContractName: digestOf(contract), PayloadName: c.Payload.SHA256}
	for _, f := range c.Outer {
		want[f.Path] = f.SHA256
	}
	seen := map[string]bool{}
	for i, line := range strings.Split(strings.TrimSuffix(string(sums), "\n"), "\n") {
		if len(errs) >= maxProblems {
			return append(errs, errMore)
		}
		m := sumLineRE.FindStringSubmatch(line)
		if m == nil {
			add("line %d is not a checksum", i+1)
			continue
		}
		sum, name := digestAlgo+m[1], m[2]
		switch {
		case want[name] == "":
			add("line %d names %s, which is not in the contract", i+1, name)
		case seen[name]:
			add("line %d names %s again", i+1, name)
		case want[name] != sum && name == ContractName:
			errs = append(errs, corrupt(ContractName, "has digest %s, %s says %s", want[name], SumsName, sum))
		case want[name] != sum:
			add("says %s for %s, the contract says %s", sum, name, want[name])
		}
		seen[name] = true
	}
	for name := range want {
		if !seen[name] {
			add("does not name %s", name)
		}
	}
	return errs
}

// sumsFile writes SHA256SUMS. The signature is not in it: signing comes after building.
func sumsFile(c *Contract, contract []byte) []byte {
	sums := map[string]string{ContractName: digestOf(contract), PayloadName: c.Payload.SHA256}
	names := []string{ContractName, PayloadName}
	for _, f := range c.Outer {
		sums[f.Path] = f.SHA256
		names = append(names, f.Path)
	}
	slices.Sort(names)
	var buf bytes.Buffer
	for _, n := range names {
		fmt.Fprintf(&buf, "%s  %s\n", strings.TrimPrefix(sums[n], digestAlgo), n)
	}
	return buf.Bytes()
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return digestAlgo + hex.EncodeToString(sum[:])
}
