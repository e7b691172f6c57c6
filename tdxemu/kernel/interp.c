// SPDX-License-Identifier: GPL-2.0
/* The engine that executes a TD instruction by instruction, in software. */
#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/vmx.h>

#include "interp.h"

/* A TD runs this many instructions between two looks at the host's interrupts. */
#define POLL_EVERY	8

/**
 * emu_leave() - leave the TD for a reason that comes with no registers
 * @v: the vCPU
 * @reason: RAX of TDH.VP.ENTER
 */
enum emu_result emu_leave(struct emu_vcpu *v, u64 reason)
{
	memset(&v->exit, 0, sizeof(v->exit));
	v->exit_reason = reason;
	return EMU_EXIT;
}

static enum emu_result interpret(struct emu_vcpu *v)
{
	enum emu_result r;
	unsigned int n;

	for (n = 0; ; n++) {
		if (!(n % POLL_EVERY) && emu_host_interrupt())
			return emu_leave(v, EXIT_REASON_OTHER_SMI);
		if (!(n % POLL_EVERY) && tdxemu_take_nmi(v->vp))
			v->nmi = true;
		r = emu_irq_deliver(v);
		if (r == EMU_OK)
			r = emu_step(v);
		if (r != EMU_OK)
			return r;
	}
}

const struct emu_engine emu_interp = {
	.name = "interp",
	.enter = interpret,
};
