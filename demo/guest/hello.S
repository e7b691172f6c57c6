/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest of 5 KiB in the shape of a bzImage, in place of Linux: VMM and boot code can be
 * tested with it where Linux would take hours, by the engine that interprets.
 *
 * It prints the command line, sees that memory from 16 to 64 MiB was accepted and is
 * zero, converts three pages to shared, gives five pages to the host and accepts them
 * again, sees that they are zero and that all others have what was written, and ends the
 * machine with 0.  Any other status tells what went wrong.
 */
#include "../td_linux.h"

#define TDG_VP_VMCALL		0
#define TDG_MEM_PAGE_ACCEPT	6
#define TDVMCALL_IO		30
#define TDVMCALL_MAP_GPA	0x10001
/* R10 to R15 */
#define VMCALL_REGS		0xfc00

#define SERIAL_PORT		0x3f8
#define STACK			0x90000
#define MEMORY_END		0x4000000
#define SHARED_BIT		(1 << 47)
#define CONVERTED		0x2001000
#define GIVEN			0x2401000

	.macro	tdcall
	.byte	0x66, 0x0f, 0x01, 0xcc
	.endm

	.text
	.code64
	.globl	_start
_start:
	/* struct setup_header: boot sector and one more of set-up code, which has none. */
	.org	0x1f1
	.byte	1
	.org	0x200
	.byte	0xeb, 0x66	/* jmp, which says where the header ends */
	.ascii	"HdrS"
	.word	0x20c
	.org	0x236
	.word	1		/* xloadflags: XLF_KERNEL_64 */

	/* The 64-bit entry, 0x200 behind where the kernel is loaded. */
	.org	0x600
	movl	$STACK, %esp
	movl	0x228(%rsi), %r8d	/* cmd_line_ptr */
	leaq	hello(%rip), %rbx
	call	print
	movl	%r8d, %ebx
	call	print
	leaq	newline(%rip), %rbx
	call	print

	movb	$1, %bpl
	movl	$TDL_FREE, %ebx
1:	cmpq	$0, (%rbx)
	jne	end
	movq	%rbx, (%rbx)
	addq	$0x1000, %rbx
	cmpl	$MEMORY_END, %ebx
	jb	1b

	movb	$2, %bpl
	movl	$TDVMCALL_MAP_GPA, %r11d
	movl	$(SHARED_BIT >> 32), %r12d
	shlq	$32, %r12
	orq	$CONVERTED, %r12
	movl	$0x3000, %r13d
	call	vmcall
	testq	%r10, %r10
	jnz	end

	movl	$TDL_BALLOON_PAGE, %r14d
	movl	$(GIVEN >> 12), %r15d
	call	outl
	movl	$TDL_BALLOON_NR, %r14d
	movl	$5, %r15d
	call	outl
	movb	$3, %bpl
	movl	$GIVEN, %ebx
2:	movl	$TDG_MEM_PAGE_ACCEPT, %eax
	movq	%rbx, %rcx
	tdcall
	testq	%rax, %rax
	jnz	end
	cmpq	$0, (%rbx)
	jne	end
	addq	$0x1000, %rbx
	cmpl	$(GIVEN + 0x5000), %ebx
	jb	2b

	/* What was not taken has what was written. */
	movb	$4, %bpl
	movl	$TDL_FREE, %ebx
3:	cmpl	$CONVERTED, %ebx
	jb	4f
	cmpl	$(CONVERTED + 0x3000), %ebx
	jb	5f
	cmpl	$GIVEN, %ebx
	jb	4f
	cmpl	$(GIVEN + 0x5000), %ebx
	jb	5f
4:	cmpq	%rbx, (%rbx)
	jne	end
5:	addq	$0x1000, %rbx
	cmpl	$MEMORY_END, %ebx
	jb	3b
	xorl	%ebp, %ebp

end:	movl	$TDL_EXIT_PORT, %r14d
	movzbl	%bpl, %r15d
	call	outb
	jmp	end

	/* The string at RBX. */
print:	movzbl	(%rbx), %r15d
	testl	%r15d, %r15d
	jz	6f
	movl	$SERIAL_PORT, %r14d
	call	outb
	incq	%rbx
	jmp	print
6:	ret

	/* R15 to the port R14. */
outb:	movl	$1, %r12d
	jmp	out
outl:	movl	$4, %r12d
out:	movl	$TDVMCALL_IO, %r11d
	movl	$1, %r13d
vmcall:	movl	$TDG_VP_VMCALL, %eax
	movl	$VMCALL_REGS, %ecx
	xorl	%r10d, %r10d
	tdcall
	ret

hello:	.asciz	"hello: "
newline: .asciz	"\n"
	.org	0x1400
