# `make demo` and `make test` do all the set-up themselves. What must be there: Rust (with rustup), Node 20 or newer, Python 3.10 or
# newer, and a C compiler (`apt install build-essential`, on macOS `xcode-select --install`).

CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR
# The launcher and the tests run the program that was built here.
export SST_BINARY ?= $(CARGO_TARGET_DIR)/debug/sst
export SST_NPM_ROOT ?= $(CURDIR)/npm

STUB_TARGET := x86_64-unknown-linux-musl
STUB_TARGET_ARM64 := aarch64-unknown-linux-musl
export SST_STUB_BINARY ?= $(CARGO_TARGET_DIR)/$(STUB_TARGET)/stub/sst-stub
PYTHON := $(CARGO_TARGET_DIR)/python/bin/python

# Cargo would take the number of jobs of `make` for its own, and tests run it as users do.
unexport MAKEFLAGS MFLAGS

# Nothing that hangs holds the rest up: no file of tests in Node takes longer than this, and no other suite longer than that.
NODE_TEST := node --test --test-timeout=900000
LIMIT := $(if $(shell command -v timeout),timeout 1800)
E2E_FILES_AT_A_TIME ?= 2
E2E := tests/e2e/*.test.mjs tests/e2e/counterpart/*.test.mjs tests/e2e/iam/*.test.mjs tests/vscode/*.test.mjs

SUITES := test-rust test-docs test-node test-python test-infra test-e2e
LINTS := lint-format lint-rust lint-platforms lint-docs lint-workflows

.PHONY: demo java test check faults faults-core faults-fuzz faults-e2e platforms bench build program stub stub-arm64 package test-packages clean $(SUITES) $(LINTS) test-vscode debuggers counterpart packages fixtures

# The release build, if there is one of this source.
RELEASE := $(CARGO_TARGET_DIR)/release/sst
SOURCES := src console stub infra runners launch-configs templates npm/package.json Cargo.toml Cargo.lock
RELEASED = $(shell test -x $(RELEASE) && test -z "$$(find $(SOURCES) -type f -not -name '*.pyc' -newer $(RELEASE) | head -n 1)" && echo $(RELEASE))

# Builds everything, but for what is there already, and runs an example in a local cloud. What is to be built is built side by side: the last
# crates of the program and of the stub keep one core busy each.
demo: export SST_BINARY := $(or $(RELEASED),$(SST_BINARY))
demo:
	@$(MAKE) --no-print-directory --jobs=4 PACKAGES='$(PACKAGES)' \
	  $(if $(RELEASED),,program) stub npm/node_modules/.package-lock.json examples/rest-api/node_modules/.package-lock.json
	cd examples/rest-api && exec node_modules/.bin/sst start --local

# Everything that is tested, side by side.
test:
	@$(call side_by_side,$(SUITES))

# What has to pass before anything is merged.
check:
	@$(call side_by_side,$(LINTS) $(SUITES))

# Makes targets side by side: most of them wait more than they compute. Cargo does one thing after the other by itself. The output of
# each comes in one piece, if `make` can do that; that of the end-to-end tests as it comes. At the end it is said which have failed.
PASSED := $(CARGO_TARGET_DIR)/passed
define side_by_side
rm -rf $(PASSED) && mkdir -p $(PASSED) && \
$(MAKE) --no-print-directory --jobs=6 --keep-going $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) \
  $(1:%=$(PASSED)/%) SIDE_BY_SIDE=yes 3>&1; status=$$?; \
for target in $(1); do [ -f $(PASSED)/$$target ] || { echo "FAILED: $$target (make $$target)"; status=1; }; done; exit $$status
endef

$(PASSED)/%: %
	@touch $@

# The long versions of the tests of what goes wrong. Short ones are part of `make test`.
FAULTS := $(wildcard $(patsubst %,tests/e2e/%.test.mjs,pressure first-breakpoints orphans doors terminal lock memory) tests/e2e/counterpart/*.test.mjs)
faults: faults-core faults-fuzz faults-e2e

# Every order of events.
faults-core: build
	PROPTEST_CASES=20000 cargo test --locked --package sst --lib core::tests

# Damaged frames, messages of debuggers, requests of runtimes, templates, and project files.
faults-fuzz: build
	PROPTEST_CASES=100000 cargo test --locked --package sst-wire --lib fuzz -- --nocapture
	PROPTEST_CASES=100000 cargo test --locked --package sst --lib fuzz -- --nocapture

# Many calls, breakpoints, ends, pages, a long session, and a network that fails.
faults-e2e: build fixtures debuggers counterpart
	SST_FAULTS=full node --test --test-force-exit --test-concurrency=1 $(FAULTS)

# Measures the program that is released, and prints a table at the end. `make bench BENCHES=reload` runs one of them. What it is compared with
# comes with the app of its version, or is installed into target/bench by the bench.
BENCHES ?= reload history many loop start bundles languages compilers cold-start cold-path round-trip throughput pressure bursts
bench: export SST_BINARY = $(CARGO_TARGET_DIR)/release/sst
bench: build counterpart $(patsubst %,%/node_modules/.package-lock.json,tests/fixtures tests/fixtures/apps/sst-0.69 tests/oracle/packages) $(CARGO_TARGET_DIR)/functions/.compiled
	cargo build --locked --release
	rm -f $(CARGO_TARGET_DIR)/bench/*.json
	for bench in $(BENCHES); do node benches/$$bench.mjs || exit 1; done
	node benches/table.mjs

# Tests need the other packages as well, and what these share with `sst` is compiled once only if it is compiled for all of them.
PACKAGES := --workspace
demo: PACKAGES :=
build: program stub npm/node_modules/.package-lock.json

program:
	cargo build --locked $(PACKAGES)

stub:
	@$(call with_target,$(STUB_TARGET))
	cargo build --locked --package sst-stub --profile stub --target $(STUB_TARGET)

# For Lambda's arm64, where `sst` finds it beside the other one. Functions that declare it are deployed for x86_64 without.
stub-arm64: $(CARGO_TARGET_DIR)/python/.installed
	@$(call with_target,$(STUB_TARGET_ARM64))
	PATH="$(CARGO_TARGET_DIR)/python/bin:$$PATH" cargo zigbuild --locked --package sst-stub --profile stub --target $(STUB_TARGET_ARM64)

# Rust's own library for a target.
with_target = { rustup target list --installed | grep -qx $(1) || rustup target add $(1); }

# The npm packages, in target/packages: one with the launcher, one with the stubs, and one for each platform with its program. Those for
# macOS only a Mac can build: `make package PARTS="darwin-x64 darwin-arm64"`.
PARTS ?= main stubs linux-x64 linux-arm64 linux-x64-musl linux-arm64-musl
PROGRAMS := $(CARGO_TARGET_DIR)/programs
PACKAGED := $(CARGO_TARGET_DIR)/packages
package: $(filter-out $(PROGRAMS)/main/sst,$(PARTS:%=$(PROGRAMS)/%/sst)) $(PROGRAMS)/THIRD-PARTY-NOTICES.txt
	rm -rf $(PACKAGED)
	node npm/pack.mjs --programs $(PROGRAMS) --out $(PACKAGED) $(PACK_OPTIONS) $(PARTS)

# The oldest glibc that Rust supports is 2.17, and `zigbuild` links with what that had. Programs for musl are static.
TARGET_linux-x64 := x86_64-unknown-linux-gnu.2.17
TARGET_linux-arm64 := aarch64-unknown-linux-gnu.2.17
TARGET_linux-x64-musl := x86_64-unknown-linux-musl
TARGET_linux-arm64-musl := aarch64-unknown-linux-musl
TARGET_darwin-x64 := x86_64-apple-darwin
TARGET_darwin-arm64 := aarch64-apple-darwin
BUILD = PATH="$(CARGO_TARGET_DIR)/python/bin:$$PATH" cargo $(if $(findstring darwin,$(1)),build,zigbuild) --locked --target $(1)
# The paths of the machine that built them are nobody's business.
$(PROGRAMS)/%: export RUSTFLAGS = --remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src=/cargo --remap-path-prefix=$(CURDIR)=/sst

# Cargo knows whether it is to be built anew.
.PHONY: FORCE
$(PROGRAMS)/%/sst: $(CARGO_TARGET_DIR)/python/.installed FORCE
	@$(call with_target,$(TARGET_$*:.2.17=))
	$(call BUILD,$(TARGET_$*)) --release
	mkdir -p $(@D)
	cp $(CARGO_TARGET_DIR)/$(TARGET_$*:.2.17=)/release/sst $@

$(PROGRAMS)/stubs/sst: $(CARGO_TARGET_DIR)/python/.installed FORCE
	@$(call with_target,$(STUB_TARGET)) && $(call with_target,$(STUB_TARGET_ARM64))
	$(call BUILD,$(STUB_TARGET)) --package sst-stub --profile stub
	$(call BUILD,$(STUB_TARGET_ARM64)) --package sst-stub --profile stub
	mkdir -p $(@D)
	cp $(CARGO_TARGET_DIR)/$(STUB_TARGET)/stub/sst-stub $(@D)/sst-stub
	cp $(CARGO_TARGET_DIR)/$(STUB_TARGET_ARM64)/stub/sst-stub $(@D)/sst-stub-arm64

# The licences of everything that is compiled into them.
CARGO_ABOUT := $(CARGO_TARGET_DIR)/tools/bin/cargo-about
$(PROGRAMS)/THIRD-PARTY-NOTICES.txt: $(CARGO_ABOUT) Cargo.lock npm/notices/about.toml npm/notices/notices.hbs
	mkdir -p $(@D)
	$(CARGO_ABOUT) generate --workspace --locked --offline --fail --config npm/notices/about.toml --output-file $@ npm/notices/notices.hbs
	cat console/vendor/LICENSES.txt >> $@

# Not optimised, it reads the licences of all crates for more than five minutes.
$(CARGO_ABOUT):
	cargo install --locked --root $(CARGO_TARGET_DIR)/tools --target-dir $(CARGO_TARGET_DIR)/tools/build --features cli cargo-about@0.9.3
	rm -rf $(CARGO_TARGET_DIR)/tools/build

# Whether what was packed holds what it should and nothing else, and works where nothing else is installed: in root file systems of Debian 11
# (whose glibc is that of Ubuntu 20.04) and 13, in one with musl, and on arm64. Debian's packages, as root.
test-packages: package
	$(NODE_TEST) --test-force-exit --test-concurrency=1 tests/packages/*.test.mjs

lint-format:
	cargo fmt --all --check

# The program is built first, because others wait for it.
lint-rust: | $(if $(SIDE_BY_SIDE),build)
	cargo clippy --locked --workspace --all-targets -- -D warnings

# Whether the program compiles for macOS and for Linux on arm64. Nothing is run or linked, so all that it takes besides Rust's own libraries
# is a compiler for the C of `ring`.
TARGETS := aarch64-apple-darwin aarch64-unknown-linux-gnu aarch64-unknown-linux-musl
with_targets = $(foreach target,$(TARGETS),$(call with_target,$(target)) &&) true
ZIG_CC := $(PYTHON) -m ziglang cc -target
CC_OF_TARGETS := CC_aarch64_apple_darwin="$(ZIG_CC) aarch64-macos" \
  CC_aarch64_unknown_linux_gnu="$(ZIG_CC) aarch64-linux-gnu" CC_aarch64_unknown_linux_musl="$(ZIG_CC) aarch64-linux-musl"
lint-platforms: $(CARGO_TARGET_DIR)/python/.installed | $(if $(SIDE_BY_SIDE),build)
	@$(with_targets)
	$(CC_OF_TARGETS) cargo clippy --locked --target aarch64-apple-darwin -- -D warnings
	$(CC_OF_TARGETS) cargo check --locked --target aarch64-unknown-linux-gnu

# The tests for these as well.
platforms: $(CARGO_TARGET_DIR)/python/.installed
	@$(with_targets)
	$(CC_OF_TARGETS) cargo clippy --locked --workspace --all-targets --target aarch64-apple-darwin -- -D warnings
	$(CC_OF_TARGETS) cargo clippy --locked --workspace --all-targets --target aarch64-unknown-linux-gnu -- -D warnings
	$(CC_OF_TARGETS) cargo clippy --locked --package sst-stub --target aarch64-unknown-linux-musl -- -D warnings

lint-docs: | $(if $(SIDE_BY_SIDE),build)
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items

# What nobody here can run is checked at least.
ACTIONLINT := $(CARGO_TARGET_DIR)/tools/actionlint
lint-workflows: $(ACTIONLINT)
	$(ACTIONLINT)

$(ACTIONLINT):
	GOBIN=$(@D) go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

test-rust: build packages java counterpart
	cargo test --locked --workspace --no-run
	$(LIMIT) cargo test --locked --workspace

test-docs: build
	$(NODE_TEST) tests/docs/*.test.mjs

test-node: packages
	$(NODE_TEST) tests/console/*.test.mjs
	$(NODE_TEST) tests/node-runner/*.test.mjs
	$(NODE_TEST) tests/synth/*.test.mjs
	$(NODE_TEST) tests/oracle/*.test.mjs
	cd npm && $(NODE_TEST) test/*.test.mjs

test-python: $(CARGO_TARGET_DIR)/python/.installed
	$(LIMIT) $(PYTHON) -m unittest discover --start-directory tests/python-runner

test-infra: $(CARGO_TARGET_DIR)/python/.installed
	$(LIMIT) $(CARGO_TARGET_DIR)/python/bin/cfn-lint infra/debug-stack.yaml
	$(LIMIT) $(PYTHON) -m unittest discover --start-directory tests/infra

# The whole program, where it matters a second time in a local cloud that checks policies. The real VS Code pressing F5 is a part of it;
# what it shows is kept in target/vscode/screenshots.
test-e2e: build stub-arm64 fixtures debuggers counterpart java
	$(NODE_TEST) --test-force-exit --test-concurrency=$(E2E_FILES_AT_A_TIME) $(E2E) $(if $(SIDE_BY_SIDE),>&3 2>&3)

test-vscode: build fixtures debuggers
	$(NODE_TEST) --test-force-exit --test-concurrency=1 tests/vscode/*.test.mjs

# What the tests drive: VS Code in a browser, pages that try to get in, and debuggers of other languages than JavaScript. One after the
# other, because each may have to install packages.
debuggers:
	tests/e2e/support/chromium.sh
	tests/vscode/install.sh $(CARGO_TARGET_DIR)/vscode
	tests/debuggers/install.sh $(CARGO_TARGET_DIR)/debuggers

# What functions in Java are compiled with, run on, and debugged by.
java:
	tests/java/install.sh

# What stands for AWS where the local cloud is not strict enough.
counterpart: $(CARGO_TARGET_DIR)/python/.installed
	tests/counterpart/install.sh $(CARGO_TARGET_DIR)/counterpart

# What the apps of the tests need.
WITH_PACKAGES := npm npm/test/managers examples/rest-api examples/polyglot tests/fixtures tests/fixtures/frameworks $(addprefix tests/fixtures/apps/,sst-0.69 sst-1.18 cdk-languages) tests/node-runner/packages tests/oracle/packages
packages: $(WITH_PACKAGES:%=%/node_modules/.package-lock.json)
fixtures: packages $(CARGO_TARGET_DIR)/cdk-python/.installed $(CARGO_TARGET_DIR)/functions/.compiled

%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	cd $* && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

# PyYAML comes with cfn-lint. A later setuptools has no `pkg_resources`, by which parliament finds its data.
$(CARGO_TARGET_DIR)/python/.installed: Makefile
	python3 -m venv $(@D)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check awslambdaric==4.2.2 botocore==1.44.8 cargo-zigbuild==0.24.1 cfn-lint==1.58.0 debugpy==1.8.22 parliament==1.6.4 pytest==9.2.0 setuptools==80.9.0 ziglang==0.17.1
	@touch $@

# An app of the CDK for Python needs it.
$(CARGO_TARGET_DIR)/cdk-python/.installed:
	python3 -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check aws-cdk-lib==2.275.0 constructs==10.8.1
	@touch $@

# What functions in Rust depend on. Each copy of an app gets a copy of it, so that no test waits for another one's compiler.
RUST_FUNCTIONS := tests/fixtures/apps/languages/rust examples/polyglot/services/rust
$(CARGO_TARGET_DIR)/functions/.compiled: $(RUST_FUNCTIONS:%=%/Cargo.lock)
	for function in $(RUST_FUNCTIONS); do cargo build --locked --target-dir $(@D) --manifest-path $$function/Cargo.toml || exit 1; done
	@touch $@

clean:
	cargo clean
	rm -rf npm/node_modules npm/test/managers/node_modules tests/fixtures/node_modules tests/fixtures/frameworks/node_modules tests/fixtures/apps/*/node_modules tests/node-runner/packages/node_modules tests/oracle/packages/node_modules examples/*/node_modules examples/*/.sst
