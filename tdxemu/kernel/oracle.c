// SPDX-License-Identifier: GPL-2.0
/*
 * What the host must not do and real hardware would not tell. The core refuses
 * what the module refuses; here is what can only be seen together with KVM:
 *
 * - No S-EPT entry is blocked when mmu_lock is free.
 * - KVM's mirror page table equals the S-EPT when mmu_lock is free, entry by
 *   entry.
 * - No page is free that the module owns.
 *
 * With lockdep, the first is checked at every release of mmu_lock, by a
 * tracepoint. All are checked when a thread that changed the S-EPT returns to
 * user space, and on demand; the first also when a vCPU enters. A VM that KVM has
 * given up (vm_bugged) is exempt from the first two, never from the third.
 *
 * A TD's struct kvm is known from the first TDH.VP.ENTER on, until
 * TDH.MNG.VPFLUSHDONE: KVM calls that while it destroys the VM.
 */
#include <linux/init.h>
#include <linux/mm.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <trace/events/lock.h>

#include "emu.h"
#include "mmu.h"
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"

#define LEAF_BLOCK		7
#define LEAF_DEMOTE		15
#define LEAF_VPFLUSHDONE	19
#define LEAF_PROMOTE		23
#define LEAF_REMOVE		29
#define LEAF_SEPT_REMOVE	30
#define LEAF_UNBLOCK		39

/* More TDs than key IDs cannot be. */
#define MAX_TDS			64

struct known_td {
	struct tdxemu_td *td;
	struct kvm *kvm;
	u64 tdr;
	bool scheduled;		/* a check will follow */
};

struct check {
	struct callback_head work;
	struct known_td *known;
	struct kvm *kvm;
};

/* Guards the table; held for a few instructions, in any context. */
static DEFINE_RAW_SPINLOCK(known_lock);
static struct known_td known_tds[MAX_TDS];

static struct known_td *find(u64 tdr)
{
	struct known_td *k;

	for (k = known_tds; k < known_tds + MAX_TDS; k++)
		if (k->tdr == tdr)
			return k;
	return NULL;
}

static struct kvm_mmu_page *mirror_root(struct kvm *kvm)
{
	struct kvm_mmu_page *root;

	list_for_each_entry(root, &kvm->arch.tdp_mmu_roots, link)
		if (is_mirror_sp(root) && !root->role.invalid)
			return root;
	return NULL;
}

/* One table of the mirror and what the S-EPT has in the same place. */
static void compare_table(struct known_td *k, u64 *spt, int level, gfn_t base)
{
	gfn_t step = KVM_PAGES_PER_HPAGE(level);
	unsigned int nr_free = 0;
	int i;

	for (i = 0; i < SPTE_ENT_PER_PAGE; i++) {
		gfn_t gfn = base + i * step;
		u64 spte = READ_ONCE(spt[i]);
		struct tdxemu_sept_entry e = {};
		bool leaf;

		/* The upper half of the root is shared. */
		if (level == PT64_ROOT_4LEVEL && i >= SPTE_ENT_PER_PAGE / 2)
			break;
		/* Nothing in both of them, most of the time. */
		if (!nr_free)
			nr_free = tdxemu_sept_nr_free(k->td, gfn_to_gpa(gfn), level - 1);
		if (nr_free) {
			nr_free--;
			if (!is_shadow_present_pte(spte))
				continue;
		}
		if (!tdxemu_sept_lookup(k->td, gfn_to_gpa(gfn), level - 1, &e) ||
		    e.level != level - 1) {
			/* Above is no table: the mirror has none there, either. */
			if (is_shadow_present_pte(spte))
				emu_violation("mirror: gfn 0x%llx level %d is 0x%llx, the S-EPT ends at level %u",
					      gfn, level, spte, e.level + 1);
			continue;
		}
		leaf = is_shadow_present_pte(spte) && is_last_spte(spte, level);
		if (is_shadow_present_pte(spte) != e.present || e.blocked ||
		    (e.present && e.leaf != leaf) ||
		    (leaf && e.hpa >> PAGE_SHIFT != spte_to_pfn(spte))) {
			emu_violation("mirror: gfn 0x%llx level %d is 0x%llx, in the S-EPT 0x%llx state 0x%x",
				      gfn, level, spte, e.raw, e.state);
			continue;
		}
		if (e.present && !leaf)
			compare_table(k, spte_to_child_sp(spte)->spt, level - 1, gfn);
	}
}

static int page_in_use(void *data, u64 gpa, const struct tdxemu_sept_entry *e)
{
	unsigned long pfn = PHYS_PFN(e->hpa), n = 1ul << (9 * e->level), i;

	for (i = 0; i < n; i++)
		if (!page_count(compound_head(pfn_to_page(pfn + i))))
			emu_violation("page 0x%llx is free, and the module's at gpa 0x%llx",
				      PFN_PHYS(pfn + i), gpa);
	return 0;
}

static void check_td(struct known_td *k)
{
	struct kvm_mmu_page *root;

	write_lock(&k->kvm->mmu_lock);
	if (!k->kvm->vm_bugged) {
		root = mirror_root(k->kvm);
		if (tdxemu_blocked(k->td))
			tdxemu_host_released_mmu_lock(k->td);
		if (root)
			compare_table(k, root->spt, root->role.level, 0);
	}
	tdxemu_for_each_leaf(k->td, page_in_use, NULL);
	tdxemu_check_td(k->td);
	write_unlock(&k->kvm->mmu_lock);
}

static void run_check(struct callback_head *work)
{
	struct check *c = container_of(work, struct check, work);

	WRITE_ONCE(c->known->scheduled, false);
	check_td(c->known);
	kvm_put_kvm(c->kvm);
	kfree(c);
}

/* The reference keeps the TD from being destroyed, and with it @k. */
static void schedule_check(u64 tdr)
{
	struct known_td *k;
	struct check *c;

	if (current->flags & (PF_KTHREAD | PF_EXITING))
		return;
	c = kzalloc(sizeof(*c), GFP_ATOMIC);
	if (!c)
		return;
	scoped_guard(raw_spinlock_irqsave, &known_lock) {
		k = find(tdr);
		if (k && !k->scheduled && kvm_get_kvm_safe(k->kvm)) {
			k->scheduled = true;
			c->known = k;
			c->kvm = k->kvm;
		}
	}
	if (!c->known) {
		kfree(c);
		return;
	}
	init_task_work(&c->work, run_check);
	if (task_work_add(current, &c->work, TWA_RESUME)) {
		WRITE_ONCE(k->scheduled, false);
		kvm_put_kvm(c->kvm);
		kfree(c);
	}
}

/**
 * emu_oracle_call() - a SEAMCALL has been made
 * @fn: its number
 * @rcx: RCX as it went in
 * @rdx: RDX as it went in
 * @status: what it returned
 */
void emu_oracle_call(u64 fn, u64 rcx, u64 rdx, u64 status)
{
	struct known_td *k;

	switch ((u16)fn) {
	case LEAF_BLOCK:
	case LEAF_DEMOTE:
	case LEAF_PROMOTE:
	case LEAF_REMOVE:
	case LEAF_SEPT_REMOVE:
	case LEAF_UNBLOCK:
		schedule_check(rdx & PAGE_MASK);
		break;
	case LEAF_VPFLUSHDONE:
		/* Also when it fails: the VM goes in any case. */
		scoped_guard(raw_spinlock_irqsave, &known_lock) {
			k = find(rcx & PAGE_MASK);
			if (k)
				memset(k, 0, sizeof(*k));
		}
		break;
	}
}

/**
 * emu_oracle_enter() - a vCPU is about to enter
 * @td: its TD
 * @kvm: the VM
 *
 * Interrupts are off. Cheap after the first time.
 */
void emu_oracle_enter(struct tdxemu_td *td, struct kvm *kvm)
{
	u64 tdr = tdxemu_td_pa(td);
	struct known_td *k;

	scoped_guard(raw_spinlock_irqsave, &known_lock) {
		k = find(tdr);
		if (!k)
			k = find(0);
		if (k) {
			k->td = td;
			k->tdr = tdr;
			WRITE_ONCE(k->kvm, kvm);
		}
	}
	if (!tdxemu_blocked(td) || kvm->vm_bugged || !read_trylock(&kvm->mmu_lock))
		return;
	if (tdxemu_blocked(td) && !kvm->vm_bugged)
		tdxemu_host_released_mmu_lock(td);
	read_unlock(&kvm->mmu_lock);
}

/* Each TD that does not go away meanwhile. */
static void for_each_td(void (*fn)(struct known_td *k, void *data), void *data)
{
	struct known_td *k;
	struct kvm *kvm;

	for (k = known_tds; k < known_tds + MAX_TDS; k++) {
		scoped_guard(raw_spinlock_irqsave, &known_lock) {
			kvm = k->kvm;
			if (kvm && !kvm_get_kvm_safe(kvm))
				kvm = NULL;
		}
		if (!kvm)
			continue;
		fn(k, data);
		kvm_put_kvm(kvm);
	}
}

static void check_one(struct known_td *k, void *unused)
{
	check_td(k);
}

/**
 * emu_oracle_check_all() - check every TD now
 *
 * Process context. Sleeps on no lock but mmu_lock of the VMs.
 */
void emu_oracle_check_all(void)
{
	for_each_td(check_one, NULL);
}

static int show_leaf(void *data, u64 gpa, const struct tdxemu_sept_entry *e)
{
	struct seq_file *m = data;

	seq_printf(m, "0x%llx level %u state %u hpa 0x%llx\n", gpa, e->level,
		   e->state, e->hpa);
	return 0;
}

static void show_td(struct known_td *k, void *data)
{
	struct seq_file *m = data;

	seq_printf(m, "td 0x%llx epoch %llu\n", k->tdr, tdxemu_epoch(k->td));
	write_lock(&k->kvm->mmu_lock);
	tdxemu_for_each_leaf(k->td, show_leaf, m);
	write_unlock(&k->kvm->mmu_lock);
}

/**
 * emu_oracle_show() - the S-EPT of every TD, leaf by leaf
 * @m: gets a line for each TD, and one for each leaf after it
 *
 * Process context. Sleeps on no lock but mmu_lock of the VMs.
 */
void emu_oracle_show(struct seq_file *m)
{
	for_each_td(show_td, m);
}

#ifdef CONFIG_LOCKDEP
/*
 * The lock is still held. What is compared is an address: only if it is that of a
 * TD's mmu_lock, the VM is known to be alive, and known_lock to be free.
 */
static void on_release(void *unused, struct lockdep_map *lock, unsigned long ip)
{
	struct tdxemu_td *left = NULL;
	struct known_td *k;
	struct kvm *kvm;

	for (k = known_tds; k < known_tds + MAX_TDS; k++) {
		kvm = READ_ONCE(k->kvm);
		if (kvm && lock == &kvm->mmu_lock.dep_map &&
		    tdxemu_blocked(k->td) && !kvm->vm_bugged)
			left = k->td;
	}
	if (left)
		tdxemu_host_released_mmu_lock(left);
}

static int __init emu_oracle_init(void)
{
	return register_trace_lock_release(on_release, NULL);
}
late_initcall(emu_oracle_init);
#endif
