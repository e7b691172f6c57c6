/* SPDX-License-Identifier: GPL-2.0 */
/* Where td_linux.c puts what td_linux_boot.S finds, in the guest's memory. */
#ifndef DEMO_TD_LINUX_H
#define DEMO_TD_LINUX_H

/* Below 1 MiB, where Linux looks for nothing of its own. */
#define TDL_PARAMS	0x10000		/* struct boot_params, the "zero page" */
#define TDL_CMDLINE	0x11000
/* Not for Linux, whose other vCPUs need both until it wakes them. */
#define TDL_KEEP	0x98000
#define TDL_TABLES	0x98000		/* six page tables: the first 4 GiB, identical */
#define TDL_MAILBOX	0x9f000		/* of ACPI: where they wait */
#define TDL_KEEP_END	0xa0000
#define TDL_ACPI	0xe0000		/* RSDP and tables */
#define TDL_KERNEL	0x100000
#define TDL_INITRD	0x800000
/* From here on nothing is loaded. */
#define TDL_FREE	0x1000000

/* The page of the reset vector: code, and from here on what it has to know. */
#define TDL_BOOT	0xfffff000
#define TDL_ENTRY	0xe00		/* u64: of the kernel */
#define TDL_RANGES	0xe08		/* pairs of u64, begin and end, the last one 0 */
#define TDL_NR_RANGES	28
#define TDL_RESET	0xff0

/* As isa-debug-exit of QEMU: a byte written here ends the machine with it. */
#define TDL_EXIT_PORT	0xf4

/* A byte written here makes the VMM show its counts, and says what has been reached. */
#define TDL_MARK_PORT	0xf0
#define TDL_MARK_USER		1	/* user space */
#define TDL_MARK_CONVERTED	2	/* the end of tdx_convert's rounds */
#define TDL_MARK_BALLOON	3	/* the host has the balloon's pages */
#define TDL_MARK_GIVES		4	/* "check" is about to give pages of its own away */
#define TDL_MARK_GIVEN		5	/* and has them back */
#define TDL_MARK_TURN		6	/* the end of some of the rounds */

/* A balloon: the first page, and the number of pages that the host may take. */
#define TDL_BALLOON_PAGE	0xf8
#define TDL_BALLOON_NR		0xfc

#ifndef __ASSEMBLER__
/* The code, see td_linux_boot.S. */
extern char td_linux_boot_begin[], td_linux_boot_end[];
#endif

#endif
