// SPDX-License-Identifier: GPL-2.0
/*
 * Linked to a selftest with --wrap=ioctl: its guests start with RFLAGS.IF set.
 *
 * Bochs 2.7 has no VM exit for external interrupts while a guest runs with RFLAGS.IF
 * clear, as those of the selftests do: one that waits for its host in a loop, on a
 * machine with one CPU, waits for ever, with any kernel.  The tests that need this
 * send no interrupts to their guests, so to these it makes no difference.
 */
#include <linux/kvm.h>
#include <stdarg.h>
#include <sys/ioctl.h>

#define RFLAGS_IF	(1 << 9)

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	if (request == KVM_SET_REGS)
		((struct kvm_regs *)arg)->rflags |= RFLAGS_IF;
	return __real_ioctl(fd, request, arg);
}
