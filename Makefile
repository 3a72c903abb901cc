# `make demo` and `make test` do all the set-up themselves. What must be there: Rust (with rustup), Node 20 or newer, Python 3.10 or
# newer, and a C compiler (`apt install build-essential`, on macOS `xcode-select --install`).

CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR
# The launcher and the tests run the program that was built here.
export SST_BINARY ?= $(CARGO_TARGET_DIR)/debug/sst
export SST_NPM_ROOT ?= $(CURDIR)/npm

STUB_TARGET := x86_64-unknown-linux-musl
PYTHON := $(CARGO_TARGET_DIR)/python/bin/python

.PHONY: demo test bench build chromium stub package test-rust test-docs test-node test-python test-infra test-e2e test-vscode clean

# Builds everything and runs an example in a local cloud.
demo: build examples/rest-api/node_modules/.package-lock.json
	cd examples/rest-api && exec node_modules/.bin/sst start --local

# Everything that is tested, the fast things first.
test: test-rust test-docs test-node test-python test-infra test-e2e test-vscode

bench: build tests/fixtures/node_modules/.package-lock.json
	node benches/loop.mjs
	node benches/languages.mjs

build: stub npm/node_modules/.package-lock.json
	cargo build --locked

# For the pages that try to get in.
chromium:
	tests/e2e/support/chromium.sh

stub:
	@rustup target list --installed | grep -qx $(STUB_TARGET) || rustup target add $(STUB_TARGET)
	cargo build --locked --package sst-stub --profile stub --target $(STUB_TARGET)

# The npm package with the native program inside: `npm install <path>/npm/sst-….tgz`.
package: stub npm/node_modules/.package-lock.json
	cargo build --locked --release
	mkdir -p npm/native
	cp $(CARGO_TARGET_DIR)/release/sst $(CARGO_TARGET_DIR)/$(STUB_TARGET)/stub/sst-stub npm/native/
	cd npm && npm pack

test-rust: build tests/fixtures/node_modules/.package-lock.json
	cargo test --locked --workspace

test-docs: build
	node --test tests/docs/*.test.mjs

test-node: npm/node_modules/.package-lock.json
	node --test tests/node-runner/*.test.mjs
	node --test tests/synth/*.test.mjs
	cd npm && node --test test/*.test.mjs

test-python: $(CARGO_TARGET_DIR)/python/bin/debugpy
	$(PYTHON) -m unittest discover --start-directory tests/python-runner

test-infra: $(CARGO_TARGET_DIR)/python/bin/cfn-lint
	$< infra/debug-stack.yaml

test-e2e: build chromium tests/fixtures/node_modules/.package-lock.json $(patsubst %,examples/%/node_modules/.package-lock.json,polyglot rest-api) $(CARGO_TARGET_DIR)/cdk-python/.installed
	node --test --test-force-exit --test-concurrency=1 tests/e2e/*.test.mjs
	SST_E2E_ARGUMENTS=--enforce-iam node --test --test-force-exit --test-concurrency=1 tests/e2e/*.test.mjs

# The real VS Code pressing F5. What it shows is kept in target/vscode/screenshots.
test-vscode: build tests/fixtures/node_modules/.package-lock.json
	tests/vscode/install.sh $(CARGO_TARGET_DIR)/vscode
	node --test --test-force-exit tests/vscode/*.test.mjs

%/node_modules/.package-lock.json: %/package.json %/package-lock.json
	cd $* && npm ci --no-audit --no-fund
	@touch $@

$(CARGO_TARGET_DIR)/python/bin/cfn-lint: | $(PYTHON)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check cfn-lint==1.58.0

$(CARGO_TARGET_DIR)/python/bin/debugpy: | $(PYTHON)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check awslambdaric==4.2.2 debugpy==1.8.22

# An app of the CDK for Python needs it.
$(CARGO_TARGET_DIR)/cdk-python/.installed:
	python3 -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check aws-cdk-lib==2.275.0 constructs==10.8.1
	@touch $@

$(PYTHON):
	python3 -m venv $(CARGO_TARGET_DIR)/python

clean:
	cargo clean
	rm -rf npm/node_modules npm/native tests/fixtures/node_modules tests/fixtures/apps/*/node_modules examples/*/node_modules examples/*/.sst
