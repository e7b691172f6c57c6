// SPDX-License-Identifier: GPL-2.0
/*
 * One instruction of a TD: by its bytes what KVM's emulator does not know, or what a TD
 * answers with #VE; the rest by the emulator.
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/processor-flags.h>
#include <asm/vmx.h>

#include "interp.h"

/* An instruction in 64-bit mode, as far as its opcode. */
struct emu_insn {
	const u8 *next;		/* after the opcode */
	unsigned int left;	/* bytes that can be read there */
	unsigned int length;	/* up to there */
	unsigned int prefixes;
	unsigned int rex;
	bool op16, rep, repne;
	u8 op;			/* last byte of the opcode */
	u32 reason;		/* of a #VE */
};

/*
 * REP MOVS and REP STOS, a page at a time: the emulator would take as long for
 * each byte as for another instruction. Interruptible between pages.
 */
static enum emu_result rep_string(struct emu_vcpu *v, u8 op, unsigned int size,
				  unsigned int length, struct x86_exception *e)
{
	u64 n = v->regs[RCX];
	void *dst, *src;
	enum emu_result r;

	if (n) {
		n = min_t(u64, n, (PAGE_SIZE - offset_in_page(v->regs[RDI])) / size);
		if (!n)
			return EMU_FAULT;	/* one element on two pages */
		r = emu_translate(v, v->regs[RDI], TDXEMU_WRITE, false, &dst, e);
		if (r != EMU_OK)
			return r;
		if ((op & 0xfe) == 0xa4) {
			n = min_t(u64, n, (PAGE_SIZE - offset_in_page(v->regs[RSI])) / size);
			if (!n)
				return EMU_FAULT;
			r = emu_translate(v, v->regs[RSI], TDXEMU_READ, false, &src, e);
			if (r != EMU_OK)
				return r;
			/* Overlapping ranges: byte by byte is what it means. */
			if (v->regs[RDI] - v->regs[RSI] < n * size) {
				n = 1;
				memmove(dst, src, size);
			} else {
				memcpy(dst, src, n * size);
			}
			v->regs[RSI] += n * size;
		} else {
			switch (size) {
			case 1: memset(dst, v->regs[RAX], n); break;
			case 2: memset16(dst, v->regs[RAX], n); break;
			case 4: memset32(dst, v->regs[RAX], n); break;
			case 8: memset64(dst, v->regs[RAX], n); break;
			}
		}
		v->regs[RDI] += n * size;
		v->regs[RCX] -= n;
	}
	if (!v->regs[RCX])
		v->rip += length;
	return EMU_OK;
}

static u64 io_qualification(struct emu_vcpu *v, u8 op, bool op16)
{
	unsigned int size = !(op & 1) ? 1 : op16 ? 2 : 4;
	u64 qual = size - 1;

	if (op == 0xe4 || op == 0xe5 || op == 0xec || op == 0xed ||
	    op == 0x6c || op == 0x6d)
		qual |= BIT(3);
	if (op >= 0x6c && op <= 0x6f)
		qual |= BIT(4);
	return qual;
}

/*
 * Handlers. True: *r is what came of it, and unless that is a #VE or a fault the RIP is
 * behind the instruction. False: the emulator's, after all.
 */
#define HANDLER(name)								\
	static bool name(struct emu_vcpu *v, struct emu_insn *in, enum emu_result *r, \
			 struct x86_exception *e)

static bool done(struct emu_vcpu *v, const struct emu_insn *in)
{
	v->rip += in->length;
	return true;
}

static bool answer_ve(struct emu_vcpu *v, const struct emu_insn *in, u64 qual, enum emu_result *r)
{
	v->ve_length = in->length;
	*r = emu_virt_exception(v, in->reason, qual, 0, 0);
	return true;
}

HANDLER(ve)
{
	return answer_ve(v, in, 0, r);
}

HANDLER(iretq)
{
	if (!(in->rex & 8))
		return false;
	*r = emu_iret(v, e);
	return true;
}

HANDLER(int_n)
{
	bool has_vector = in->op == 0xcd;

	if (has_vector && !in->left)
		return false;
	in->length += has_vector;
	v->rip += in->length;
	*r = emu_exception(v, has_vector ? in->next[0] : BP_VECTOR, false, 0);
	if (*r != EMU_OK)
		v->rip -= in->length;
	return true;
}

HANDLER(string)
{
	unsigned int size = !(in->op & 1) ? 1 : in->rex & 8 ? 8 : in->op16 ? 2 : 4;

	if (!in->rep || v->rflags & X86_EFLAGS_DF)
		return false;
	v->ve_length = in->length;
	*r = rep_string(v, in->op, size, in->length, e);
	/* The emulator does what spans two pages. */
	return *r != EMU_FAULT || e->vector == PF_VECTOR;
}

HANDLER(io_imm)
{
	if (!in->left)
		return false;
	in->length++;
	return answer_ve(v, in, io_qualification(v, in->op, in->op16) | BIT(6) |
			 (u64)in->next[0] << 16, r);
}

HANDLER(io_dx)
{
	return answer_ve(v, in, io_qualification(v, in->op, in->op16) |
			 (in->rep || in->repne ? BIT(5) : 0) |
			 (v->regs[RDX] & 0xffff) << 16, r);
}

HANDLER(do_cpuid)
{
	u32 out[4];

	if (!emu_cpuid(v, v->regs[RAX], v->regs[RCX], out))
		return ve(v, in, r, e);
	v->regs[RAX] = out[0];
	v->regs[RBX] = out[1];
	v->regs[RCX] = out[2];
	v->regs[RDX] = out[3];
	return done(v, in);
}

/* The host's CPU keeps the order already. */
HANDLER(fence)
{
	if (!in->left || in->next[0] < 0xe8 || in->op16 || in->rep || in->repne)
		return false;
	mb();
	in->length++;
	return done(v, in);
}

HANDLER(tdcall)
{
	if (!in->op16 || in->prefixes != 1)
		return false;
	v->rip += in->length;
	*r = emu_cpl(v) ? EMU_FAULT : emu_tdcall(v);
	if (*r == EMU_FAULT) {
		v->rip -= in->length;
		e->vector = GP_VECTOR;
		e->error_code_valid = true;
		e->error_code = 0;
	} else if (*r == EMU_REPEAT) {
		v->rip -= in->length;
		*r = EMU_EXIT;
	}
	return true;
}

HANDLER(swapgs)
{
	swap(v->kernel_gs_base, v->seg[VCPU_SREG_GS].base);
	return done(v, in);
}

HANDLER(rdtscp)
{
	u64 tsc = emu_tsc(v);

	v->regs[RAX] = (u32)tsc;
	v->regs[RDX] = tsc >> 32;
	v->regs[RCX] = (u32)v->tsc_aux;
	return done(v, in);
}

HANDLER(clac_stac)
{
	v->rflags &= ~X86_EFLAGS_AC;
	if (in->op == 0xcb)
		v->rflags |= X86_EFLAGS_AC;
	return done(v, in);
}

enum opcode_map { ONE_BYTE, MAP_0F, MAP_0F01 };

/* By opcode; those that only the kernel may use are the emulator's for the rest. */
static const struct special {
	enum opcode_map map;
	u8 first, last;
	bool (*handler)(struct emu_vcpu *v, struct emu_insn *in, enum emu_result *r,
			struct x86_exception *e);
	u32 reason;
	bool privileged;
} specials[] = {
	{ ONE_BYTE, 0x6c, 0x6f, io_dx, EXIT_REASON_IO_INSTRUCTION },
	{ ONE_BYTE, 0xa4, 0xa5, string },	/* movs */
	{ ONE_BYTE, 0xaa, 0xab, string },	/* stos */
	{ ONE_BYTE, 0xcc, 0xcd, int_n },
	{ ONE_BYTE, 0xcf, 0xcf, iretq },
	{ ONE_BYTE, 0xe4, 0xe7, io_imm, EXIT_REASON_IO_INSTRUCTION },
	{ ONE_BYTE, 0xec, 0xef, io_dx, EXIT_REASON_IO_INSTRUCTION },
	{ ONE_BYTE, 0xf4, 0xf4, ve, EXIT_REASON_HLT, .privileged = true },
	{ MAP_0F, 0x08, 0x08, ve, EXIT_REASON_INVD, .privileged = true },
	{ MAP_0F, 0x09, 0x09, ve, EXIT_REASON_WBINVD, .privileged = true },
	{ MAP_0F, 0xa2, 0xa2, do_cpuid, EXIT_REASON_CPUID },
	{ MAP_0F, 0xae, 0xae, fence },
	{ MAP_0F01, 0xc1, 0xc1, ve, EXIT_REASON_VMCALL },
	{ MAP_0F01, 0xc8, 0xc8, ve, EXIT_REASON_MONITOR_INSTRUCTION },
	{ MAP_0F01, 0xc9, 0xc9, ve, EXIT_REASON_MWAIT_INSTRUCTION },
	{ MAP_0F01, 0xca, 0xcb, clac_stac },
	{ MAP_0F01, 0xcc, 0xcc, tdcall },
	{ MAP_0F01, 0xf8, 0xf8, swapgs, .privileged = true },
	{ MAP_0F01, 0xf9, 0xf9, rdtscp },
};

/* Prefixes; returns how many there are. */
static unsigned int prefixes(const u8 *bytes, unsigned int n, struct emu_insn *in)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (bytes[i] == 0x66)
			in->op16 = true;
		else if (bytes[i] == 0xf3)
			in->rep = true;
		else if (bytes[i] == 0xf2)
			in->repne = true;
		else if ((bytes[i] & 0xf0) == 0x40)
			in->rex = bytes[i];
		else
			break;
	}
	return i;
}

/*
 * What does not reach the emulator.
 *
 * Return: true if @r is the outcome.
 */
static bool special(struct emu_vcpu *v, const u8 *bytes, unsigned int n,
		    enum emu_result *r, struct x86_exception *e)
{
	enum opcode_map map = ONE_BYTE;
	const struct special *s;
	struct emu_insn in = {};
	unsigned int i;

	if (!emu_code64(v))
		return false;
	i = in.prefixes = prefixes(bytes, n, &in);
	if (i < n && bytes[i] == 0x0f) {
		map = MAP_0F;
		if (++i < n && bytes[i] == 0x01) {
			map = MAP_0F01;
			i++;
		}
	}
	if (i >= n)
		return false;
	in.op = bytes[i];
	in.length = i + 1;
	in.next = bytes + in.length;
	in.left = n - in.length;
	*r = EMU_OK;
	for (s = specials; s < specials + ARRAY_SIZE(specials); s++) {
		if (s->map != map || in.op < s->first || in.op > s->last)
			continue;
		if (s->privileged && emu_cpl(v))
			return false;
		in.reason = s->reason;
		return s->handler(v, &in, r, e);
	}
	return false;
}

static enum x86emul_mode mode(struct emu_vcpu *v)
{
	if (emu_code64(v))
		return X86EMUL_MODE_PROT64;
	return v->seg[VCPU_SREG_CS].desc.d ? X86EMUL_MODE_PROT32 : X86EMUL_MODE_PROT16;
}

static bool host_registers(struct operand *op)
{
	return op->type == OP_XMM || op->type == OP_YMM || op->type == OP_MM;
}

static enum emu_result unknown(struct emu_vcpu *v, const u8 *insn, int n)
{
	return emu_dead(v, "no such instruction here: %*ph at rip 0x%llx", n, insn, v->rip);
}

/**
 * emu_step() - execute one instruction
 * @v: the vCPU
 *
 * Return: EMU_OK; EMU_EXIT, with the outputs of TDH.VP.ENTER in @v; EMU_DEAD,
 * with the reason in @v->why.
 */
enum emu_result emu_step(struct emu_vcpu *v)
{
	struct x86_emulate_ctxt *ctxt = &v->ctxt;
	struct x86_exception e = { .vector = 0 };
	u64 linear = emu_code64(v) ? v->rip : (u32)(v->seg[VCPU_SREG_CS].base + v->rip);
	int n = min_t(u64, X86_MAX_INSTRUCTION_LENGTH, PAGE_SIZE - offset_in_page(linear));
	void *bytes;
	u8 *insn;
	enum emu_result r;
	bool done;
	int rc;

	v->instructions++;
	v->ve_length = 0;
	v->shadow = false;
	r = emu_translate(v, linear, TDXEMU_READ | TDXEMU_EXEC, false, &bytes, &e);
	insn = bytes;
	done = r != EMU_OK || special(v, insn, n, &r, &e);
	if (done && r == EMU_VE)
		return emu_deliver_ve(v, v->ve_length);
	if (done && r == EMU_FAULT)
		goto fault;
	if (done)
		return r;

	ctxt->ops = &emu_ops;
	ctxt->eflags = v->rflags;
	ctxt->eip = v->rip;
	ctxt->tf = false;
	ctxt->mode = mode(v);
	ctxt->gpa_available = false;
	ctxt->interruptibility = 0;
	ctxt->have_exception = false;
	ctxt->exception.vector = 0;
	ctxt->perm_ok = false;
	v->result = EMU_OK;
	emulator_invalidate_register_cache(ctxt);
	init_decode_cache(ctxt);
	rc = x86_decode_insn(ctxt, insn, n, 0);
	if (rc == EMULATION_OK && !ctxt->have_exception) {
		if (host_registers(&ctxt->src) || host_registers(&ctxt->src2) ||
		    host_registers(&ctxt->dst) ||
		    (ctxt->opcode_len == 1 && (ctxt->b == 0x9b ||
					       (ctxt->b & 0xf8) == 0xd8)))
			return unknown(v, insn, n);
		do {
			rc = x86_emulate_insn(ctxt, false);
		} while (rc == EMULATION_RESTART);
	}
	if (v->result == EMU_VE)
		return emu_deliver_ve(v, ctxt->_eip - ctxt->eip);
	if (v->result != EMU_OK)
		return v->result;
	if (ctxt->have_exception) {
		e = ctxt->exception;
		/* UD2, and nothing else, may want its #UD. */
		if (e.vector == UD_VECTOR && !(insn[0] == 0x0f && insn[1] == 0x0b))
			return unknown(v, insn, n);
		goto fault;
	}
	if (rc != EMULATION_OK)
		return unknown(v, insn, n);
	v->rip = ctxt->eip;
	v->rflags = ctxt->eflags;
	v->shadow = ctxt->interruptibility;
	return EMU_OK;

fault:
	if (e.vector == PF_VECTOR)
		v->cr2 = e.address;
	return emu_exception(v, e.vector, e.error_code_valid, e.error_code);
}
