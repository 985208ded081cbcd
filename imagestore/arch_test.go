package imagestore

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// TestCheckArch: images that say amd64, asked for as arm64 through an index that says arm64.
func TestCheckArch(t *testing.T) {
	reg := newRegistry(t)
	arm, amd := elfFor(elf.EM_AARCH64), elfFor(elf.EM_X86_64)
	layer := func(entries ...entry) v1.Layer { return layerOf(t, compression.GZip, entries...) }
	entrypoint := func(args ...string) v1.Config { return v1.Config{Entrypoint: args} }
	i := 0
	for name, c := range map[string]struct {
		cfg    v1.Config
		layers []v1.Layer
		want   string // in the warning; "" for an error that says refuse
		refuse string
	}{
		"right program": {cfg: entrypoint("/coredns"), layers: []v1.Layer{layer(entry{name: "coredns", content: arm})}, want: "/coredns is a program for arm64"},
		"wrong program": {cfg: entrypoint("/coredns"), layers: []v1.Layer{layer(entry{name: "./coredns", content: amd})}, refuse: "/coredns is a program for amd64"},
		"found by PATH": {
			cfg:    v1.Config{Cmd: []string{"etcd"}, Env: []string{"X=1", "PATH=/nowhere:/opt/bin"}},
			layers: []v1.Layer{layer(entry{name: "opt/bin/etcd", content: arm}, entry{name: "bin/etcd", content: amd})}, want: "/opt/bin/etcd",
		},
		"found by the usual PATH": {cfg: entrypoint("etcd"), layers: []v1.Layer{layer(entry{name: "usr/bin/etcd", content: arm})}, want: "/usr/bin/etcd"},
		"relative to the working directory": {
			cfg:    v1.Config{Entrypoint: []string{"./run"}, WorkingDir: "/srv"},
			layers: []v1.Layer{layer(entry{name: "srv/run", content: arm})}, want: "/srv/run",
		},
		"through links": {
			cfg: entrypoint("/bin/sh"),
			layers: []v1.Layer{layer(
				entry{name: "bin", link: "usr/bin"}, entry{name: "usr/bin/sh", link: "/etc/alternatives/sh"},
				entry{name: "etc/alternatives/sh", link: "../../usr/bin/busybox"}, entry{name: "usr/bin/real", content: arm},
				entry{name: "usr/bin/busybox", link: "usr/bin/real", hard: true},
			)}, want: "/usr/bin/real",
		},
		"links in a circle": {
			cfg:    entrypoint("/a"),
			layers: []v1.Layer{layer(entry{name: "a", link: "b"}, entry{name: "b", link: "a"}, entry{name: "x", content: arm})}, want: "/x is a program for arm64",
		},
		"a later layer replaces it": {
			cfg:    entrypoint("/x"),
			layers: []v1.Layer{layer(entry{name: "x", content: arm}), layer(entry{name: "x", content: amd})}, refuse: "amd64",
		},
		"a whiteout removes it": {
			cfg:    entrypoint("/x"),
			layers: []v1.Layer{layer(entry{name: "x", content: amd}, entry{name: "y", content: arm}), layer(entry{name: ".wh.x"})}, want: "/y",
		},
		"an opaque folder hides what was below, not what comes with it": {
			cfg: entrypoint("/bin/x"),
			layers: []v1.Layer{
				layer(entry{name: "bin/x", content: amd}, entry{name: "bin/old", content: amd}),
				layer(entry{name: "bin/x", content: arm}, entry{name: "bin/.wh..wh..opq"}),
			}, want: "/bin/x is a program for arm64",
		},
		"a script": {
			cfg:    entrypoint("/run.sh"),
			layers: []v1.Layer{layer(entry{name: "run.sh", content: "#!/bin/sh\n" + strings.Repeat("#", 50)}, entry{name: "bin/sh", content: arm})}, want: "/bin/sh",
		},
		"a script over wrong programs": {
			cfg:    entrypoint("/run.sh"),
			layers: []v1.Layer{layer(entry{name: "run.sh", content: "#!/bin/sh"}, entry{name: "bin/sh", content: amd})}, refuse: "/bin/sh is a program for amd64",
		},
		"no program at all": {layers: []v1.Layer{layer(entry{name: "data", content: "x"})}, want: "no program to judge by"},
	} {
		t.Run(name, func(t *testing.T) {
			i++
			ref := reg.push(t, fmt.Sprintf("img%d:1", i), indexOf(t, map[string]v1.Image{"linux/arm64": imageOf(t, "amd64", c.cfg, c.layers...)}))
			s := newStore(t, Options{})
			img := resolve(t, s, ref, linuxARM64)
			for range 2 { // a second Fetch adds no second warning
				err := s.Fetch(t.Context(), []*Image{img})
				if c.refuse != "" {
					if !errors.Is(err, ErrPlatform) || !strings.Contains(err.Error(), c.refuse) || !strings.Contains(err.Error(), ref) {
						t.Errorf("got %v, want it to say %q", err, c.refuse)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if len(img.Warnings) != 1 || !strings.Contains(img.Warnings[0], c.want) || !strings.Contains(img.Warnings[0], "the config says amd64") {
					t.Errorf("warnings are %q, want one that says %q", img.Warnings, c.want)
				}
			}
		})
	}
	t.Run("nothing to say", func(t *testing.T) {
		ref := reg.push(t, "fine:1", imageOf(t, "arm64", entrypoint("/x"), layer(entry{name: "x", content: amd})))
		s := newStore(t, Options{})
		img := resolve(t, s, ref, linuxARM64)
		if warning, err := s.CheckArch(t.Context(), img, linuxARM64); warning != "" || err != nil {
			t.Errorf("%q, %v", warning, err)
		}
		if n := reg.count("GET blobs"); n != 1 {
			t.Errorf("%d blobs were read for an image that needs no look", n)
		}
		if _, err := s.CheckArch(t.Context(), img, Platform{OS: "windows", Arch: "arm64"}); !errors.Is(err, ErrPlatform) {
			t.Errorf("another system: %v", err)
		}
		if _, err := s.CheckArch(t.Context(), &Image{Ref: "x"}, linuxARM64); err == nil {
			t.Error("an image that was not resolved")
		}
	})
}

func TestElfArch(t *testing.T) {
	bigEndian := []byte(elfFor(0))
	bigEndian[elf.EI_DATA], bigEndian[19] = byte(elf.ELFDATA2MSB), byte(elf.EM_PPC64)
	s390 := bytes.Clone(bigEndian)
	s390[19] = byte(elf.EM_S390)
	x32 := []byte(elfFor(elf.EM_X86_64))
	x32[elf.EI_CLASS] = byte(elf.ELFCLASS32)
	for want, file := range map[string]string{
		"amd64": elfFor(elf.EM_X86_64), "386": elfFor(elf.EM_386), "arm64": elfFor(elf.EM_AARCH64), "arm": elfFor(elf.EM_ARM),
		"riscv64": elfFor(elf.EM_RISCV), "loong64": elfFor(elf.EM_LOONGARCH), "ppc64le": elfFor(elf.EM_PPC64), "ppc64": string(bigEndian),
		"s390x": string(s390), "mips (class64, 2lsb)": elfFor(elf.EM_MIPS), "x86_64 (class32, 2lsb)": string(x32),
		"bpf": elfFor(elf.EM_BPF), "": "#!/bin/sh is no program",
	} {
		if got := elfArch(strings.NewReader(file)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := elfArch(strings.NewReader(elf.ELFMAG)); got != "" {
		t.Errorf("a cut header is %q", got)
	}
}

func FuzzRootfs(f *testing.F) {
	f.Add([]byte("not a tar"), "/x")
	f.Add(tarOf(f, entry{name: "bin/x", content: elfFor(elf.EM_AARCH64)}, entry{name: "x", link: "bin/x"}, entry{name: ".wh.y"}), "bin/../x")
	f.Add(tarOf(f, entry{name: "a", link: "b"}, entry{name: "b", link: "a/c"}, entry{name: "d/.wh..wh..opq"}), "/a/x")
	f.Fuzz(func(t *testing.T, data []byte, start string) {
		tree := rootfs{}
		if err := tree.add(bytes.NewReader(data)); err != nil {
			return
		}
		tree.entrypoint(v1.Config{Entrypoint: []string{start}})
		for name := range tree {
			if !strings.HasPrefix(name, "/") || strings.Contains(name, "/../") {
				t.Errorf("path %q is not clean", name)
			}
			tree.follow(name)
		}
	})
}
