# SPDX-License-Identifier: GPL-2.0
# Every target is a script in lab/ that can be run by itself.

export LINUX MACHINE VM VMM GUEST KERNEL CONFIG TEST BASE ALL DROP CHECK_SINCE TOPIC REVISION RFC FROM SIGNOFF ONLY LIST SEED

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test tree export post kernel shell kselftest stress mutations check bench clean \
	setup fetch ready

run: ready		## holes and conversions in a TD, before and after [BASE=1] [MACHINE=bochs-tdx|qemu-svm|qemu-arm64|bochs-vmx] [VMM=qemu] [GUEST=linux]
	@demo/run

test:			## everything CI runs; ends with the sum [ALL=1] [ONLY=PATTERN] [LIST=1]
	@lab/test

tree: fetch		## build/linux from the base and patches/ [LINUX=TREE|TARBALL] [DROP=1]
	@lab/source/tree $(if $(DROP),drop)

export:			## patches/ from the branches of build/linux
	@lab/source/export

post: ready		## a topic as mails, with recipients: TOPIC=name [REVISION=N] [RFC=1] [FROM=] [SIGNOFF=1]
	@lab/source/post $(TOPIC)

kernel: ready		## the kernel of build/linux [CONFIG=fast|debug|kcsan|base|tdx|tdxdebug|tdxbase|tdguest|arm64|arm64-16k]
	@lab/build/kernel $(or $(CONFIG),fast)

shell: ready		## a shell in a machine; Ctrl-A X leaves [MACHINE=qemu-svm|qemu-arm64|bochs-vmx|bochs-tdx] [CONFIG=]
	@lab/shell

kselftest: ready	## one selftest in a machine, or all: TEST=name [MACHINE=qemu-svm|qemu-arm64|bochs-vmx|bochs-tdx] [CONFIG=]
	@lab/kselftest $(TEST)

stress: ready		## random operations on guest_memfd for a while: [SECONDS=1800] [SEED=] [MACHINE=qemu-svm|bochs-tdx] [CONFIG=]
	@lab/stress $(or $(SECONDS),1800)

mutations: ready	## tests of the tests: breaks the kernel in many ways, each has to be noticed [ONLY=PATTERN] [LIST=1]
	@lab/mutations

check: ready		## the patches one by one, without running a kernel [ALL=1] [CHECK_SINCE=COMMIT]
	@lab/check

bench: ready		## counts of the series beside those of the base [BENCH=tdx|svm|insns|scale|workloads|designs|engines] [COMPARE=FILE]
	@bench/run $(BENCH)

clean:			## removes what was built; with ALL=1 the base and build/linux too
	@lab/clean

setup:			## installs missing Debian packages
	@lab/setup

fetch: setup		## the base
	@lab/source/fetch

# Work in build/linux that is not exported yet is built as it is.
ready: fetch
	@lab/source/tree keep
	@lab/machines/setup-qemu-svm

help:			## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))
