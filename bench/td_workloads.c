// SPDX-License-Identifier: GPL-2.0
/*
 * What a TD costs its host over whole stories: it boots, has a balloon, shares memory
 * with devices, begins with shared memory, has many neighbours. Prints figures for
 * bench/figures, as curves over the MiB of memory that a story is about.
 *
 *	td_workloads [-1|-2|-3] STORY...	boot, balloon, devices, shared, density
 *
 * Each is told with so many sizes, all without an option, so that the cost of a GiB is the
 * slope; boot with the third of four vCPUs alone. SEAMCALLs and exits are those
 * that the software TDX module has counted, requests and IPIs come from the hooks in its
 * kernel, the rest from KVM's and the kernel's statistics.
 * Nothing is derived from what it ought to be.
 *
 * The VMM does what QEMU does: memory that becomes shared is taken out of the
 * guest_memfd, and what becomes private out of the shared half, unless memory is
 * converted in place.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/sizes.h>

#include "figure.h"
#include "kvm_util.h"
#include "memcg.h"
#include "processor.h"
#include "tdx_agent.h"
#include "test_util.h"

#ifndef GUEST_MEMFD_FLAG_HUGEPAGE
#define GUEST_MEMFD_FLAG_HUGEPAGE	BIT_ULL(16)
#endif

#define TDXEMU		"/sys/kernel/debug/tdxemu/"
#define CGROUP		"/sys/fs/cgroup/kvm_selftest/"

#define MIB		((u64)SZ_1M / PAGE_SIZE)	/* in pages, as all sizes below */
#define LEAF		TD_PAGES_2M
#define CHUNK		(4 * MIB)			/* that a guest accepts at once */
#define MAX_TDS		16
#define MAX_RUNNING	4
#define MAP_GPA_TRIES	1000

#define EXIT_EPT_VIOLATION	48
#define EXIT_TDCALL		77

/* What a story is told with, smallest first. */
static const u64 sizes[] = { 8 * MIB, 16 * MIB, 24 * MIB };
/* Of a TD of which there are many. */
static const u64 small_sizes[] = { 4 * MIB, 8 * MIB, 12 * MIB };
kvm_static_assert(ARRAY_SIZE(small_sizes) == ARRAY_SIZE(sizes));
static const int vcpu_counts[] = { 1, 4, 64, 248 };

/* How many of each there were. */
enum count {
	EXITS, AUG, SEPT_ADD, BLOCK, TRACK, DEMOTE, REMOVE, WBINVD,
	CALLS, ASKED, OTHER, IPIS, SPLIT,
	NR_COUNTS
};

static const char * const units[NR_COUNTS] = {
	[EXITS] = "exits",
	[AUG] = "MEM.PAGE.AUG",
	[SEPT_ADD] = "MEM.SEPT.ADD",
	[BLOCK] = "MEM.RANGE.BLOCK",
	[TRACK] = "MEM.TRACK",
	[DEMOTE] = "MEM.PAGE.DEMOTE",
	[REMOVE] = "MEM.PAGE.REMOVE",
	[WBINVD] = "PHYMEM.PAGE.WBINVD",
	[CALLS] = "calls of the VMM",
	[ASKED] = "vCPUs asked to leave",
	[OTHER] = "other requests of vCPUs",
	[IPIS] = "IPIs",
	[SPLIT] = "folios split",
};

/* What there is. */
enum level { LEAVES_2M, LEAVES_4K, SEPT_PAGES, KVM_PAGES, CHARGED, NR_LEVELS };

static const char * const level_units[NR_LEVELS] = {
	[LEAVES_2M] = "leaves of 2 MiB",
	[LEAVES_4K] = "leaves of 4 KiB",
	[SEPT_PAGES] = "S-EPT pages",
	[KVM_PAGES] = "page tables of KVM",
	[CHARGED] = "KiB charged",
};

struct counts {
	u64 n[NR_COUNTS];
	u64 level[NR_LEVELS];
};

enum op { OP_NOTHING, OP_ACCEPT, OP_MAP_GPA, OP_SPIN };

/* What a vCPU is to do, in pages from TD_AGENT_GPA on. */
struct request {
	u64 op;
	u64 first;
	u64 nr;
	u64 shared;

	u64 bad;		/* status of what has failed, else 0 */
	u64 bad_page;
	u64 spinning;
};

/* Where the guest finds them. */
static struct request *guest_requests;

struct td {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[MAX_RUNNING];
	struct request *requests;
	int nr_vcpus;
	struct td_mem mem;
	/* What there was before it got memory, and when the phase began. */
	struct counts initial, begin;
};

static u64 gmem_flags;
static bool in_place;
static int nr_sizes = ARRAY_SIZE(sizes);
/* Calls of the VMM that change its TD's memory. */
static u64 nr_calls;
/* Exits that are none of the story, but ask for the next request. */
static u64 nr_ucalls;

/* As Linux does it: the largest size that the address and the host allow. */
static void guest_accept(struct request *q)
{
	u64 page = q->first, end = page + q->nr, status;

	while (page < end) {
		gpa_t gpa = TD_AGENT_GPA + page * PAGE_SIZE;

		if (!(page % LEAF) && end - page >= LEAF) {
			status = tdg_mem_page_accept(gpa, 1);
			if (TDG_STATUS(status) == TDG_SUCCESS) {
				page += LEAF;
				continue;
			}
			if (TDG_STATUS(status) != TDG_SIZE_MISMATCH) {
				q->bad = status;
				q->bad_page = page;
				return;
			}
		}
		status = tdg_mem_page_accept(gpa, 0);
		if (TDG_STATUS(status) != TDG_SUCCESS) {
			q->bad = status;
			q->bad_page = page;
			return;
		}
		page++;
	}
}

/* The host may take a range in pieces, and is asked again for what is left of it. */
static void guest_map_gpa(struct request *q)
{
	gpa_t gpa = TD_AGENT_GPA + q->first * PAGE_SIZE, end = gpa + q->nr * PAGE_SIZE;
	int tries = MAP_GPA_TRIES;
	gpa_t next;
	u64 status;

	do {
		next = 0;
		status = tdvmcall_map_gpa(gpa, end - gpa, q->shared, &next);
		if (status != TDVMCALL_RETRY)
			break;
		next &= ~td_guest.shared_bit;
		if (next < gpa || next >= end)
			break;
		gpa = next;
	} while (--tries);
	q->bad = status;
	q->bad_page = (gpa - TD_AGENT_GPA) / PAGE_SIZE;
}

static void guest_code(u32 vcpu_id)
{
	struct request *q = &guest_requests[vcpu_id];

	for (;;) {
		q->bad = 0;
		switch (q->op) {
		case OP_ACCEPT:
			guest_accept(q);
			break;
		case OP_MAP_GPA:
			guest_map_gpa(q);
			break;
		case OP_SPIN:
			WRITE_ONCE(q->spinning, 1);
			while (READ_ONCE(q->op) == OP_SPIN)
				;
			WRITE_ONCE(q->spinning, 0);
			break;
		}
		GUEST_DONE();
	}
}

static FILE *open_file(const char *path)
{
	FILE *f = fopen(path, "r");

	TEST_ASSERT(f, "No %s", path);
	return f;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	TEST_ASSERT(fd >= 0 && write(fd, text, strlen(text)) > 0, "Writing %s: errno %d",
		    path, errno);
	close(fd);
}

static void read_tdxemu(struct counts *c)
{
	unsigned long long count, failed, status;
	char line[128], name[32], text[64];
	FILE *f = open_file(TDXEMU "counters");
	bool hooks = false;
	int i;

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%31s %llu failed %llu", name, &count, &failed) == 3) {
			for (i = 0; i < NR_COUNTS; i++)
				if (!strcmp(name, units[i]))
					c->n[i] = count;
		} else if (sscanf(line, "VP.ENTER %63s %llx %llu", text, &status,
				  &count) == 3) {
			/* Without those for interrupts of the host. */
			if ((u32)status == EXIT_EPT_VIOLATION || (u32)status == EXIT_TDCALL)
				c->n[EXITS] += count;
		} else if (sscanf(line, "requests %llu leave %llu ipis %llu", &count,
				  &status, &failed) == 3) {
			c->n[ASKED] = status;
			c->n[OTHER] = count - status;
			c->n[IPIS] = failed;
			hooks = true;
		}
	}
	fclose(f);
	TEST_ASSERT(hooks, "The kernel does not count requests");
	c->level[SEPT_PAGES] = c->n[SEPT_ADD] + c->n[DEMOTE];
}

/* A statistic of the VM, 0 if KVM does not have it. */
static u64 vm_stat(struct kvm_vm *vm, const char *name)
{
	u64 data;
	int i;

	/* So that there are descriptors. */
	vm_get_stat(vm, pages_2m);
	for (i = 0; i < vm->stats.header.num_desc; i++) {
		if (strcmp(get_stats_descriptor(vm->stats.desc, i, &vm->stats.header)->name,
			   name))
			continue;
		kvm_get_stat(&vm->stats, name, &data, 1);
		return data;
	}
	return 0;
}

static u64 kvm_table_pages(void)
{
	unsigned long kb = 0;
	char line[128];
	FILE *f;

	/* CPUs keep some of it to themselves. */
	f = fopen("/proc/sys/vm/stat_refresh", "r");
	TEST_ASSERT(f, "No stat_refresh");
	while (fgets(line, sizeof(line), f))
		;
	fclose(f);

	f = open_file("/proc/meminfo");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "SecPageTables: %lu", &kb) == 1)
			break;
	fclose(f);
	return kb * SZ_1K / PAGE_SIZE;
}

static u64 read_current(void)
{
	FILE *f = open_file(CGROUP "memory.current");
	unsigned long bytes = 0;

	TEST_ASSERT(fscanf(f, "%lu", &bytes) == 1, "memory.current is no number");
	fclose(f);
	return bytes;
}

/*
 * What the cgroup has, without what CPUs keep charged in advance: a limit that is just
 * exceeded makes them give it back.
 */
static u64 charged(void)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", (unsigned long)(read_current() - PAGE_SIZE));
	write_file(CGROUP "memory.high", text);
	write_file(CGROUP "memory.high", "max");
	return read_current() / SZ_1K;
}

static void count_now(struct td *td, struct counts *c)
{
	memset(c, 0, sizeof(*c));
	read_tdxemu(c);
	c->n[EXITS] -= nr_ucalls;
	c->n[CALLS] = nr_calls;
	c->n[SPLIT] = vm_stat(td->vm, "gmem_huge_split");
	c->level[LEAVES_2M] = vm_stat(td->vm, "pages_2m");
	c->level[LEAVES_4K] = vm_stat(td->vm, "pages_4k");
	c->level[KVM_PAGES] = kvm_table_pages();
	c->level[CHARGED] = charged();
}

static void phase_begin(struct td *td)
{
	count_now(td, &td->begin);
}

/* Of @pages of memory that the phase was about. */
static void phase_end(struct td *td, u64 pages, const char *fmt, ...)
{
	struct counts c;
	char name[64];
	va_list args;
	int i;

	count_now(td, &c);
	va_start(args, fmt);
	vsnprintf(name, sizeof(name), fmt, args);
	va_end(args);
	for (i = 0; i < NR_COUNTS; i++)
		figure_at(name, pages / MIB, units[i], c.n[i] - td->begin.n[i]);
	for (i = 0; i < NR_LEVELS; i++)
		figure_at(name, pages / MIB, level_units[i],
			  max(c.level[i], td->initial.level[i]) - td->initial.level[i]);
}

/*
 * A vCPU that the guest has not brought up: all that counts of it is that there is one
 * more. The library has no room for as many stacks.
 */
static void td_add_idle_vcpu(struct kvm_vm *vm, int id)
{
	struct kvm_vcpu *vcpu = __vm_vcpu_add(vm, id);
	int r;

	vcpu_init_cpuid(vcpu, kvm_get_supported_cpuid());
	r = __td_vcpu_ioctl(vcpu, KVM_TDX_INIT_VCPU, 0, NULL);
	TEST_ASSERT(!r, KVM_IOCTL_ERROR(KVM_TDX_INIT_VCPU, r));
}

static void td_create(struct td *td, int nr_vcpus)
{
	int running = min(nr_vcpus, MAX_RUNNING);
	gva_t gva;
	int i;

	memset(td, 0, sizeof(*td));
	td->nr_vcpus = nr_vcpus;
	td->vm = td_vm_create_with_one_vcpu(TD_ATTR_SEPT_VE_DISABLE, &td->vcpus[0],
					    guest_code);
	for (i = 1; i < running; i++)
		td->vcpus[i] = td_vcpu_add(td->vm, i, guest_code);
	for (; i < nr_vcpus; i++)
		td_add_idle_vcpu(td->vm, i);

	gva = vm_alloc_shared(td->vm, running * sizeof(*td->requests),
			      KVM_UTIL_MIN_VADDR, MEM_REGION_DATA);
	td->requests = addr_gva2hva(td->vm, gva);
	memset(td->requests, 0, running * sizeof(*td->requests));
	write_guest_global(td->vm, guest_requests, (struct request *)gva);
	td_finalize(td->vm);
}

static void td_destroy(struct td *td)
{
	kvm_vm_free(td->vm);
	td_mem_free(&td->mem);
}

/* As QEMU: what is not used any more goes back to the host. */
static void vmm_map_gpa(struct td *td, struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;
	u64 first = (run->hypercall.args[0] - td->mem.gpa) / PAGE_SIZE;
	u64 nr = run->hypercall.args[1];
	bool shared = !(run->hypercall.args[2] & KVM_MAP_GPA_RANGE_ENCRYPTED);

	TEST_ASSERT(td_handle_map_gpa(vcpu), "No MapGPA");
	nr_calls++;
	if (in_place)
		return;
	if (shared)
		td_mem_punch(&td->mem, first, nr);
	else
		TEST_ASSERT(!madvise(td->mem.hva + first * PAGE_SIZE, nr * PAGE_SIZE,
				     MADV_DONTNEED), "madvise(): errno %d", errno);
	nr_calls++;
}

/* Until the guest has done what it was told. */
static void vmm_run(struct td *td, int i)
{
	struct kvm_vcpu *vcpu = td->vcpus[i];
	struct request *q = &td->requests[i];
	struct ucall uc;
	int r;

	for (;;) {
		r = __vcpu_run(vcpu);
		if (r && (errno == EINTR || errno == EAGAIN))
			continue;
		TEST_ASSERT(!r, KVM_IOCTL_ERROR(KVM_RUN, r));
		if (vcpu->run->exit_reason != KVM_EXIT_HYPERCALL)
			break;
		vmm_map_gpa(td, vcpu);
	}
	if (get_ucall(vcpu, &uc) == UCALL_ABORT)
		REPORT_GUEST_ASSERT(uc);
	TEST_ASSERT(uc.cmd == UCALL_DONE, "Ucall %lu, exit reason %u", uc.cmd,
		    vcpu->run->exit_reason);
	nr_ucalls++;
	TEST_ASSERT(!q->bad, "vCPU %d, operation %lu: page %lu says 0x%lx", i, q->op,
		    q->bad_page, q->bad);
}

static void td_do(struct td *td, int i, struct request q)
{
	td->requests[i] = q;
	vmm_run(td, i);
}

static void td_accept_range(struct td *td, int i, u64 first, u64 nr)
{
	td_do(td, i, (struct request) { .op = OP_ACCEPT, .first = first, .nr = nr });
}

static void td_convert(struct td *td, u64 first, u64 nr, bool shared)
{
	td_do(td, 0, (struct request) {
		.op = OP_MAP_GPA, .first = first, .nr = nr, .shared = shared,
	});
}

/* A TD that has run, and so has mapped what it needs for itself. */
static void td_start(struct td *td, int nr_vcpus)
{
	int i;

	td_create(td, nr_vcpus);
	for (i = 0; i < min(nr_vcpus, MAX_RUNNING); i++)
		td_do(td, i, (struct request) { .op = OP_NOTHING });
	count_now(td, &td->initial);
}

/* Lazily, by those vCPUs that run, in turn. */
static void td_accept_lazily(struct td *td, u64 nr_pages)
{
	int running = min(td->nr_vcpus, MAX_RUNNING);
	u64 page;

	for (page = 0; page < nr_pages; page += CHUNK)
		td_accept_range(td, page / CHUNK % running, page, CHUNK);
}

/* A TD with private memory, which it has accepted. */
static void td_boot(struct td *td, int nr_vcpus, u64 nr_pages)
{
	td_start(td, nr_vcpus);
	td_mem_add(td->vm, &td->mem, TD_SLOT_TEST, TD_AGENT_GPA, nr_pages, gmem_flags);
	td_accept_lazily(td, nr_pages);
}

/* The same numbers in each run. */
static u64 next_random(u64 *state)
{
	*state = *state * 6364136223846793005ull + 1442695040888963407ull;
	return *state >> 33;
}

struct block {
	u64 first, nr;
};

static void shuffle(struct block *b, int nr, u64 *random)
{
	struct block swap;
	int i, j;

	for (i = nr - 1; i > 0; i--) {
		j = next_random(random) % (i + 1);
		swap = b[i];
		b[i] = b[j];
		b[j] = swap;
	}
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	TEST_ASSERT(!sched_setaffinity(0, sizeof(set), &set), "CPU %d: errno %d", cpu,
		    errno);
}

struct spinner {
	pthread_t thread;
	struct td *td;
	int vcpu;
};

static void *spin(void *data)
{
	struct spinner *s = data;

	pin(s->vcpu);
	td_do(s->td, s->vcpu, (struct request) { .op = OP_SPIN });
	return NULL;
}

/*
 * Of the memory one half becomes a swiotlb, which begins where the guest's allocator
 * had room: at a multiple of 4 KiB.
 */
static void make_swiotlb(struct td *td, u64 nr_pages)
{
	td_convert(td, nr_pages / 4 + 1, nr_pages / 2, true);
}

static void run_boot(u64 nr_pages, int nr_vcpus)
{
	struct td td;

	td_start(&td, nr_vcpus);
	td_mem_add(td.vm, &td.mem, TD_SLOT_TEST, TD_AGENT_GPA, nr_pages, gmem_flags);

	phase_begin(&td);
	td_accept_lazily(&td, nr_pages);
	phase_end(&td, nr_pages, "boot: accept, %d vCPUs", nr_vcpus);

	phase_begin(&td);
	make_swiotlb(&td, nr_pages);
	phase_end(&td, nr_pages / 2, "boot: swiotlb, %d vCPUs", nr_vcpus);

	td_destroy(&td);
}

/* The swiotlb while another vCPU is in the guest, on a CPU of its own. */
static void run_boot_busy(u64 nr_pages)
{
	struct spinner s;
	struct td td;

	td_boot(&td, 4, nr_pages);
	s = (struct spinner) { .td = &td, .vcpu = 1 };
	TEST_ASSERT(!pthread_create(&s.thread, NULL, spin, &s), "No thread");
	while (!READ_ONCE(td.requests[s.vcpu].spinning))
		usleep(100);

	phase_begin(&td);
	make_swiotlb(&td, nr_pages);
	phase_end(&td, nr_pages / 2, "boot: swiotlb, 1 of 4 vCPUs in the guest");

	WRITE_ONCE(td.requests[s.vcpu].op, OP_NOTHING);
	pthread_join(s.thread, NULL);
	td_destroy(&td);
}

static void story_boot(void *data)
{
	int i, j, n;

	for (i = 0; i < ARRAY_SIZE(vcpu_counts); i++) {
		/* The third shows whether the others make a line, and is told once. */
		n = vcpu_counts[i] == MAX_RUNNING ? nr_sizes : min(nr_sizes, 2);
		for (j = 0; j < n; j++)
			run_boot(sizes[j], vcpu_counts[i]);
	}
	run_boot_busy(sizes[0]);
}

/* Of each 8 MiB these are given back: 6 MiB in two blocks, 544 KiB in small ones. */
#define REGION			(8 * MIB)
#define MAX_REGIONS		3
#define BLOCKS_PER_REGION	18

static int balloon_blocks(struct block *b, u64 nr_pages, u64 *random)
{
	u64 region, slot;
	int nr = 0, i;

	for (region = 0; region < nr_pages; region += REGION) {
		b[nr++] = (struct block) { region, 4 * MIB };
		b[nr++] = (struct block) { region + 4 * MIB, 2 * MIB };
		for (i = 0; i < 16; i++) {
			/* One in each 128 KiB of the last 2 MiB. */
			slot = region + 6 * MIB + i * 32;
			if (i % 2)
				b[nr++] = (struct block) { slot + 16 * (next_random(random) % 2), 16 };
			else
				b[nr++] = (struct block) { slot + next_random(random) % 32, 1 };
		}
	}
	return nr;
}

static void run_balloon(u64 nr_pages)
{
	struct block b[BLOCKS_PER_REGION * MAX_REGIONS];
	u64 random = 22;
	struct td td;
	int i, nr;

	TEST_ASSERT(nr_pages / REGION <= MAX_REGIONS, "More blocks than have room");
	td_boot(&td, 4, nr_pages);
	nr = balloon_blocks(b, nr_pages, &random);

	shuffle(b, nr, &random);
	phase_begin(&td);
	for (i = 0; i < nr; i++) {
		td_mem_punch(&td.mem, b[i].first, b[i].nr);
		nr_calls++;
	}
	phase_end(&td, nr_pages, "balloon: given back");

	shuffle(b, nr, &random);
	phase_begin(&td);
	for (i = 0; i < nr; i++)
		td_accept_range(&td, i % MAX_RUNNING, b[i].first, b[i].nr);
	phase_end(&td, nr_pages, "balloon: used again");

	td_destroy(&td);
}

static void story_balloon(void *data)
{
	int i;

	for (i = 0; i < nr_sizes; i++)
		run_balloon(sizes[i]);
}

/* In each 8 MiB one of each size: 4, 8, 16, 32 and 64 KiB, in three leaves of four. */
#define BUFFERS_PER_REGION	5

static int device_buffers(struct block *b, u64 nr_pages, u64 *random)
{
	u64 region, first;
	int nr = 0, i, j, of_region;

	for (region = 0; region < nr_pages; region += REGION) {
		of_region = nr;
		for (i = 0; i < BUFFERS_PER_REGION; i++) {
			do {
				first = region + next_random(random) % (REGION / 16) * 16;
				for (j = of_region; j < nr && b[j].first / 16 != first / 16; j++)
					;
			} while (j < nr);
			/* Buffers are aligned to their size, and small ones anywhere in 64 KiB. */
			first += (next_random(random) % 16) & ~((1ull << i) - 1);
			b[nr++] = (struct block) { first, 1ull << i };
		}
	}
	return nr;
}

static void run_devices(u64 nr_pages)
{
	struct block b[BUFFERS_PER_REGION * MAX_REGIONS];
	u64 random = 74;
	struct td td;
	int i, nr;

	TEST_ASSERT(nr_pages / REGION <= MAX_REGIONS, "More buffers than have room");
	td_boot(&td, 4, nr_pages);
	nr = device_buffers(b, nr_pages, &random);

	shuffle(b, nr, &random);
	phase_begin(&td);
	for (i = 0; i < nr; i++)
		td_convert(&td, b[i].first, b[i].nr, true);
	phase_end(&td, nr_pages, "devices: shared");

	shuffle(b, nr, &random);
	phase_begin(&td);
	for (i = 0; i < nr; i++) {
		td_convert(&td, b[i].first, b[i].nr, false);
		td_accept_range(&td, 0, b[i].first, b[i].nr);
	}
	phase_end(&td, nr_pages, "devices: private again");

	td_destroy(&td);
}

static void story_devices(void *data)
{
	int i;

	for (i = 0; i < nr_sizes; i++)
		run_devices(sizes[i]);
}

/* All memory begins as shared, and the firmware has used none of it. */
static void run_shared(u64 nr_pages)
{
	u64 flags = gmem_flags | (in_place ? GUEST_MEMFD_FLAG_INIT_SHARED : 0), page;
	struct td td;
	int fd;

	td_start(&td, 4);
	fd = td_gmem_create(td.vm, nr_pages, flags);
	__td_mem_add_fd(td.vm, &td.mem, TD_SLOT_TEST, TD_AGENT_GPA, nr_pages, fd, 0);
	kvm_close(fd);

	phase_begin(&td);
	for (page = 0; page < nr_pages; page += LEAF) {
		td_convert(&td, page, LEAF, false);
		td_accept_range(&td, 0, page, LEAF);
	}
	phase_end(&td, nr_pages, "shared by default: 2 MiB at a time");

	td_destroy(&td);
}

static void story_shared(void *data)
{
	int i;

	for (i = 0; i < nr_sizes; i++)
		run_shared(sizes[i]);
}

/* Many TDs with all their memory, which the VMM has mapped for them. */
static void run_density(u64 nr_pages)
{
	static struct td tds[MAX_TDS];
	struct kvm_pre_fault_memory range;
	struct counts begin, end;
	u64 n[NR_LEVELS] = {};
	int i;

	for (i = 0; i < MAX_TDS; i++) {
		td_start(&tds[i], 1);
		td_mem_add(tds[i].vm, &tds[i].mem, TD_SLOT_TEST, TD_AGENT_GPA, nr_pages,
			   gmem_flags);
	}
	count_now(&tds[0], &begin);
	for (i = 0; i < MAX_TDS; i++) {
		n[LEAVES_2M] -= vm_stat(tds[i].vm, "pages_2m");
		n[LEAVES_4K] -= vm_stat(tds[i].vm, "pages_4k");
		range = (struct kvm_pre_fault_memory) {
			.gpa = TD_AGENT_GPA, .size = nr_pages * PAGE_SIZE,
		};
		while (range.size)
			vcpu_ioctl(tds[i].vcpus[0], KVM_PRE_FAULT_MEMORY, &range);
		n[LEAVES_2M] += vm_stat(tds[i].vm, "pages_2m");
		n[LEAVES_4K] += vm_stat(tds[i].vm, "pages_4k");
	}
	count_now(&tds[0], &end);

	for (i = SEPT_PAGES; i < NR_LEVELS; i++)
		n[i] = end.level[i] - begin.level[i];
	/* What is not the guests' memory. */
	n[CHARGED] -= MAX_TDS * nr_pages * PAGE_SIZE / SZ_1K;
	for (i = 0; i < NR_LEVELS; i++)
		figure_at("density: 16 TDs", MAX_TDS * nr_pages / MIB,
			  i == CHARGED ? "KiB charged besides the memory" : level_units[i],
			  n[i]);

	for (i = 0; i < MAX_TDS; i++)
		td_destroy(&tds[i]);
}

static void story_density(void *data)
{
	int i;

	for (i = 0; i < nr_sizes; i++)
		run_density(small_sizes[i]);
}

static const struct {
	const char *name;
	void (*tell)(void *data);
} stories[] = {
	{ "boot", story_boot },
	{ "balloon", story_balloon },
	{ "devices", story_devices },
	{ "shared", story_shared },
	{ "density", story_density },
};

int main(int argc, char *argv[])
{
	int i = 1, j;

	TEST_REQUIRE(td_is_supported());
	__TEST_REQUIRE(memcg_is_supported(), "No memory controller of cgroup v2");
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && argv[1][0] == '-') {
		nr_sizes = atoi(argv[1] + 1);
		i = 2;
	}
	TEST_ASSERT(argc > i && nr_sizes > 0 && nr_sizes <= ARRAY_SIZE(sizes),
		    "Usage: %s [-1|-2|-3] STORY...", argv[0]);

	in_place = kvm_has_gmem_attributes();
	if (td_has_gmem_flags(GUEST_MEMFD_FLAG_HUGEPAGE))
		gmem_flags = GUEST_MEMFD_FLAG_HUGEPAGE;
	printf("huge pages: %s, in place: %s\n", gmem_flags ? "yes" : "no",
	       in_place ? "yes" : "no");
	/* What a CPU does for other processes is not to be counted. */
	pin(0);

	for (; i < argc; i++) {
		for (j = 0; j < ARRAY_SIZE(stories); j++)
			if (!strcmp(argv[i], stories[j].name))
				break;
		TEST_ASSERT(j < ARRAY_SIZE(stories), "Unknown story '%s'", argv[i]);
		printf("%s\n", stories[j].name);
		memcg_run(stories[j].tell, NULL);
	}
	return 0;
}
