/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where a TD starts, and what tells the VMM how to build it.
 *
 * The image is the last 64 KiB below 4 GiB. Page tables, .bss and the stack are
 * memory that the VMM adds to the TD as well ("temporary memory"), all of it zero:
 *
 *	TEMP		PML4, PDPT, and three PDs: 0 - 1 GiB, the same once more at 1 GiB
 *			for shared memory (filled by map_shared() of td.h), 3 - 4 GiB
 *	TEMP + 0x5000	.bss, see firmware.lds
 *	TEMP + 0x1b000	where all vCPUs but the first wait: a mailbox as ACPI describes it
 *	TEMP + 0x20000	end of the stack
 */
#define TEMP		0x800000
#define TEMP_SIZE	0x20000
#define MAILBOX		(TEMP + 0x1b000)
#define HOB		(TEMP + TEMP_SIZE)
#define HOB_SIZE	0x2000

#define PML4		TEMP
#define PDPT		(TEMP + 0x1000)
#define PD_LOW		(TEMP + 0x2000)
#define PD_SHARED	(TEMP + 0x3000)
#define PD_IMAGE	(TEMP + 0x4000)

#define PRESENT		0x3	/* and writable */
#define LEAF		0x80

	/* 32 bits, flat, no paging; EFER.LME is set, ESI is the number of the vCPU. All of
	 * them make the same tables. */
	.section .text.start, "ax"
	.code32
	.globl	start32
start32:
	movl	$(PDPT + PRESENT), PML4
	movl	$(PD_LOW + PRESENT), PDPT
	movl	$(PD_SHARED + PRESENT), PDPT + 8
	movl	$(PD_IMAGE + PRESENT), PDPT + 24

	movl	$(PRESENT + LEAF), %eax
	xorl	%ecx, %ecx
leaf:	movl	%eax, PD_LOW(,%ecx,8)
	leal	0xc0000000(%eax), %edx
	movl	%edx, PD_IMAGE(,%ecx,8)
	addl	$0x200000, %eax
	incl	%ecx
	cmpl	$512, %ecx
	jb	leaf

	movl	%cr4, %eax
	orl	$(1 << 5), %eax			/* PAE */
	movl	%eax, %cr4
	movl	$PML4, %eax
	movl	%eax, %cr3
	movl	%cr0, %eax
	orl	$(1 << 31 | 1 << 16), %eax	/* PG, WP */
	movl	%eax, %cr0
	lgdt	gdt_pointer
	ljmp	$16, $start64

	.code64
start64:
	movl	$24, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	testl	%esi, %esi
	jnz	other
	movl	$(TEMP + TEMP_SIZE), %esp
	movabs	$firmware, %rax
	call	*%rax
	ud2

	/* Command, APIC ID (that is the number) and address; Linux writes the command last. */
other:	pause
	cmpw	$1, MAILBOX
	jne	other
	cmpl	%esi, MAILBOX + 4
	jne	other
	movq	MAILBOX + 8, %rax
	movw	$0, MAILBOX
	jmp	*%rax

	.balign	8
	/* Selectors as Linux wants them. */
gdt:	.quad	0, 0
	.quad	0x00af9b000000ffff		/* code, 64 bits */
	.quad	0x00cf93000000ffff		/* data */
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

	/* The sections of the TD: what becomes its memory before it runs. */
	.section .descriptor, "a"
descriptor:
	.ascii	"TDVF"
	.long	descriptor_end - descriptor
	.long	1				/* version */
	.long	3				/* sections */

	/* offset and size in the image, address and size in memory, type, flags */
	.long	0, 0x10000			/* the image, measured */
	.quad	0xffff0000, 0x10000
	.long	0, 1
	.long	0, 0				/* the VMM's list of memory */
	.quad	HOB, HOB_SIZE
	.long	2, 0
	.long	0, 0				/* temporary memory */
	.quad	TEMP, TEMP_SIZE
	.long	3, 0
descriptor_end:

	/* The end of the image: GUIDs, from the last one down, and the reset vector. */
	.section .end, "a"
guids:
	.long	0x1000				/* from the descriptor to 4 GiB */
	.word	guid_metadata_end - guids
	.long	0xe47a6535			/* is what this GUID says it is */
	.word	0x984a, 0x4798
	.byte	0x86, 0x5e, 0x46, 0x85, 0xa7, 0xbf, 0x8e, 0xc2
guid_metadata_end:
	.word	guids_end - guids
	.long	0x96b582de			/* the list of GUIDs */
	.word	0x1fb2, 0x45f7
	.byte	0xba, 0xea, 0xa3, 0x66, 0xc5, 0x5a, 0x08, 0x2d
guids_end:
	.org	guids + 0x38			/* 4 GiB - 16 */
	.code32
	jmp	start32
	.org	guids + 0x48

	.section .note.GNU-stack, "", @progbits
