# The commands of this repository. `make deb` writes relight_*_amd64.deb to debian/ of the target
# folder; RELIGHT_PROFILE=dev builds the same package faster, for the lab.

RELIGHT_PROFILE ?= release

.PHONY: deb

deb:
	packaging/tools.sh
	cargo build --profile $(RELIGHT_PROFILE) -p relight -p agentctl
	cargo deb -p relight --no-build --profile $(RELIGHT_PROFILE)

# Three nodes on this machine lose their power, and the cluster comes back. Needs root (namespaces).
# `make demo KEEP=1` leaves the nodes up afterwards and tells how to look around.
.PHONY: demo
demo:
	tests/lab/install.sh
	$(MAKE) --no-print-directory deb RELIGHT_PROFILE=dev
	cargo run -q -p relight-tests --bin relight-lab -- demo $(if $(KEEP),--keep)
