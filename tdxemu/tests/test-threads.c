// SPDX-License-Identifier: GPL-2.0
/*
 * CPUs that really run at once. Two vCPUs access and accept; a host faults pages
 * in, as KVM does under mmu_lock held for reading; another takes them away, splits
 * and merges, under mmu_lock held for writing. No rule may be broken, no status
 * come that KVM does not expect, and nothing be left.
 */

#include <pthread.h>
#include <time.h>

#include "unit.h"

#define PAGES	64		/* in the first range; the second is 2 MiB */
#define LARGE	(GPA + 2 * MB)

static struct td td;
static pthread_rwlock_t mmu_lock;
static int stop, kick, allowed_in;
static u64 small_hpa[PAGES], large_hpa, table;
static bool small_there[PAGES];
static u64 bad_status, bad_leaf;
static u64 zapped, split, faulted, accepted, accessed, busy;

#define GET(x)		__atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define SET(x, v)	__atomic_store_n(&(x), v, __ATOMIC_RELEASE)
#define INC(x)		__atomic_fetch_add(&(x), 1, __ATOMIC_RELAXED)

static u64 mcall(u64 fn, u64 rcx, u64 rdx, u64 r8)
{
	struct tdxemu_args a = { .rcx = rcx, .rdx = rdx, .r8 = r8 };

	return tdxemu_seamcall(fn, &a);
}

static void unexpected(u64 leaf, u64 status)
{
	u64 none = 0;

	/* The first is the one that tells. */
	if (status && __atomic_compare_exchange_n(&bad_status, &none, status, false,
						  __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		SET(bad_leaf, leaf);
	SET(stop, 1);
}

static u64 guest(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	unsigned int seed = host_thread_cpu + 1, i;
	struct tdxemu_access a;

	for (i = 0; i < 2000 && !GET(kick) && !GET(stop); i++) {
		u64 gpa;

		seed = seed * 1103515245 + 12345;
		gpa = seed & 0x10000 ? LARGE + (seed >> 20 & 511) * PAGE :
				       GPA + (seed >> 20) % PAGES * PAGE;
		if (tdxemu_access(vp, gpa, TDXEMU_WRITE, &a) == TDXEMU_OK) {
			__atomic_fetch_add((u64 *)host_va(a.hpa), 1, __ATOMIC_RELAXED);
			INC(accessed);
			continue;
		}
		if (gpa >= LARGE && tdxemu_accept(vp, LARGE | 1, &a) == TDXEMU_STATUS && !a.status)
			INC(accepted);
		if (tdxemu_accept(vp, gpa, &a) == TDXEMU_STATUS && !a.status)
			INC(accepted);
	}
	return EXIT_EXTERNAL_INTERRUPT;
}

static void *vcpu(void *arg)
{
	unsigned int n = (long)arg;

	host_thread_cpu = n;
	while (!GET(stop)) {
		u64 s;

		if (!GET(allowed_in))
			continue;
		s = mcall(VP_ENTER, td.vp[n], 0, 0);
		if (s != EXIT_EXTERNAL_INTERRUPT && s >> 32 != ST_OPERAND_BUSY >> 32)
			unexpected(VP_ENTER, s);
	}
	return NULL;
}

/* One try; then all vCPUs out, and one more, which must not be BUSY. */
static u64 no_vcpus(u64 fn, u64 rcx, u64 rdx, u64 r8)
{
	u64 s = mcall(fn, rcx, rdx, r8);

	if (s >> 32 != ST_OPERAND_BUSY >> 32)
		return s;
	INC(busy);
	SET(allowed_in, 0);
	SET(kick, 1);
	while (tdxemu_vcpus_inside(tdxemu_td_at(td.tdr)))
		;
	s = mcall(fn, rcx, rdx, r8);
	/* A vCPU that was on its way in when it was stopped. */
	while (s >> 32 == ST_OPERAND_BUSY >> 32 && fn == MEM_TRACK)
		s = mcall(fn, rcx, rdx, r8);
	SET(kick, 0);
	SET(allowed_in, 1);
	return s;
}

static void must(u64 leaf, u64 status)
{
	if (status)
		unexpected(leaf, status);
}

static void track_and_kick(void)
{
	must(MEM_TRACK, no_vcpus(MEM_TRACK, td.tdr, 0, 0));
	SET(kick, 1);
	/* All that are inside now leave once, at the end of the test too. */
	while (tdxemu_vcpus_inside(tdxemu_td_at(td.tdr)))
		;
	SET(kick, 0);
}

static void zap(unsigned int i)
{
	u64 gpa = GPA + i * PAGE;

	must(MEM_RANGE_BLOCK, no_vcpus(MEM_RANGE_BLOCK, gpa, td.tdr, 0));
	track_and_kick();
	must(MEM_PAGE_REMOVE, no_vcpus(MEM_PAGE_REMOVE, gpa, td.tdr, 0));
	must(PHYMEM_PAGE_WBINVD,
	     mcall(PHYMEM_PAGE_WBINVD, (u64)td.hkid << PHYS_BITS | small_hpa[i], 0, 0));
	small_there[i] = false;
	INC(zapped);
}

/* The 2 MiB page: split; merged again if its pages are all alike. */
static void resize(void)
{
	u64 s;

	must(MEM_RANGE_BLOCK, no_vcpus(MEM_RANGE_BLOCK, LARGE | 1, td.tdr, 0));
	track_and_kick();
	must(MEM_PAGE_DEMOTE, no_vcpus(MEM_PAGE_DEMOTE, LARGE | 1, td.tdr, table));
	SET(allowed_in, 1);
	must(MEM_RANGE_BLOCK, no_vcpus(MEM_RANGE_BLOCK, LARGE | 1, td.tdr, 0));
	track_and_kick();
	s = no_vcpus(MEM_PAGE_PROMOTE, LARGE | 1, td.tdr, 0);
	if (!s) {
		must(PHYMEM_PAGE_WBINVD,
		     mcall(PHYMEM_PAGE_WBINVD, (u64)td.hkid << PHYS_BITS | table, 0, 0));
		INC(split);
		return;
	}
	/* All were MAPPED, and nobody takes one away: they must fit together. */
	unexpected(MEM_PAGE_PROMOTE, s);
}

static void *zapper(void *arg)
{
	unsigned int n = 0;

	host_thread_cpu = 2;
	while (!GET(stop)) {
		pthread_rwlock_wrlock(&mmu_lock);
		if (small_there[n % PAGES])
			zap(n % PAGES);
		if (n % 16 == 0) {
			struct tdxemu_sept_entry e;

			tdxemu_sept_lookup(tdxemu_td_at(td.tdr), LARGE, 1, &e);
			if (e.state == S_MAPPED)
				resize();
		}
		if (tdxemu_blocked(tdxemu_td_at(td.tdr)) && !GET(stop))
			tdxemu_host_released_mmu_lock(tdxemu_td_at(td.tdr));
		pthread_rwlock_unlock(&mmu_lock);
		n++;
	}
	return NULL;
}

static void *faulter(void *arg)
{
	unsigned int n = 0;

	host_thread_cpu = 3;
	while (!GET(stop)) {
		u64 s;

		pthread_rwlock_rdlock(&mmu_lock);
		if (!small_there[n % PAGES]) {
			s = mcall(MEM_PAGE_AUG, GPA + n % PAGES * PAGE, td.tdr, small_hpa[n % PAGES]);
			if (!s) {
				small_there[n % PAGES] = true;
				INC(faulted);
			} else if (s >> 32 != ST_OPERAND_BUSY >> 32) {
				unexpected(MEM_PAGE_AUG, s);
			}
		}
		pthread_rwlock_unlock(&mmu_lock);
		n++;
	}
	return NULL;
}

static u64 now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

void test_threads(void)
{
	static void *(*const fn[])(void *) = { vcpu, vcpu, zapper, faulter };
	pthread_t thread[4];
	u64 end;
	long i;

	host_boot(NULL);
	td_new(&td, 2, true);
	test_begin("two vCPUs and two hosts at once");
	td_tables(&td, GPA, 0);
	td_tables(&td, LARGE, 1);
	table = host_page();
	for (i = 0; i < PAGES; i++)
		small_hpa[i] = host_page();
	large_hpa = host_page_2m();
	CALL(MEM_PAGE_AUG, LARGE | 1, td.tdr, large_hpa, 0);
	pthread_rwlock_init(&mmu_lock, NULL);
	stop = kick = 0;
	host.guest = guest;
	allowed_in = 1;
	for (i = 0; i < 4; i++)
		pthread_create(&thread[i], NULL, fn[i], (void *)i);
	end = now() + 3000;
	while (now() < end && !GET(stop))
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	SET(stop, 1);
	for (i = 0; i < 4; i++)
		pthread_join(thread[i], NULL);
	host.guest = NULL;
	CHECK_EQ(bad_status, 0);
	if (bad_status)
		printf("# leaf %s\n", tdxemu_leaf_name(bad_leaf));
	printf("# %llu faulted, %llu zapped, %llu split and merged, %llu accepted, %llu accesses, %llu BUSY\n",
	       faulted, zapped, split, accepted, accessed, busy);
	CHECK(faulted && zapped && split && accepted && accessed);
	CHECK_EQ(tdxemu_check_td(tdxemu_td_at(td.tdr)), 0);
	CHECK_EQ(tdxemu_vcpus_inside(tdxemu_td_at(td.tdr)), 0);
	td_end(&td);
	test_end();
}
