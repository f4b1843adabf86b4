# The commands of this repository. `make deb` writes relight_*_amd64.deb to debian/ of the target
# folder; RELIGHT_PROFILE=dev builds the same package faster, for the lab.

RELIGHT_PROFILE ?= release

.PHONY: deb

deb:
	packaging/tools.sh
	cargo build --profile $(RELIGHT_PROFILE) -p relight -p agentctl
	cargo deb -p relight --no-build --profile $(RELIGHT_PROFILE)
