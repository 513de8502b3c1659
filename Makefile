# Targets with a "##" comment are the interface; "make help" prints them. The
# others are files, or steps whose names begin with a dot.

SHELL := /bin/bash -euo pipefail
.DEFAULT_GOAL := help

TOOLS  := $(CURDIR)/bin/tools
# Pinned; built here so that its dependencies never enter our go.sum.
GOLANGCI_VERSION := v2.15.0
LINT   := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)
# Versions of these come from go.mod.
GO_TOOLS := $(TOOLS)/protoc-gen-go $(TOOLS)/protoc-gen-go-grpc

PROTOS := protocol/wire/wire.proto $(wildcard protocol/rpc/*.proto predictor/keda/*.proto)
WEB    := federation/e2e/web
TIME   ?= 30s
PKG    ?= ./...

# Commands that "make test" needs beside Go, git and make, with the Debian
# packages (comma separated) that bring them.
SYSTEM := gcc:gcc,libc6-dev protoc:protobuf-compiler node:nodejs npm:npm chromium:chromium prometheus:prometheus

# Pure calculations without goroutines: the race detector would find nothing, and
# make them ten times slower.
PURE := $(addprefix ./predictor/,arima backtest capacity emd forecast seasonal sim)

.PHONY: run
run: bin/barrage ## everything in one process, on embedded defaults
	bin/barrage dev --data .data/dev

.PHONY: test
test: .system .web $(LINT) ## everything a fresh machine can prove; installs what it needs
	go vet ./...
	$(LINT) run ./...
	go test -count=1 ./docs
	$(MAKE) --no-print-directory .fresh
	go test -count=1 -run '^TestAnIdleConnectionIsSmall$$' ./protocol/transport # skips under -race
	go test -count=1 ./filter # a million messages, and costs, which -race would multiply
	go test -count=1 -shuffle=on $(PURE)
	go test -race -shuffle=on -timeout 20m $$(go list ./... | grep -v /federation/e2e | grep -vxF "$$(go list $(PURE))")
	go test -count=1 -timeout 45m -v ./federation/e2e

.PHONY: check
check: $(LINT) ## the quick part, under two minutes: format, vet, lint, import table, short tests
	$(LINT) fmt --diff
	go vet ./...
	$(LINT) run ./...
	go test -short -race $$(go list ./... | grep -v /federation/e2e)

# The lab is a module of its own and needs root; see fleet/lab/README.md.
LAB_SYSTEM := containerd runc containernetworking-plugins nftables iptables iproute2 docker-registry git

.PHONY: lab-up
lab-up: .lab-system bin/barrage-lab ## three real regional clusters on this machine (root)
	bin/barrage-lab up

.PHONY: lab-down
lab-down: bin/barrage-lab ## stop them, leave nothing behind
	bin/barrage-lab down

.PHONY: test-lab
test-lab: .lab-system ## the lab itself: start, faults, stop (root)
	cd fleet/lab && BARRAGE_LAB=1 go test -count=1 -v -timeout 60m . ./plan ./daemon ./wan

.PHONY: bin/barrage-lab
bin/barrage-lab:
	cd fleet/lab && go build -o ../../bin/barrage-lab .

.PHONY: .lab-system
.lab-system:
	@dpkg -s $(LAB_SYSTEM) >/dev/null 2>&1 || { apt-get update && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(LAB_SYSTEM); }

.PHONY: fuzz
fuzz: ## each Fuzz* for TIME (default 30s)
	for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for f in $$(go test -list '^Fuzz' $$dir | grep '^Fuzz'); do \
			go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(TIME) $$dir; \
		done; \
	done

.PHONY: bench
ifdef OLD
bench: ## whole service against its peers; with OLD=ref: benchmarks of PKG ten times here and there, then benchstat
	mkdir -p bin/bench
	go test -run '^$$' -bench . -benchmem -count=10 $(PKG) | tee bin/bench/new.txt
	rm -rf bin/bench/old && git worktree prune && git worktree add --detach bin/bench/old $(OLD)
	trap 'git worktree remove --force bin/bench/old' EXIT; \
		(cd bin/bench/old && go test -run '^$$' -bench . -benchmem -count=10 $(PKG)) | tee bin/bench/old.txt
	go tool benchstat bin/bench/old.txt bin/bench/new.txt
else
bench:
	mkdir -p bin/bench
	go run ./protocol/cmd/bench/suite --dir bin/bench
endif

.PHONY: gen
gen: $(GO_TOOLS) ## regenerate code from the schemas
	PATH="$(TOOLS):$$PATH" protoc -I . \
		--go_out=. --go_opt=module=github.com/barrage-im/barrage \
		--go-grpc_out=. --go-grpc_opt=module=github.com/barrage-im/barrage $(PROTOS)
	go generate ./...

.PHONY: help
help: ## print this table
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | awk -F '\t' '{printf "  make %-8s %s\n", $$1, $$2}'

# Generated code must be what the schemas give. The line that names protoc's own
# version is not compared: distributions differ.
.PHONY: .fresh
.fresh: $(GO_TOOLS)
	tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; \
	PATH="$(TOOLS):$$PATH" protoc -I . \
		--go_out="$$tmp" --go_opt=module=github.com/barrage-im/barrage \
		--go-grpc_out="$$tmp" --go-grpc_opt=module=github.com/barrage-im/barrage $(PROTOS); \
	for f in $$(cd "$$tmp" && find . -name '*.pb.go'); do \
		diff -I '^// .*protoc  *v[0-9]' "$$tmp/$$f" "$$f" >/dev/null || { echo "$$f is stale; run: make gen"; exit 1; }; \
	done

.PHONY: .system
.system:
	@missing=""; \
	for pair in $(SYSTEM); do \
		command -v "$${pair%%:*}" >/dev/null || missing="$$missing $${pair##*:}"; \
	done; \
	if [ -n "$$missing" ]; then \
		apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $${missing//,/ }; \
	fi

.PHONY: .web
.web: $(WEB)/node_modules/.package-lock.json

$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json | .system
	npm --prefix $(WEB) ci --no-audit --no-fund --ignore-scripts

.PHONY: bin/barrage
bin/barrage: # go build knows best whether it is up to date; without cgo it needs no C compiler, and a third less time
	CGO_ENABLED=0 go build -ldflags=-w -o bin/barrage .

$(LINT):
	GOBIN="$(TOOLS)" go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv "$(TOOLS)/golangci-lint" "$@"

$(TOOLS)/protoc-gen-go: go.mod
	go build -o $@ google.golang.org/protobuf/cmd/protoc-gen-go

$(TOOLS)/protoc-gen-go-grpc: go.mod
	go build -o $@ google.golang.org/grpc/cmd/protoc-gen-go-grpc
