/* SPDX-License-Identifier: GPL-2.0 */
/*
 * From the reset state of a TD's vCPU to the 64-bit entry of Linux.
 *
 * All vCPUs start at 0xfffffff0, in flat 32-bit mode without paging, with EFER.LME set
 * and their index in ESI.  Number 0 accepts the memory that was not loaded, for Linux
 * learns of memory that is not accepted only from EFI; then it enters the kernel.  The
 * others wait until Linux writes to the mailbox that ACPI describes.
 *
 * This is copied into the page of the reset vector, so only distances between its
 * labels mean something.  There is no stack.
 */
#include "td_linux.h"

#define HERE(label)	(TDL_BOOT + (label - td_linux_boot_begin))

/* Selectors that the boot protocol asks for. */
#define BOOT_CS		0x10
#define BOOT_DS		0x18

#define TDG_VP_VMCALL		0
#define TDG_MEM_PAGE_ACCEPT	6
#define TDVMCALL_FATAL_ERROR	0x10003

/* Upper halves of a status. */
#define ALREADY_ACCEPTED	0x00000b0a
#define OPERAND_BUSY		0x80000200
#define SIZE_MISMATCH		0xc0000b0b

#define SZ_2M		0x200000

	.macro	tdcall
	.byte	0x66, 0x0f, 0x01, 0xcc
	.endm

	.data
	.global td_linux_boot_begin, td_linux_boot_end
	.code32
td_linux_boot_begin:
	movl	$TDL_TABLES, %eax
	movl	%eax, %cr3
	/* PAE, and what there is: a TD has MCE set. */
	movl	%cr4, %eax
	orl	$0x20, %eax
	movl	%eax, %cr4
	lgdt	HERE(gdtr)
	movl	%cr0, %eax
	orl	$0x80000000, %eax
	movl	%eax, %cr0
	/* ljmp BOOT_CS:1f, of the copy */
	.byte	0xea
	.long	HERE(1f)
	.word	BOOT_CS

	.code64
1:	movl	$BOOT_DS, %eax
	movl	%eax, %ss
	movl	%eax, %ds
	movl	%eax, %es
	testl	%esi, %esi
	jnz	other

	movl	$HERE(td_linux_boot_begin), %ebx
	addq	$TDL_RANGES, %rbx
next_range:
	movq	(%rbx), %r12
	movq	8(%rbx), %r13
	addq	$16, %rbx
	testq	%r13, %r13
	jz	enter
next_page:
	cmpq	%r13, %r12
	jae	next_range
	testl	$(SZ_2M - 1), %r12d
	jnz	small
	leaq	SZ_2M(%r12), %r14
	cmpq	%r13, %r14
	ja	small
	movl	$TDG_MEM_PAGE_ACCEPT, %eax
	leaq	1(%r12), %rcx
	tdcall
	movq	%rax, %r15
	shrq	$32, %rax
	jz	accepted
	cmpl	$OPERAND_BUSY, %eax
	je	next_page
	/* The host has it as pages of 4 KiB: the rest of the 2 MiB goes page by page. */
	cmpl	$SIZE_MISMATCH, %eax
	jne	fatal
small:	movl	$TDG_MEM_PAGE_ACCEPT, %eax
	movq	%r12, %rcx
	leaq	0x1000(%r12), %r14
	tdcall
	movq	%rax, %r15
	shrq	$32, %rax
	jz	accepted
	cmpl	$OPERAND_BUSY, %eax
	je	small
	cmpl	$ALREADY_ACCEPTED, %eax
	jne	fatal
accepted:
	movq	%r14, %r12
	jmp	next_page

enter:	movl	$HERE(td_linux_boot_begin), %ebx
	movq	TDL_ENTRY(%rbx), %rax
	movl	$TDL_PARAMS, %esi
	jmp	*%rax

	/* Its address and the status go to the host, which ends the TD. */
fatal:	movl	$TDG_VP_VMCALL, %eax
	movl	$0xfc00, %ecx
	xorl	%r10d, %r10d
	movl	$TDVMCALL_FATAL_ERROR, %r11d
	movq	%r12, %r14
	movl	$1, %r12d
	xorl	%r13d, %r13d
	tdcall
	jmp	fatal

	/* struct acpi_madt_multiproc_wakeup_mailbox; APIC IDs are indices. */
other:	movl	$TDL_MAILBOX, %ebx
2:	pause
	cmpw	$1, (%rbx)
	jne	2b
	cmpl	%esi, 4(%rbx)
	jne	2b
	movq	8(%rbx), %rax
	movw	$0, (%rbx)
	jmp	*%rax

	.balign 8
gdt:	.quad	0, 0
	.quad	0x00af9a000000ffff	/* BOOT_CS */
	.quad	0x00cf92000000ffff	/* BOOT_DS */
gdtr:	.word	gdtr - gdt - 1
	.long	HERE(gdt)
td_linux_boot_end:

	.section .note.GNU-stack, "", @progbits
