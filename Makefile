# The commands of this repository.
#
#   make test      all checks and tests, and the stories of TEST_STORIES: what a change has to pass
#   make test-all  the same with every story of the lab, and mutants; its log is test-all.log in
#                  the target folder
#   make demo      shows a power loss of three nodes and the recovery; KEEP=1 leaves them up
#   make bench     measures Relight against the same nodes without it, and the agent at rest;
#                  BENCH="power-loss clean-stop killed-server coordinator rest" picks parts,
#                  BENCH="--rounds 3 --rest-seconds 60" how much of them
#   make deb       writes relight_*_amd64.deb to debian/ of the target folder
#   make mutants   breaks one rule of the core after the other, and demands a red test each time
#   make stories STORIES="a b"   only these stories (tests/scenarios/main.rs lists them)
#   make clean-lab ends the labs that were kept and removes the lab's images
#
# RELIGHT_PROFILE=dev builds the package faster, for the lab.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.DEFAULT_GOAL := help

# Where rustup puts cargo; a shell that was open before does not look there.
export PATH := $(PATH):$(HOME)/.cargo/bin

RELIGHT_PROFILE ?= release
# A large package sooner is better for the lab than a small one later.
DEB_OPTIONS := $(if $(filter release,$(RELIGHT_PROFILE)),,fast)
# The lab needs its own program beside the package: what both are made of is built once.
PACKED := $(if $(filter release,$(RELIGHT_PROFILE)),-p relight -p agentctl,--workspace --bins)
TARGET := $(or $(CARGO_TARGET_DIR),target)
# What cargo builds with the profile `dev` it puts into debug/.
BUILT := $(TARGET)/$(if $(filter dev,$(RELIGHT_PROFILE)),debug,$(RELIGHT_PROFILE))

# README.md tells what these are about. They take minutes; all stories together take longer.
TEST_STORIES := lab_switches_links_and_disks plain_galera_power_loss power_loss clean_shutdown \
	killed_server one_missing
# For `unit`; test-all adds the tests that take minutes.
UNIT_OPTIONS ?=
# Empty means all of them.
STORIES ?= $(TEST_STORIES)

# What a long step does, and when it began. No comma: it would end the argument.
say = @printf '\n== %s  %s\n' "$$(date +%T)" $(1)

.PHONY: help tools lint deb unit doc check mutants stories test test-all demo bench clean-lab

help:
	@sed -n 's/^#   //p' Makefile

tools:
	$(call say,"tools: installing what is missing")
	tests/install.sh

# The stories are no part of all targets, because no plain `cargo test` runs them. The tool that
# looks at licences takes two minutes to build where it is missing, and nothing waits for it.
lint:
	$(call say,"lint: format - clippy - what may come into the tree")
	packaging/tools.sh cargo-deny
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --workspace --test scenarios -- -D warnings
	cargo deny --log-level error check bans licenses sources

deb:
	packaging/toolchain.sh
	cargo build --profile $(RELIGHT_PROFILE) $(PACKED)
	packaging/manual.sh $(BUILT)/agentctl $(BUILT)/share
	packaging/deb.sh $(BUILT) $(TARGET)/debian $(DEB_OPTIONS)

# The core needs next to nothing to build: its tests run while a new machine would still compile.
unit:
	$(call say,"unit: the deciding core")
	cargo nextest run -p relight-core $(UNIT_OPTIONS)
	$(call say,"unit: every other test that needs no lab")
	cargo nextest run --workspace --exclude relight-core $(UNIT_OPTIONS)

doc:
	$(call say,"doc: the pages of relight-core and relight-proto")
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps -p relight-core -p relight-proto

mutants:
	$(call say,"mutants: each rule of the core is broken once - a test has to notice")
	tests/mutants/run.sh

# The tests come first: whoever waits for them on a new machine waits for nothing else. Those that
# look into the package come once more when there is one.
check: tools unit
	$(MAKE) --no-print-directory lint
	$(call say,"deb: the package as the lab installs it")
	$(MAKE) --no-print-directory deb RELIGHT_PROFILE=dev
	RELIGHT_PACKAGE_EXPECTED=1 cargo nextest run --workspace --test packaging
	$(MAKE) --no-print-directory doc

# `--workspace` builds with the features that `unit` has built with.
stories:
	$(call say,"stories on the lab: $(or $(STORIES),all)")
	cargo test --workspace --test scenarios -- --exact $(STORIES)

test: check
	$(MAKE) --no-print-directory stories
	$(call say,"make test has passed")

test-all:
	mkdir -p $(TARGET)
	{ $(MAKE) --no-print-directory check mutants UNIT_OPTIONS="--run-ignored all" \
		&& $(MAKE) --no-print-directory stories STORIES=; } 2>&1 | tee $(TARGET)/test-all.log
	$(call say,"make test-all has passed; its log is $(TARGET)/test-all.log")

clean-lab:
	tests/clean-lab.sh

# Its report is bench.txt in the target folder. Needs root (namespaces).
bench:
	tests/lab/install.sh
	$(MAKE) --no-print-directory deb
	cargo build -q --workspace --bin relight-lab
	$(TARGET)/debug/relight-lab bench $(BENCH)

# Three nodes on this machine lose their power, and the cluster comes back. Needs root (namespaces).
# `make demo KEEP=1` leaves the nodes up afterwards and tells how to look around.
demo:
	@tests/demo-plan.sh $(TARGET)/debug/relight-lab
	$(call say,"demo: installing what is missing")
	tests/lab/install.sh
	packaging/toolchain.sh
	$(call say,"demo: building Relight")
	$(MAKE) --no-print-directory deb RELIGHT_PROFILE=dev
	$(TARGET)/debug/relight-lab demo $(if $(KEEP),--keep)
