# bundle, release, runtime are folders of this project: every target is phony.
SHELL      := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
ARCHES  ?= amd64 arm64 arm ppc64le s390x
HOSTARCH := $(shell go env GOARCH)
# install is Go alone. bundler has libzstd in it (docs/adr/0010-libzstd-encodes.md), so it needs a C compiler to be built, and nothing to run.
GOBUILD := go build -trimpath -buildvcs=false
LDFLAGS := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 10s
FUZZDIR ?= .

.PHONY: build tools prepare lint test test-short test-unit test-fuzz test-fuzz-bundle test-integration test-differential test-e2e test-e2e-newest test-e2e-docker test-v1.10 test-arm64 test-upgrade test-ha test-crash test-adoption test-all bench demo clean help

help: ## this text
	@grep -hE '^[a-z0-9.-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-18s %s\n", $$1, $$2}'

build: ## bin/bundler, and bin/install-linux-ARCH for every arch (ARCHES="amd64 arm64" for fewer)
	CGO_ENABLED=1 CGO_CFLAGS=-O3 $(GOBUILD) -tags netgo,osusergo -ldflags '$(LDFLAGS) -extldflags=-static' -o bin/bundler ./cmd/bundler
	for a in $(ARCHES); do CGO_ENABLED=0 GOARCH=$$a GOOS=linux $(GOBUILD) -ldflags '$(LDFLAGS)' -o bin/install-linux-$$a ./cmd/install; done

tools:
	cd .ci/tools && go build -buildvcs=false -o ../../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint

prepare: ## installs the Debian packages that the lab needs (root)
	go run ./test/lab prepare

lint: tools ## the architecture and the house rules
	bin/golangci-lint run ./...

test-short: test-unit ## what needs no root

# Those that need root have targets of their own; with CI=true they would refuse to be left out here.
UNIT = $$(go list ./... | grep -vE '/test/(e2e|differential|ha|arm64|upgrade|crash|adoption)')

test-unit: ## unit tests, CLI scripts, goldens, corpora
	go test $(UNIT)
	CGO_ENABLED=0 go test ./bundle/encoder

# An input that is being made smaller when the time is over ends the run with "context deadline exceeded", as if it had failed: so little is made smaller.
test-fuzz: ## every fuzz target for FUZZTIME, starting from its corpus
	grep -rl --include=*_test.go '^func Fuzz' $(FUZZDIR) | xargs -n1 dirname | sort -u | while read -r d; do \
	  for f in $$(grep -hoE '^func (Fuzz[A-Za-z0-9_]+)' $$d/*_test.go | awk '{print $$2}'); do \
	    go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./$$d || exit; done; done

# The targets for the bytes of a bundle. Those that link client-go take minutes to build with coverage.
test-fuzz-bundle: ## the fuzz targets for the bytes of bundles, FUZZTIME each
	$(MAKE) test-fuzz FUZZDIR=bundle

test-integration: prepare ## real containerd and Docker daemons, a real API server (root)
	go run ./test/lab integration

test-differential: prepare ## every kubeadm that can be built against what we render (root; VERSIONS=ci for three of them)
	KUBEBUNDLE_DIFFERENTIAL=$(or $(VERSIONS),all) go test -count=1 -timeout 60m ./test/differential/...

test-e2e: prepare ## real hosts, real Kubernetes, no network: v1.34.4 on containerd 1.6 (root)
	KUBEBUNDLE_E2E=1 go test -count=1 -timeout 45m -v ./test/e2e

test-e2e-newest: prepare ## the same with v1.36.3 on containerd 2.x (root)
	KUBEBUNDLE_E2E=1 KUBEBUNDLE_E2E_VERSION=v1.36.3 KUBEBUNDLE_E2E_RUNTIME=containerd2 go test -count=1 -timeout 45m -v ./test/e2e

# What Docker shows differently from containerd. The rest has no part in the runtime: tokens, bad joins and bundles, a full disk, certificates.
ONDOCKER = ready|network|logsexec|digests|again|airgap|vanished|reboot|dockerdriver|reset

# Not in test: the lab's cri-dockerd, a stand-in, has not been seen to come up yet.
test-e2e-docker: prepare ## v1.34.4 on Docker 20.10 behind cri-dockerd (root)
	KUBEBUNDLE_E2E=1 KUBEBUNDLE_E2E_RUNTIME=cri-dockerd go test -count=1 -timeout 45m -v ./test/e2e -run 'TestE2E/^($(ONDOCKER))$$'

test-v1.10: prepare ## the same with the real Kubernetes v1.10.6 on Docker with dockershim (root)
	KUBEBUNDLE_E2E=1 KUBEBUNDLE_E2E_VERSION=v1.10.6 KUBEBUNDLE_E2E_RUNTIME=docker go test -count=1 -timeout 45m -v ./test/e2e

test-ha: prepare ## three control planes behind a virtual IP: kubeadm's suite, reset and join, two upgrades, restore, the holder's power cut (root; HA_TO=v1.35.4 for one upgrade)
	KUBEBUNDLE_E2E=1 KUBEBUNDLE_HA_TO=$(HA_TO) KUBEBUNDLE_LAB_COMPRESSION=fast go test -count=1 -timeout 45m -v ./test/ha

test-arm64: prepare ## a bundle of v1.10.6 for arm64 from a cross-built Kubernetes, and its programs under an emulator (root)
	KUBEBUNDLE_ARM64=1 go test -count=1 -timeout 45m -v ./test/arm64

test-upgrade: prepare ## v1.34.4 to v1.35.4 and v1.36.3 on real hosts: done, failed and back, killed and finished (root)
	KUBEBUNDLE_UPGRADE=1 go test -count=1 -timeout 45m -v ./test/upgrade

test-adoption: prepare ## install on a cluster of kubeadm's, and kubeadm on one of ours (root)
	KUBEBUNDLE_E2E=1 go test -count=1 -timeout 45m -v ./test/adoption

test-crash: prepare ## init, join, upgrade and reset killed before and after every step (root; KUBEBUNDLE_CRASH=all for join and reset of a worker too)
	KUBEBUNDLE_E2E=1 go test -count=1 -timeout 60m -v ./test/crash

# The three that take longest are not in test, and of test-ha the second upgrade is not: with them it is longer than the ninety minutes that a gate has.
test: VERSIONS = ci
test: HA_TO = v1.35.4
test: prepare lint test-unit test-fuzz-bundle test-integration test-differential test-e2e test-e2e-newest test-arm64 test-v1.10 test-ha ## everything that fits into a gate (root)

test-all: test test-upgrade test-adoption test-crash ## what the gate has no time for, too: two hours and a half (root)

bench: prepare ## build, import, init, upgrade, snapshot, reset against named opponents, as ratios of one run, and what a client of three control planes notices (root; BENCH="-only upgrade,reset -runs 1" measures some of it)
	go run ./test/bench $(BENCH)

demo: prepare ## a cluster of two hosts without network, shown and taken down (root; KEEP=1 leaves it)
	go run ./test/demo

clean: ## away with what was built here
	rm -rf bin dist
