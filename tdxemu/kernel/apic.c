// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts of a TD: posted by the host to the descriptor that KVM named with
 * TDH.VP.WR, delivered between instructions. Of the x2APIC, what the CPU
 * virtualizes without an exit: TPR, EOI, self IPI, and reading ISR and IRR.
 * The ICR is the guest's own matter (#VE).
 */
#include <linux/bitops.h>
#include <asm/apicdef.h>
#include <asm/msr-index.h>
#include <asm/posted_intr.h>
#include <asm/trapnr.h>

#include "emu.h"

#define X2APIC(reg)	(APIC_BASE_MSR + ((reg) >> 4))

static int highest(u32 *map)
{
	int i;

	for (i = 7; i >= 0; i--)
		if (map[i])
			return i * 32 + fls(map[i]) - 1;
	return -1;
}

static void sync_posted(struct emu_vcpu *v)
{
	int i;

	if (!v->pi || !pi_test_on(v->pi))
		return;
	pi_clear_on(v->pi);
	/* The host sets PIR before ON. */
	smp_mb__after_atomic();
	for (i = 0; i < 4; i++) {
		u64 bits = xchg((u64 *)v->pi->pir + i, 0);

		v->irr[2 * i] |= bits;
		v->irr[2 * i + 1] |= bits >> 32;
	}
}

static int deliverable(struct emu_vcpu *v)
{
	int vector, busy;

	sync_posted(v);
	vector = highest(v->irr);
	busy = highest(v->isr);
	if (vector < 0 || vector >> 4 <= v->cr8 ||
	    (busy >= 0 && vector >> 4 <= busy >> 4))
		return -1;
	return vector;
}

/**
 * emu_irq_pending() - is there an interrupt that the guest would take if it let it
 * @v: the vCPU, not running or of the caller
 *
 * Takes over what has been posted.
 *
 * Return: true if so, whatever RFLAGS.IF says.
 */
bool emu_irq_pending(struct emu_vcpu *v)
{
	return deliverable(v) >= 0;
}

/**
 * emu_irq_deliver() - let the guest take an interrupt or an NMI
 * @v: the vCPU, between two instructions
 *
 * Return: as emu_deliver(); EMU_OK as well if there is nothing to take.
 */
enum emu_result emu_irq_deliver(struct emu_vcpu *v)
{
	enum emu_result r;
	int vector;

	if (v->nmi && !v->nmi_blocked && !v->shadow) {
		r = emu_deliver(v, NMI_VECTOR, false, 0);
		if (r == EMU_OK) {
			v->nmi = false;
			v->nmi_blocked = true;
		}
		return r;
	}
	if (!(v->rflags & X86_EFLAGS_IF) || v->shadow)
		return EMU_OK;
	vector = deliverable(v);
	if (vector < 0)
		return EMU_OK;
	r = emu_deliver(v, vector, false, 0);
	if (r == EMU_OK) {
		v->irr[vector / 32] &= ~BIT(vector % 32);
		v->isr[vector / 32] |= BIT(vector % 32);
	}
	return r;
}

/**
 * emu_x2apic_read() - RDMSR of the virtual APIC
 * @v: the vCPU
 * @index: the MSR
 * @data: its value
 *
 * Return: false if the MSR is not one of those that the CPU virtualizes.
 */
bool emu_x2apic_read(struct emu_vcpu *v, u32 index, u64 *data)
{
	switch (index) {
	case X2APIC(APIC_TASKPRI):
		*data = v->cr8 << 4;
		return true;
	case X2APIC(APIC_ISR) ... X2APIC(APIC_ISR) + 7:
		*data = v->isr[index - X2APIC(APIC_ISR)];
		return true;
	case X2APIC(APIC_IRR) ... X2APIC(APIC_IRR) + 7:
		sync_posted(v);
		*data = v->irr[index - X2APIC(APIC_IRR)];
		return true;
	}
	return false;
}

/**
 * emu_x2apic_write() - WRMSR to the virtual APIC
 * @v: the vCPU
 * @index: the MSR
 * @data: the value
 *
 * Return: false if the MSR is not one of those that the CPU virtualizes.
 */
bool emu_x2apic_write(struct emu_vcpu *v, u32 index, u64 data)
{
	int vector;

	switch (index) {
	case X2APIC(APIC_TASKPRI):
		v->cr8 = (data & 0xff) >> 4;
		return true;
	case X2APIC(APIC_EOI):
		vector = highest(v->isr);
		if (vector >= 0)
			v->isr[vector / 32] &= ~BIT(vector % 32);
		return true;
	case X2APIC(APIC_SELF_IPI):
		v->irr[(data & 0xff) / 32] |= BIT(data % 32);
		return true;
	}
	return false;
}
