// SPDX-License-Identifier: GPL-2.0
/*
 * The module's view of memory. It reaches every page through a mapping of its
 * own, and takes the pages that it owns away from the kernel: with KASAN they are
 * poisoned, and with debug_pagealloc=on, for which the direct map has 4 KiB pages,
 * they are taken out of it, so that what touches them dies with an oops. With
 * init_on_free=1 that is found, too, of a page that is freed while the module has it.
 *
 * A page comes back when real hardware would let the host have it. Another CPU
 * may keep a translation of the direct map for a while, and KASAN does not look at
 * assembly: this finds a host that touches pages, not every touch.
 */
#include <linux/init.h>
#include <linux/kasan.h>
#include <linux/mm.h>
#include <linux/vmalloc.h>
#include <asm/vmx.h>

#include "emu.h"

/* In pieces: one area cannot have as many pages as there are. */
#define PIECE_SHIFT	28
#define PIECE_PAGES	(1ul << (PIECE_SHIFT - PAGE_SHIFT))
#define MAX_PIECES	64

static void *alias[MAX_PIECES] __ro_after_init;

static int __init emu_alias_init(void)
{
	struct page **pages;
	unsigned long i, n;
	unsigned int piece;

	pages = kvmalloc_array(PIECE_PAGES, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	for (piece = 0; piece << (PIECE_SHIFT - PAGE_SHIFT) < max_pfn; piece++) {
		unsigned long first = piece * PIECE_PAGES;

		n = min(PIECE_PAGES, max_pfn - first);
		for (i = 0; i < n; i++)
			pages[i] = pfn_valid(first + i) ? pfn_to_page(first + i) :
							  ZERO_PAGE(0);
		if (piece < MAX_PIECES)
			alias[piece] = vmap(pages, n, VM_MAP, PAGE_KERNEL);
		if (piece >= MAX_PIECES || !alias[piece])
			pr_warn("tdxemu: no second mapping of RAM at 0x%lx: a host that touches pages there goes unnoticed\n",
				first << PAGE_SHIFT);
	}
	kvfree(pages);
	return 0;
}
/* Before anybody can make a TD. */
device_initcall(emu_alias_init);

static void *alias_of(u64 pa)
{
	return pa >> PIECE_SHIFT < MAX_PIECES ? alias[pa >> PIECE_SHIFT] : NULL;
}

/**
 * emu_va() - where the module sees a physical address
 * @pa: the address, of RAM
 *
 * Return: a pointer that is good for the rest of the page, at any time.
 */
void *emu_va(u64 pa)
{
	void *piece = alias_of(pa);

	return piece ? piece + (pa & (BIT_ULL(PIECE_SHIFT) - 1)) : __va(pa);
}

/**
 * emu_page_owned() - the module takes pages, or gives them back
 * @pa: first address
 * @nr: number of 4 KiB pages
 * @owned: whether the module owns them from now on
 *
 * Any context; takes no lock.
 */
void emu_page_owned(u64 pa, unsigned int nr, bool owned)
{
	struct page *page = pfn_to_page(PHYS_PFN(pa));
	unsigned int i;

	if (!alias_of(pa))
		return;
	for (i = 0; i < nr; i++) {
		if (owned)
			kasan_poison_pages(page + i, 0, false);
		else
			kasan_unpoison_pages(page + i, 0, false);
	}
	if (owned)
		debug_pagealloc_unmap_pages(page, nr);
	else
		debug_pagealloc_map_pages(page, nr);
}

/**
 * emu_ept_exit() - leave the TD with an EPT violation
 * @v: the vCPU
 * @gpa: the address, with the shared bit if it is shared
 * @qual: exit qualification
 * @ext: extended qualification
 */
enum emu_result emu_ept_exit(struct emu_vcpu *v, u64 gpa, u64 qual, u64 ext)
{
	memset(&v->exit, 0, sizeof(v->exit));
	v->exit.rcx = qual;
	v->exit.rdx = ext;
	v->exit.r8 = gpa & PAGE_MASK;
	v->exit_reason = EXIT_REASON_EPT_VIOLATION;
	return EMU_EXIT;
}

/**
 * emu_map_shared() - translate a shared guest physical address
 * @v: the vCPU
 * @gpa: the address, with the shared bit
 * @access: TDXEMU_READ, TDXEMU_WRITE and TDXEMU_EXEC
 * @gla: the linear address, for #VE
 * @hva: where the host has it
 *
 * Walks the host's own page tables. Nothing is cached, and interrupts are off:
 * KVM frees tables and pages only after it has kicked this CPU out.
 */
enum emu_result emu_map_shared(struct emu_vcpu *v, u64 gpa, unsigned int access,
			       u64 gla, void **hva)
{
	u64 addr = GENMASK_ULL(51, 12), table = tdxemu_shared_eptp(v->vp) & addr;
	u64 e, *p, allowed = 7;
	int level;

	if (!table)
		return emu_ept_exit(v, gpa, access, 0);
	for (level = 4; ; level--) {
		p = (u64 *)__va(table) + (gpa >> (12 + 9 * (level - 1)) & 511);
		e = READ_ONCE(*p);
		allowed &= e;
		if (!(e & 7) || ((level == 1 || e & BIT(7)) && (allowed & access) != access)) {
			u64 qual = access | (e & 7 ? (allowed & 7) << 3 : 0);

			if (e & VMX_EPT_SUPPRESS_VE_BIT)
				return emu_ept_exit(v, gpa, qual, 0);
			v->new_ve = (struct emu_ve_info) {
				.reason = EXIT_REASON_EPT_VIOLATION,
				.qualification = qual, .gla = gla, .gpa = gpa,
			};
			return EMU_VE;
		}
		if (level == 1 || e & BIT(7))
			break;
		table = e & addr;
	}
	set_bit(ilog2(VMX_EPT_ACCESS_BIT), (unsigned long *)p);
	if (access & TDXEMU_WRITE)
		set_bit(ilog2(VMX_EPT_DIRTY_BIT), (unsigned long *)p);
	e = (e & addr & ~(BIT_ULL(12 + 9 * (level - 1)) - 1)) |
	    (gpa & (BIT_ULL(12 + 9 * (level - 1)) - 1));
	*hva = __va(e);
	return EMU_OK;
}
