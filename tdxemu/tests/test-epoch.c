// SPDX-License-Identifier: GPL-2.0
/* TLB tracking: epochs, who is counted in which, and what that allows. */

#include "unit.h"

static struct td td;
static u64 victim;

/* What the guest did, and what its access came to. */
static u64 touched;
static enum tdxemu_access_result result;

static u64 guest_touch(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	struct tdxemu_access a;

	result = tdxemu_access(vp, victim, TDXEMU_WRITE, &a);
	touched = a.hpa;
	return EXIT_EXTERNAL_INTERRUPT;
}

/* Host calls made while vCPU 0 is in the guest; the host is on another CPU. */
static void (*meanwhile)(void);

static u64 guest_wait(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	unsigned int cpu = host.cpu;
	struct tdxemu_access a;

	tdxemu_access(vp, victim, TDXEMU_WRITE, &a);
	host.cpu = 3;
	meanwhile();
	host.cpu = cpu;
	return EXIT_EXTERNAL_INTERRUPT;
}

static u64 block(void)
{
	return call(MEM_RANGE_BLOCK, victim, td.tdr, 0, 0);
}

static u64 remove_page(void)
{
	return call(MEM_PAGE_REMOVE, victim, td.tdr, 0, 0);
}

/* Every leaf that wants a range tracked says so in its own way. */
static void check_not_tracked(void)
{
	CHECK_EQ(remove_page(), ST_TLB_TRACKING_NOT_DONE | OP_RCX);
	CHECK_EQ(out.rcx | out.rdx, 0);
	CHECK_EQ(call(MEM_RANGE_UNBLOCK, victim, td.tdr, 0, 0),
		 ST_TLB_TRACKING_NOT_DONE | OP_RCX);
	CHECK_EQ(out.rcx | out.rdx, 0);
	CHECK_EQ(call(MEM_PAGE_RELOCATE, victim, td.tdr, host_page(), 0),
		 ST_TLB_TRACKING_NOT_DONE | OP_RCX);
}

static void nobody_in(void)
{
	u64 e = tdxemu_epoch(tdxemu_td_at(td.tdr));

	CHECK_EQ(block(), 0);
	check_not_tracked();
	CHECK_EQ(td_track(&td), 0);
	CHECK_EQ(tdxemu_epoch(tdxemu_td_at(td.tdr)), e + 1);
	CHECK_EQ(remove_page(), 0);
}

static void in_old_epoch(void)
{
	CHECK_EQ(tdxemu_vcpus_inside(tdxemu_td_at(td.tdr)), 1);
	CHECK_EQ(block(), 0);
	check_not_tracked();
	CHECK_EQ(td_track(&td), 0);
	/* The vCPU inside is counted in the epoch of the BLOCK. */
	check_not_tracked();
	/* And keeps the next one from beginning. */
	CHECK_EQ(td_track(&td), ST_PREVIOUS_TLB_EPOCH_BUSY);
	check_not_tracked();
}

static void old_epoch(void)
{
	meanwhile = in_old_epoch;
	CHECK_EQ(td_enter(&td, 0, guest_wait), EXIT_EXTERNAL_INTERRUPT);
	/* It is out: that was the kick. */
	CHECK_EQ(remove_page(), 0);
	CHECK_EQ(td_track(&td), 0);
}

/* A vCPU that came after TRACK does not count. */
static void in_new_epoch(void)
{
	CHECK_EQ(remove_page(), 0);
	CHECK_EQ(td_track(&td), 0);
}

static void new_epoch(void)
{
	CHECK_EQ(block(), 0);
	CHECK_EQ(td_track(&td), 0);
	meanwhile = in_new_epoch;
	CHECK_EQ(td_enter(&td, 1, guest_wait), EXIT_EXTERNAL_INTERRUPT);
}

/* Two TRACKs later the count does not matter any more. */
static void in_two_tracks(void)
{
	CHECK_EQ(block(), 0);
	CHECK_EQ(td_track(&td), 0);
	check_not_tracked();
}

static void nested(void);

static void two_tracks(void)
{
	meanwhile = in_two_tracks;
	CHECK_EQ(td_enter(&td, 0, guest_wait), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(td_track(&td), 0);
	meanwhile = nested;
	CHECK_EQ(td_enter(&td, 1, guest_wait), EXIT_EXTERNAL_INTERRUPT);
}

static void nested(void)
{
	CHECK_EQ(td_track(&td), 0);
	CHECK_EQ(remove_page(), 0);
}

/* One vCPU in each of two epochs. */
static void second_vcpu(void)
{
	CHECK_EQ(tdxemu_vcpus_inside(tdxemu_td_at(td.tdr)), 2);
	CHECK_EQ(td_track(&td), ST_PREVIOUS_TLB_EPOCH_BUSY);
	check_not_tracked();
}

static void first_vcpu(void)
{
	CHECK_EQ(block(), 0);
	CHECK_EQ(td_track(&td), 0);
	meanwhile = second_vcpu;
	CHECK_EQ(td_enter(&td, 1, guest_wait), EXIT_EXTERNAL_INTERRUPT);
	check_not_tracked();
}

static void two_vcpus(void)
{
	meanwhile = first_vcpu;
	CHECK_EQ(td_enter(&td, 0, guest_wait), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(remove_page(), 0);
}

/* A vCPU that is not sent out goes on using what it has; after an entry it does not. */
static void in_stale(void)
{
	struct tdxemu_access a;
	struct tdxemu_vp *vp = tdxemu_vp_at(td.vp[0]);

	CHECK_EQ(block(), 0);
	CHECK_EQ(td_track(&td), 0);
	host.cpu = 0;
	CHECK_EQ(tdxemu_access(vp, victim, TDXEMU_WRITE, &a), TDXEMU_OK);
	tdxemu_tlb_flush(vp);
	CHECK_EQ(tdxemu_access(vp, victim, TDXEMU_WRITE, &a), TDXEMU_EXIT);
	host.cpu = 3;
}

static void stale(void)
{
	meanwhile = in_stale;
	CHECK_EQ(td_enter(&td, 0, guest_wait), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(td_enter(&td, 0, guest_touch), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(result, TDXEMU_EXIT);
	CHECK_EQ(remove_page(), 0);
}

/* Entries in one epoch keep the TLB, unless another vCPU ran on the CPU. */
static void keeps_tlb(void)
{
	CHECK_EQ(td_enter(&td, 0, guest_touch), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(block(), 0);
	CHECK_EQ(td_enter(&td, 0, guest_touch), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(result, TDXEMU_OK);
	CHECK_EQ(td_track(&td), 0);
	CHECK_EQ(td_enter(&td, 0, guest_touch), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(result, TDXEMU_EXIT);
	CHECK_EQ(remove_page(), 0);
}

static void other_vcpu(void)
{
	struct td other;

	CHECK_EQ(td_enter(&td, 0, guest_touch), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(block(), 0);
	td_new(&other, 1, true);
	CHECK_EQ(td_enter(&other, 0, NULL), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(td_enter(&td, 0, guest_touch), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(result, TDXEMU_EXIT);
	CHECK_EQ(td_track(&td), 0);
	CHECK_EQ(remove_page(), 0);
	td_end(&other);
}

/* A vCPU that moved starts afresh. */
static void moved(void)
{
	CHECK_EQ(td_enter(&td, 0, guest_touch), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(block(), 0);
	host.cpu = 1;
	CHECK_EQ(call(VP_ENTER, td.vp[0], 0, 0, 0), ST_VCPU_ASSOCIATED);
	CHECK_EQ(call(VP_FLUSH, td.vp[0], 0, 0, 0), ST_VCPU_NOT_ASSOCIATED);
	host.cpu = 0;
	CALL(VP_FLUSH, td.vp[0], 0, 0, 0);
	CHECK_EQ(call(VP_FLUSH, td.vp[0], 0, 0, 0), ST_VCPU_NOT_ASSOCIATED);
	host.cpu = 2;
	host.guest = guest_touch;
	CHECK_EQ(call(VP_ENTER, td.vp[0], 0, 0, 0), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(result, TDXEMU_EXIT);
	host.cpu = 0;
	CHECK_EQ(td_track(&td), 0);
	CHECK_EQ(remove_page(), 0);
}

/* The model has 128 places, each for 8 translations of 4 KiB. */
#define TLB_PLACES	128
#define TLB_WAYS	8

/* Another address that has its translation where that of the victim is. */
static u64 same_place(unsigned int i)
{
	return victim + i * TLB_PLACES * PAGE;
}

/* What may be kept of tdxemu_access(): all, until one translation goes. */
static void in_generation(void)
{
	u64 before;
	struct tdxemu_vp *vp = tdxemu_vp_at(td.vp[0]);
	struct tdxemu_access a;
	unsigned int i;

	host.cpu = 0;
	tdxemu_tlb_flush(vp);
	before = tdxemu_tlb_generation(vp);
	CHECK_EQ(tdxemu_access(vp, victim, TDXEMU_WRITE, &a), TDXEMU_OK);
	CHECK_EQ(tdxemu_access(vp, victim + 8, TDXEMU_READ, &a), TDXEMU_OK);
	CHECK(!a.evicted);
	CHECK_EQ(tdxemu_tlb_generation(vp), before);
	/* There is room for the first, and for TLB_WAYS - 1 more. */
	for (i = 1; i < TLB_WAYS; i++) {
		CHECK_EQ(tdxemu_access(vp, same_place(i), TDXEMU_READ, &a), TDXEMU_OK);
		CHECK(!a.evicted);
		CHECK_EQ(tdxemu_tlb_generation(vp), before);
	}
	CHECK_EQ(tdxemu_access(vp, same_place(i), TDXEMU_READ, &a), TDXEMU_OK);
	/* By exactly one, for exactly one. */
	CHECK_EQ(tdxemu_tlb_generation(vp), before + 1);
	CHECK(a.evicted);
	CHECK_EQ(a.evicted_gpa, victim);
	CHECK_EQ(a.evicted_level, 0);
	before = tdxemu_tlb_generation(vp);
	tdxemu_tlb_flush(vp);
	CHECK(tdxemu_tlb_generation(vp) != before);
	host.cpu = 3;
}

static void generation(void)
{
	struct tdxemu_vp *vp = tdxemu_vp_at(td.vp[0]);
	unsigned int i;
	u64 before;

	for (i = 1; i <= TLB_WAYS; i++)
		CHECK(put_state(&td, same_place(i), 0, S_MAPPED, NULL));
	meanwhile = in_generation;
	CHECK_EQ(td_enter(&td, 0, guest_wait), EXIT_EXTERNAL_INTERRUPT);
	before = tdxemu_tlb_generation(vp);
	CHECK_EQ(td_enter(&td, 0, NULL), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(tdxemu_tlb_generation(vp), before);
	CHECK_EQ(td_track(&td), 0);
	CHECK_EQ(td_enter(&td, 0, NULL), EXIT_EXTERNAL_INTERRUPT);
	CHECK(tdxemu_tlb_generation(vp) != before);
}

void test_epoch(void)
{
	static const struct {
		const char *name;
		void (*fn)(void);
	} t[] = {
		{ "nobody inside", nobody_in },
		{ "vCPU inside since before BLOCK", old_epoch },
		{ "vCPU entered after TRACK", new_epoch },
		{ "two TRACKs", two_tracks },
		{ "one vCPU in each of two epochs", two_vcpus },
		{ "a stale translation is used, until the next entry", stale },
		{ "an entry in the same epoch keeps the TLB", keeps_tlb },
		{ "another vCPU on the CPU empties the TLB", other_vcpu },
		{ "a vCPU that moved has an empty TLB", moved },
		{ "a translation that goes is another generation", generation },
	};
	unsigned int i;

	host_boot(NULL);
	victim = GPA;
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char name[80];

		snprintf(name, sizeof(name), "epoch: %s", t[i].name);
		td_new(&td, 2, true);
		test_begin(name);
		CHECK(put_state(&td, GPA, 0, S_MAPPED, NULL));
		t[i].fn();
		/* The page that was removed is written back with the key's end. */
		td_end(&td);
		test_end();
	}
}
