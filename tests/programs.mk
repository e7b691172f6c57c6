# SPDX-License-Identifier: GPL-2.0
# Read in tools/testing/selftests/kvm, after the selftests are built: the
# programs of DEMO and BENCH are built like a selftest, with its flags and library,
# and so are td_faults and td_small_pages of TDXEMU. The others of TDXEMU are built by
# themselves: their guests are functions of theirs, which may use neither SSE nor a red
# zone, nor wait at a landing pad. bochs/TEST is the selftest TEST as Bochs can run it.
# mm/TEST is one of HugeTLB's selftests, in tools/testing/selftests/mm.

include Makefile

# The base's library knows nothing of TDs.
NEED_TDS := $(if $(wildcard lib/x86/tdx_agent.c),,%/td_demo.c %/td_faults.c %/td_small_pages.c %/td_workloads.c %/td_linux.c)
DEMO_SRCS := $(filter-out $(NEED_TDS),$(wildcard $(DEMO)/*.c))
DEMOS := $(patsubst $(DEMO)/%.c,$(OUTPUT)/demo/%,$(DEMO_SRCS))
GUESTS := $(patsubst $(DEMO)/%,$(OUTPUT)/demo/%,$(basename $(wildcard $(DEMO)/guest/*.[cS])))
BENCH_SRCS := $(filter-out $(NEED_TDS),$(wildcard $(BENCH)/*.c))
BENCHES := $(patsubst $(BENCH)/%.c,$(OUTPUT)/bench/%,$(BENCH_SRCS))
# It has guest code of its own.
$(OUTPUT)/bench/td_workloads: private CFLAGS += $(TD_GUEST_CFLAGS)

TDX_SRCS := $(filter-out $(NEED_TDS),$(wildcard $(TDXEMU)/td_*.c))
TDX_TESTS := $(TDX_SRCS:$(TDXEMU)/%.c=$(OUTPUT)/tdxemu/%)
TDX_CFLAGS := -O2 -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare -no-pie \
	-fno-stack-protector -fcf-protection=none -mno-red-zone -pthread

HERE := $(dir $(lastword $(filter %/programs.mk,$(MAKEFILE_LIST))))
BOCHS_TESTS := $(OUTPUT)/bochs/set_memory_region_test

MM_NAMES := hugetlb-madvise hugetlb-mmap hugetlb-mremap hugetlb-shm hugetlb_dio \
	hugetlb_fault_after_madv hugetlb_madv_vs_map hugetlb-soft-offline hugetlb-read-hwpoison \
	thuge-gen
MM_TESTS := $(MM_NAMES:%=$(OUTPUT)/mm/%)

.PHONY: demo
demo: $(DEMOS) $(GUESTS) $(BENCHES) $(TDX_TESTS) $(BOCHS_TESTS) $(MM_TESTS)

$(OUTPUT)/mm/%: ../mm/%.c ../mm/vm_util.c ../mm/hugepage_settings.c
	mkdir -p $(@D)
	$(CC) -O2 -Wall -D_GNU_SOURCE= -I.. $(KHDR_INCLUDES) $(LDFLAGS) $^ -lrt -lpthread -lm -o $@

$(OUTPUT)/bochs/%: $(OUTPUT)/%.o $(HERE)bochs_if.c $(LIBKVM_OBJS)
	mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS) -Wl,--wrap=ioctl $^ $(LDLIBS) -o $@

$(OUTPUT)/tdxemu/%: $(TDXEMU)/%.c
	mkdir -p $(@D)
	$(CC) $(TDX_CFLAGS) $(KHDR_INCLUDES) $(LDFLAGS) $< -o $@

$(OUTPUT)/tdxemu/td_faults $(OUTPUT)/tdxemu/td_small_pages: \
$(OUTPUT)/tdxemu/%: $(TDXEMU)/%.c $(LIBKVM_OBJS)
	mkdir -p $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS) $(TARGET_ARCH) $< $(LIBKVM_OBJS) $(LDLIBS) -o $@

# What runs in the guest knows nothing of KVM.
$(OUTPUT)/demo/guest/%: $(DEMO)/guest/%.c
	mkdir -p $(@D)
	$(CC) -O2 -Wall -Wextra $(LDFLAGS) $< -o $@

# An image, loaded as it is.
$(OUTPUT)/demo/guest/%: $(DEMO)/guest/%.S $(DEMO)/td_linux.h
	mkdir -p $(@D)
	$(CC) -nostdlib -static -no-pie -Wl,-Ttext=0 -Wl,--build-id=none $< -o $@.elf
	objcopy -O binary -j .text $@.elf $@

$(OUTPUT)/demo/td_linux: $(DEMO)/td_linux.c $(DEMO)/td_linux_boot.S $(DEMO)/td_linux.h $(LIBKVM_OBJS)
	$(CC) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS) $(TARGET_ARCH) $(filter %.c %.S,$^) $(LIBKVM_OBJS) $(LDLIBS) -o $@

$(OUTPUT)/demo/%: $(DEMO)/%.c $(LIBKVM_OBJS)
	$(CC) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS) $(TARGET_ARCH) $< $(LIBKVM_OBJS) $(LDLIBS) -o $@

$(OUTPUT)/bench/%: $(BENCH)/%.c $(LIBKVM_OBJS)
	$(CC) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS) $(TARGET_ARCH) $< $(LIBKVM_OBJS) $(LDLIBS) -o $@

-include $(DEMOS:=.d) $(BENCHES:=.d)
