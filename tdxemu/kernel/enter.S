/* SPDX-License-Identifier: GPL-2.0 */
/* Into a TD by VMX, and out of it. */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/unwind_hints.h>

#define HOST_RSP	0x6c14	/* of enum vmcs_field, which assembly cannot read */

/* The register of emu_vcpu.regs[n], by its number in instructions. */
#define REG(n)	((n) * 8)(%rdi)

.section .text, "ax"

/*
 * int emu_vmx_switch(u64 regs[16], bool resume)
 *
 * Run the current VMCS until a VM exit. regs: the guest's registers in the order of
 * instruction encoding, in and out; RSP is the VMCS's.
 *
 * Return: 0; 1 if VMLAUNCH or VMRESUME failed.
 */
SYM_FUNC_START(emu_vmx_switch)
	push %rbp
	mov %rsp, %rbp
	push %r15
	push %r14
	push %r13
	push %r12
	push %rbx
	push %rdi
	mov $HOST_RSP, %eax
	vmwrite %rsp, %rax

	/* What follows leaves the flags alone. */
	test %sil, %sil
	mov REG(0), %rax
	mov REG(1), %rcx
	mov REG(2), %rdx
	mov REG(3), %rbx
	mov REG(5), %rbp
	mov REG(6), %rsi
	mov REG(8), %r8
	mov REG(9), %r9
	mov REG(10), %r10
	mov REG(11), %r11
	mov REG(12), %r12
	mov REG(13), %r13
	mov REG(14), %r14
	mov REG(15), %r15
	mov REG(7), %rdi
	jz .Llaunch
	UNWIND_HINT_SAVE
	vmresume
	jmp .Lfailed
.Llaunch:
	vmlaunch
.Lfailed:
	mov $1, %eax
	jmp .Lout

/* The CPU comes here, with the RSP of above. */
SYM_INNER_LABEL_ALIGN(emu_vmx_exit, SYM_L_GLOBAL)
	UNWIND_HINT_RESTORE
	ENDBR
	push %rdi
	mov 8(%rsp), %rdi
	mov %rax, REG(0)
	mov %rcx, REG(1)
	mov %rdx, REG(2)
	mov %rbx, REG(3)
	mov %rbp, REG(5)
	mov %rsi, REG(6)
	mov %r8, REG(8)
	mov %r9, REG(9)
	mov %r10, REG(10)
	mov %r11, REG(11)
	mov %r12, REG(12)
	mov %r13, REG(13)
	mov %r14, REG(14)
	mov %r15, REG(15)
	pop REG(7)
	xor %eax, %eax
.Lout:
	pop %rdi
	pop %rbx
	pop %r12
	pop %r13
	pop %r14
	pop %r15
	pop %rbp
	RET
SYM_FUNC_END(emu_vmx_switch)
