# SPDX-License-Identifier: GPL-2.0
# Read in tools/testing/selftests/kvm, after the selftests are built: the
# programs of DEMO are built like a selftest, with its flags and library.

include Makefile

DEMOS := $(patsubst $(DEMO)/%.c,$(OUTPUT)/demo/%,$(wildcard $(DEMO)/*.c))

.PHONY: demo
demo: $(DEMOS)

$(OUTPUT)/demo/%: $(DEMO)/%.c $(LIBKVM_OBJS)
	$(CC) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS) $(TARGET_ARCH) $< $(LIBKVM_OBJS) $(LDLIBS) -o $@

-include $(DEMOS:=.d)
