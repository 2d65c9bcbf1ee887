# GNU make. "make help" lists the targets: those with a "##" comment.

GO          ?= go
PREFIX      ?= /usr/local
DESTDIR     ?=
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null)

FUZZTIME    ?= 60s
BENCHTIME   ?= 1s
TESTFLAGS   ?=
RACEFLAGS   ?= -timeout 20m

# Tools are pinned here and not in go.mod, which holds what ships.
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.9.0
VULNDB      ?= https://vuln.go.dev

bindir  = $(DESTDIR)$(PREFIX)/bin
mandir  = $(DESTDIR)$(PREFIX)/share/man/man1
bashdir = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
zshdir  = $(DESTDIR)$(PREFIX)/share/zsh/site-functions
fishdir = $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: build ## build, then watch real jobs run, fail, retry and die in a temporary spool
	@sh docs/demo.sh bin/queuectl

.PHONY: test
test: ## run all tests
	$(GO) test $(TESTFLAGS) ./...

# The version comes from git here, and not from -buildvcs, which refuses to
# build at all where git does not trust the owner of the directory. Without cgo
# the binary needs no C library, and starts a seventh faster.
.PHONY: build
build: ## build bin/queuectl
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '-X main.version=$(VERSION)' -o bin/queuectl ./cmd/queuectl

.PHONY: install
install: build ## install the binary, man pages and completions below PREFIX (/usr/local), staged in DESTDIR
	install -d $(bindir) $(mandir) $(bashdir) $(zshdir) $(fishdir)
	install -m 755 bin/queuectl $(bindir)/queuectl
	for m in docs/man/*.1; do if [ -e "$$m" ]; then install -m 644 "$$m" $(mandir) || exit 1; fi; done
	bin/queuectl completion bash > $(bashdir)/queuectl
	bin/queuectl completion zsh > $(zshdir)/_queuectl
	bin/queuectl completion fish > $(fishdir)/queuectl.fish

.PHONY: check
check: lint vuln test race ## all that a change must pass

.PHONY: lint
lint: ## what can be told without running: format, vet (also for macOS and FreeBSD), staticcheck, go.mod
	@out=$$($(GO) run $(GOFUMPT) -l .) && { [ -z "$$out" ] || { echo "not formatted (gofumpt -w):"; echo "$$out"; exit 1; }; }
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	GOOS=freebsd $(GO) vet ./...
	for os in openbsd netbsd dragonfly; do GOOS=$$os $(GO) build ./... || exit 1; done
	$(GO) run $(STATICCHECK) ./...
	$(GO) mod tidy -diff

.PHONY: vuln
vuln: ## look in VULNDB for known holes in what is used; skipped, aloud, where it cannot be reached
	@out=$$($(GO) run $(GOVULNCHECK) -db $(VULNDB) ./... 2>&1) && status=0 || status=$$?; \
	printf '%s\n' "$$out"; \
	case "$$out" in *"govulncheck: fetching vulnerabilities:"*) \
		echo "vuln: SKIPPED: $(VULNDB) cannot be reached, so nothing was looked up"; exit 0 ;; \
	esac; \
	exit $$status

# A program with the race detector waits a second at its end unless told
# otherwise, and the tests start hundreds of them.
.PHONY: race
race: ## run all tests, in their short form, under the race detector
	GORACE='atexit_sleep_ms=10 halt_on_error=1' $(GO) test -race -short $(RACEFLAGS) ./...

TORTURE     ?= 60s

.PHONY: torture
torture: build ## let pools and enqueuers be killed at random for TORTURE (60s) on this file system, and count
	bin/queuectl torture --dir . --for $(TORTURE)

SOAKJOBS    ?= 1000000

.PHONY: soak
soak: ## send SOAKJOBS (1000000) jobs through pools that are killed at random
	QUEUECTL_LONG=1 QUEUECTL_SOAK_JOBS=$(SOAKJOBS) $(GO) test ./cmd/queuectl -run '^TestSoak$$' -v -count 1 -timeout 6h

.PHONY: explore
explore: ## all schedules of scenes and pairs of scenes within the stated bounds, and random walks (hours)
	QUEUECTL_LONG=1 $(GO) test ./spool -run '^(TestExplore|TestRace)' -v -count 1 -timeout 0

.PHONY: crash
crash: ## make every system call of every change of state the last one, or fail (strace)
	QUEUECTL_LONG=1 $(GO) test ./cmd/queuectl -run '^TestCrash$$' -v -count 1 -timeout 6h

.PHONY: events
events: ## lose events: 200,000 files at once, inotify's limits, FUSE, unmounts
	QUEUECTL_LONG=1 $(GO) test ./cmd/queuectl -run '^(TestSpool|TestStateDirectory|TestEventOverflow|TestManyFilesAtOnce|TestWatchLimit|TestFileSystemWithoutEvents|TestIdlePoolUnmounted)' -v -count 1 -timeout 40m

.PHONY: powercut
powercut: ## cut the power of ext4, xfs and btrfs 200 times each (root)
	QUEUECTL_LONG=1 $(GO) test ./cmd/queuectl -run '^(TestPowerCut|TestNames)' -v -count 1 -timeout 6h

.PHONY: model
model: ## compare the spool with a model of it after every step, in memory and on disk, for long
	QUEUECTL_LONG=1 $(GO) test ./spool -run '^TestModel' -v -count 1 -timeout 2h

BENCHFLAGS  ?= -o docs

.PHONY: bench
bench: build ## measure it beside bare loops and itself, and write docs/benchmarks.md; BENCHFLAGS=-quick only tries
	$(GO) build -C cmd/bench -o ../../bin/bench .
	bin/bench $(BENCHFLAGS)

.PHONY: bench-peers
bench-peers: build ## the same beside nq, task-spooler, parallel, asynq, goqite, river and beanstalkd, which it installs
	sh cmd/bench/install.sh
	$(GO) build -C cmd/bench -tags peers -o ../../bin/bench .
	bin/bench $(BENCHFLAGS)

.PHONY: microbench
microbench: ## run the micro-benchmarks, BENCHTIME (1s) each
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

# Before Go 1.27 a target may fail with nothing but "context deadline exceeded"
# at the end of its time (https://go.dev/issue/75804): that one, with no
# failing input told, is run again, once.
.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (60s)
	@set -e; \
	fuzz() { $(GO) test -run '^$$' -fuzz "^$$2\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$1; }; \
	for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
			echo "$$p $$f"; \
			if out=$$(fuzz $$p $$f 2>&1); then echo "$$out"; continue; fi; \
			echo "$$out"; \
			case $$out in *"Failing input"*) exit 1;; *"    context deadline exceeded"*) ;; *) exit 1;; esac; \
			echo "once more: go.dev/issue/75804"; \
			fuzz $$p $$f; \
		done; \
	done

.PHONY: docs
docs: ## write docs/cli.md and docs/man anew from the commands' own help
	$(GO) test ./cmd/queuectl -run '^TestDocs$$' -update

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
	$(GO) clean -testcache
