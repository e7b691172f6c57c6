// SPDX-License-Identifier: GPL-2.0
/*
 * How the cost of guest_memfd's operations grows, who waits for whom, and for how long
 * locks are held, in instructions of the host's kernel: to be run where the TSC counts
 * those (QEMU -icount shift=0), with bench/holds/holds.patch. Prints figures for
 * bench/figures, most of them curves.
 *
 *	gmem_scale 4k|2m STORY...	length, sparse, threads, slots, vms, latency
 *
 * Memory is converted on the VM, or in place if KVM was told so.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/sizes.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "figure.h"
#include "param.h"
#include "test_util.h"
#include "kvm_util.h"
#include "processor.h"

#ifndef GUEST_MEMFD_FLAG_HUGEPAGE
#define GUEST_MEMFD_FLAG_HUGEPAGE 0
#endif

#define SLOT		10
#define GPA		SZ_4G
#define MAX_VCPUS	4
#define MAX_VMS		64
#define ROUNDS		3

struct test_vm {
	struct kvm_vm *vm;
	struct kvm_vcpu *vcpus[MAX_VCPUS];
	int fd;
	u64 size;
	void *shared;
};

static u64 gmem_flags;
static bool in_place;

static u64 now(void)
{
	u32 low, high;

	asm volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) :: "memory");
	return low | (u64)high << 32;
}

static void reset_locks(void)
{
	set_param("bench_mmu_longest", 0);
	set_param("bench_mmu_waits", 0);
	set_param("bench_invalidate_longest", 0);
	set_param("bench_invalidate_waits", 0);
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	TEST_ASSERT(!sched_setaffinity(0, sizeof(set), &set), "CPU %d: %s", cpu,
		    strerror(errno));
}

static int punch(struct test_vm *t, u64 offset, u64 size)
{
	return fallocate(t->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, offset, size);
}

static int convert(struct test_vm *t, u64 offset, u64 size, u64 attributes)
{
	int r;

#ifdef KVM_SET_MEMORY_ATTRIBUTES2
	if (in_place) {
		struct kvm_memory_attributes2 range = {
			.offset = offset, .size = size, .attributes = attributes,
		};

		do {
			r = ioctl(t->fd, KVM_SET_MEMORY_ATTRIBUTES2, &range);
		} while (r && (errno == EAGAIN || errno == EINTR));
		return r;
	}
#endif
	{
		struct kvm_memory_attributes range = {
			.address = GPA + offset, .size = size, .attributes = attributes,
		};

		do {
			r = __vm_ioctl(t->vm, KVM_SET_MEMORY_ATTRIBUTES, &range);
		} while (r && (errno == EAGAIN || errno == EINTR));
	}
	return r;
}

static int to_shared(struct test_vm *t, u64 offset, u64 size)
{
	return convert(t, offset, size, 0);
}

static int to_private(struct test_vm *t, u64 offset, u64 size)
{
	return convert(t, offset, size, KVM_MEMORY_ATTRIBUTE_PRIVATE);
}

static int map_by(struct test_vm *t, int vcpu, u64 offset, u64 size)
{
	struct kvm_pre_fault_memory range = { .gpa = GPA + offset, .size = size };
	int r;

	do {
		r = __vcpu_ioctl(t->vcpus[vcpu], KVM_PRE_FAULT_MEMORY, &range);
	} while ((!r && range.size) || (r && (errno == EINTR || errno == EAGAIN)));
	return r;
}

static int map(struct test_vm *t, u64 offset, u64 size)
{
	return map_by(t, 0, offset, size);
}

typedef int (*op_fn)(struct test_vm *t, u64 offset, u64 size);

static void must(op_fn op, struct test_vm *t, u64 offset, u64 size)
{
	int r = op(t, offset, size);

	TEST_ASSERT(!r, "0x%lx bytes at 0x%lx: %s", size, offset, strerror(errno));
}

/* Of @size, and private, but on the VM only what @private_size says. */
static void create(struct test_vm *t, int nr_vcpus, u64 size, u64 private_size,
		   int nr_slots, void *guest_code)
{
	const struct vm_shape shape = {
		.mode = VM_MODE_DEFAULT,
		.type = KVM_X86_SW_PROTECTED_VM,
	};
	u64 of_slot = size / nr_slots;
	int i;

	memset(t, 0, sizeof(*t));
	t->vm = __vm_create_with_vcpus(shape, nr_vcpus, 256, guest_code, t->vcpus);
	t->fd = vm_create_guest_memfd(t->vm, size, gmem_flags);
	t->size = size;
	t->shared = mmap(NULL, size + SZ_2M, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	TEST_ASSERT(t->shared != MAP_FAILED, "mmap(): %s", strerror(errno));
	for (i = 0; i < nr_slots; i++)
		vm_set_user_memory_region2(t->vm, SLOT + i, KVM_MEM_GUEST_MEMFD,
					   GPA + i * of_slot, of_slot,
					   align_ptr_up(t->shared, SZ_2M) + i * of_slot,
					   t->fd, i * of_slot);
	if (!in_place && private_size)
		must(to_private, t, 0, private_size);
}

static void destroy(struct test_vm *t)
{
	close(t->fd);
	kvm_vm_free(t->vm);
	munmap(t->shared, t->size + SZ_2M);
}

/* New pages that wait for an LRU list would be put there by the next who needs it. */
static void settle(struct test_vm *t)
{
	int r = madvise(align_ptr_up(t->shared, SZ_2M), getpagesize(), MADV_COLD);

	TEST_ASSERT(!r, "MADV_COLD: %s", strerror(errno));
}

static u64 timed(op_fn op, struct test_vm *t, u64 offset, u64 size)
{
	u64 begin;
	int r;

	settle(t);
	begin = now();
	r = op(t, offset, size);
	begin = now() - begin;
	TEST_ASSERT(!r, "0x%lx bytes at 0x%lx: %s", size, offset, strerror(errno));
	return begin;
}

enum { MAP, HOLE, TO_SHARED, TO_PRIVATE, NR_OPS };
static const char * const op_names[NR_OPS] = { "map", "hole", "to shared", "to private" };
static const op_fn ops[NR_OPS] = { map, punch, to_shared, to_private };

static void story_length(void)
{
	static const u64 sizes[] = {
		SZ_4K, SZ_64K, SZ_2M, SZ_16M, SZ_128M, SZ_1G,
	};
	u64 took[NR_OPS], mmu[NR_OPS], invalidate[NR_OPS], n;
	struct test_vm t;
	int i, op, round;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		memset(took, 0xff, sizeof(took));
		memset(mmu, 0xff, sizeof(mmu));
		memset(invalidate, 0xff, sizeof(invalidate));
		/* The least: a timer's interrupt is not what is to be known. */
		for (round = 0; round < (sizes[i] > SZ_16M ? 1 : ROUNDS); round++) {
			u64 size = max(sizes[i], (u64)SZ_2M);
			/* Within a leaf, if it is less. */
			u64 offset = sizes[i] < SZ_2M ? SZ_1M : 0;

			for (op = MAP; op < NR_OPS; op++) {
				/* A hole is made in what was mapped just now. */
				if (op == MAP || op == TO_SHARED)
					create(&t, 1, size, size, 1, NULL);
				if (op == HOLE || op == TO_SHARED)
					must(map, &t, 0, size);
				reset_locks();
				n = timed(ops[op], &t, offset, sizes[i]);
				took[op] = min(took[op], n);
				mmu[op] = min(mmu[op], get_param("bench_mmu_longest"));
				invalidate[op] = min(invalidate[op],
						     get_param("bench_invalidate_longest"));
				if (op == HOLE || op == TO_PRIVATE)
					destroy(&t);
			}
		}
		for (op = MAP; op < NR_OPS; op++) {
			n = sizes[i] / SZ_4K;
			figure_at(op_names[op], sizes[i] / SZ_1K, "instructions a page",
				  took[op] / n);
			if (op == MAP || sizes[i] != SZ_1G)
				continue;
			figure(op_names[op], "longest hold of mmu_lock at 1 GiB", mmu[op]);
			figure(op_names[op], "longest hold of invalidate_lock at 1 GiB",
			       invalidate[op]);
		}
	}
}

/* Both ends are in the middle of leaves, and there is nothing in between. */
static void story_sparse(void)
{
	/* Addresses end at 1 TiB. */
	static const u64 sizes[] = {
		SZ_4K, SZ_2M, SZ_16M, SZ_128M, SZ_1G, 16ull * SZ_1G, 128ull * SZ_1G,
		1016ull * SZ_1G,
	};
	u64 end, size;
	struct test_vm t;
	int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		end = SZ_1M + sizes[i];
		size = align_up(end, SZ_2M) + SZ_2M;
		create(&t, 1, size, SZ_2M, 1, NULL);
		if (!in_place)
			must(to_private, &t, align_down(end, SZ_2M), SZ_2M);
		must(map, &t, 0, SZ_2M);
		must(map, &t, align_down(end, SZ_2M), SZ_2M);
		reset_locks();
		figure_at("sparse hole", sizes[i] / SZ_1K, "instructions",
			  timed(punch, &t, SZ_1M, sizes[i]));
		figure_at("sparse hole", sizes[i] / SZ_1K, "longest hold of mmu_lock",
			  get_param("bench_mmu_longest"));
		destroy(&t);
	}
}

struct worker {
	pthread_t thread;
	struct test_vm *t;
	int vcpu;
	bool faults;
	u64 offset, size;
};

static pthread_barrier_t barrier;

static void *work(void *data)
{
	struct worker *w = data;
	u64 offset;
	int r;

	pin(w->vcpu);
	pthread_barrier_wait(&barrier);
	for (offset = w->offset; offset < w->offset + w->size; offset += SZ_2M) {
		if (w->faults)
			r = map_by(w->t, w->vcpu, offset, SZ_2M);
		else
			r = to_shared(w->t, offset, SZ_2M);
		TEST_ASSERT(!r, "0x%lx: %s", offset, strerror(errno));
	}
	return NULL;
}

#define THREADS_SIZE	((u64)SZ_64M)

/*
 * The emulator lets a CPU run until a timer is due, which is longer than most locks are
 * held.  With one every few thousand instructions they meet.
 */
#define TICK_NS		10000

static bool ticking;

static void *tick(void *data)
{
	const struct timespec ts = { .tv_nsec = TICK_NS };

	pin(MAX_VCPUS - 1);
	TEST_ASSERT(!prctl(PR_SET_TIMERSLACK, 1), "prctl(): %s", strerror(errno));
	while (READ_ONCE(ticking))
		clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
	return NULL;
}

static pthread_t ticker;

static void start_ticking(void)
{
	ticking = true;
	TEST_ASSERT(!pthread_create(&ticker, NULL, tick, NULL), "No thread");
}

static void stop_ticking(void)
{
	WRITE_ONCE(ticking, false);
	pthread_join(ticker, NULL);
}

static u64 time_threads(int nr, bool faults, bool ticks)
{
	struct worker w[MAX_VCPUS];
	struct test_vm t;
	u64 begin;
	int i;

	create(&t, MAX_VCPUS, THREADS_SIZE, THREADS_SIZE, 1, NULL);
	if (!faults)
		must(map, &t, 0, THREADS_SIZE);
	pthread_barrier_init(&barrier, NULL, nr + 1);
	for (i = 0; i < nr; i++) {
		w[i] = (struct worker) {
			.t = &t, .vcpu = i, .faults = faults,
			.offset = i * (THREADS_SIZE / nr), .size = THREADS_SIZE / nr,
		};
		TEST_ASSERT(!pthread_create(&w[i].thread, NULL, work, &w[i]), "No thread");
	}
	settle(&t);
	if (ticks)
		start_ticking();
	reset_locks();
	begin = now();
	pthread_barrier_wait(&barrier);
	for (i = 0; i < nr; i++)
		pthread_join(w[i].thread, NULL);
	begin = now() - begin;
	if (ticks)
		stop_ticking();
	pthread_barrier_destroy(&barrier);
	destroy(&t);
	return begin;
}

static void run_threads(const char *name, int nr, bool faults)
{
	figure_at(name, nr, "instructions a page, all CPUs",
		  time_threads(nr, faults, false) / (THREADS_SIZE / SZ_4K));
	time_threads(nr, faults, true);
	figure_at(name, nr, "waits for mmu_lock", get_param("bench_mmu_waits"));
	figure_at(name, nr, "waits for invalidate_lock", get_param("bench_invalidate_waits"));
}

static void story_threads(void)
{
	int nr;

	for (nr = 1; nr <= MAX_VCPUS; nr *= 2) {
		run_threads("threads that convert 64 MiB", nr, false);
		run_threads("vCPUs that fault on 64 MiB", nr, true);
	}
}

/* The least of rounds that punch one page each, of leaves that are whole. */
static void small_ops(struct test_vm *t, const char *what, u64 x)
{
	u64 hole = -1ull, shared = -1ull, offset = SZ_1M, n;
	char name[64];
	int round;

	for (round = 0; round < ROUNDS; round++, offset += SZ_2M) {
		must(map, t, align_down(offset, SZ_2M), SZ_2M);
		n = timed(punch, t, offset, SZ_4K);
		hole = min(hole, n);
	}
	for (round = 0; round < ROUNDS; round++, offset += SZ_2M) {
		must(map, t, align_down(offset, SZ_2M), SZ_2M);
		n = timed(to_shared, t, offset, SZ_4K);
		shared = min(shared, n);
	}
	snprintf(name, sizeof(name), "hole of 4 KiB, %s", what);
	figure_at(name, x, "instructions", hole);
	snprintf(name, sizeof(name), "to shared of 4 KiB, %s", what);
	figure_at(name, x, "instructions", shared);
}

static void story_slots(void)
{
	static const int counts[] = { 1, 16, 64, 256 };
	struct test_vm t;
	void *other;
	int i, j;

	for (i = 0; i < ARRAY_SIZE(counts); i++) {
		/* All of one file, 4 MiB each at most, and whole leaves. */
		create(&t, 1, (u64)SZ_2M * 256, (u64)SZ_2M * 256, counts[i], NULL);
		small_ops(&t, "slots of the file", counts[i]);
		destroy(&t);

		create(&t, 1, (u64)SZ_16M, (u64)SZ_16M, 1, NULL);
		other = kvm_mmap(SZ_2M, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
		for (j = 1; j < counts[i]; j++)
			vm_set_user_memory_region(t.vm, SLOT + j, 0,
						  GPA + SZ_1G + (u64)j * SZ_2M, SZ_2M, other);
		small_ops(&t, "slots of the VM", counts[i]);
		destroy(&t);
		kvm_munmap(other, SZ_2M);
	}
}

static void story_vms(void)
{
	static struct test_vm others[MAX_VMS];
	int nr = 0, until;
	struct test_vm t;

	for (until = 1; until <= MAX_VMS; until *= 4) {
		for (; nr < until - 1; nr++) {
			create(&others[nr], 1, SZ_2M, SZ_2M, 1, NULL);
			must(map, &others[nr], 0, SZ_2M);
		}
		create(&t, 1, SZ_16M, SZ_16M, 1, NULL);
		small_ops(&t, "VMs", until);
		destroy(&t);
	}
	while (nr--)
		destroy(&others[nr]);
}

/*
 * The guest touches one page after the other, none of which is mapped, and of which
 * none is in what is converted.
 */
#define OTHER_GPA	(GPA + 16ull * SZ_1G)
#define OTHER_GVA	0x40000000ul
#define OTHER_SLOT	20
#define OTHER_PAGES	(SZ_64M / SZ_4K)

static u64 guest_pages, guest_longest, guest_stop;
/* Until it touches the next, so that pages last for as long as the operation takes. */
static u64 guest_pause;

static void guest_touch(void)
{
	u64 i, j, t;

	for (i = 0; i < OTHER_PAGES && !READ_ONCE(guest_stop); i++) {
		t = now();
		WRITE_ONCE(*(u64 *)(OTHER_GVA + i * SZ_4K), i);
		t = now() - t;
		if (t > READ_ONCE(guest_longest))
			WRITE_ONCE(guest_longest, t);
		WRITE_ONCE(guest_pages, i + 1);
		for (j = 0; j < guest_pause && !READ_ONCE(guest_stop); j++)
			;
	}
	for (;;)
		GUEST_DONE();
}

static void *run_guest(void *data)
{
	struct kvm_vcpu *vcpu = data;
	int r;

	pin(1);
	do {
		r = __vcpu_run(vcpu);
	} while (r && (errno == EINTR || errno == EAGAIN));
	TEST_ASSERT(!r, KVM_IOCTL_ERROR(KVM_RUN, r));
	return NULL;
}

#define guest_value(t, name) (*(u64 *)addr_gva2hva((t)->vm, (gva_t)&(name)))

static void run_beside(const char *name, op_fn op, u64 size, u64 mapped, u64 pause)
{
	u64 pages, exits, longest, took;
	struct test_vm t;
	pthread_t thread;
	int fd;

	create(&t, 1, size, size, 1, guest_touch);
	must(map, &t, 0, mapped);
	fd = vm_create_guest_memfd(t.vm, SZ_64M, 0);
	vm_set_user_memory_region2(t.vm, OTHER_SLOT, KVM_MEM_GUEST_MEMFD, OTHER_GPA, SZ_64M,
				   align_ptr_up(t.shared, SZ_2M), fd, 0);
	if (!in_place)
		vm_mem_set_private(t.vm, OTHER_GPA, SZ_64M);
	virt_map(t.vm, OTHER_GVA, OTHER_GPA, OTHER_PAGES);
	guest_value(&t, guest_pages) = 0;
	guest_value(&t, guest_longest) = 0;
	guest_value(&t, guest_stop) = 0;
	guest_value(&t, guest_pause) = pause;

	TEST_ASSERT(!pthread_create(&thread, NULL, run_guest, t.vcpus[0]), "No thread");
	start_ticking();
	while (READ_ONCE(guest_value(&t, guest_pages)) < 4)
		sched_yield();
	guest_value(&t, guest_longest) = 0;
	pages = READ_ONCE(guest_value(&t, guest_pages));
	exits = vcpu_get_stat(t.vcpus[0], exits);
	took = timed(op, &t, 0, size);
	exits = vcpu_get_stat(t.vcpus[0], exits) - exits;
	pages = READ_ONCE(guest_value(&t, guest_pages)) - pages;
	longest = READ_ONCE(guest_value(&t, guest_longest));
	guest_value(&t, guest_stop) = 1;
	stop_ticking();
	pthread_join(thread, NULL);
	TEST_ASSERT(pages && pages < OTHER_PAGES - 32,
		    "%s: the guest touched %lu pages: all, or none", name, pages);
	figure(name, "instructions, host and guest", took);
	figure(name, "other pages touched meanwhile", pages);
	figure(name, "exits of the vCPU meanwhile", exits);
	figure(name, "exits for one page, in hundredths", exits * 100 / pages);
	figure(name, "longest wait for one page", longest);
	close(fd);
	destroy(&t);
}

struct victim {
	u64 started;
	u64 done;
};

/* From SIGKILL until the process is gone, with its VM. */
static u64 killed(op_fn op, u64 size, u64 after, u64 *took)
{
	struct victim *v = mmap(NULL, SZ_4K, PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct test_vm t;
	bool early;
	int status;
	pid_t pid;
	u64 begin;

	TEST_ASSERT(v != MAP_FAILED, "mmap(): %s", strerror(errno));
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork(): %s", strerror(errno));
	if (!pid) {
		pin(0);
		create(&t, 1, size, size, 1, NULL);
		must(map, &t, 0, size);
		settle(&t);
		WRITE_ONCE(v->started, now());
		if (op)
			op(&t, 0, size);
		WRITE_ONCE(v->done, now());
		for (;;)
			pause();
	}
	pin(1);
	start_ticking();
	while (!READ_ONCE(v->started))
		asm volatile("pause");
	if (took)
		while (!READ_ONCE(v->done))
			usleep(100);
	else if (op)
		while (now() - READ_ONCE(v->started) < after)
			asm volatile("pause");
	else
		usleep(1000);
	if (took)
		*took = v->done - v->started;
	early = took || !op || !READ_ONCE(v->done);
	begin = now();
	TEST_ASSERT(!kill(pid, SIGKILL), "kill(): %s", strerror(errno));
	TEST_ASSERT(waitpid(pid, &status, 0) == pid, "waitpid(): %s", strerror(errno));
	begin = now() - begin;
	stop_ticking();
	munmap(v, SZ_4K);
	pin(0);
	if (early)
		return begin;
	TEST_ASSERT(after, "It always ends before it is killed");
	return killed(op, size, after / 2, NULL);
}

static void run_killed(const char *name, op_fn op, u64 size)
{
	u64 took, idle, longest = 0, n;
	int i;

	idle = killed(NULL, size, 0, NULL);
	killed(op, size, 0, &took);
	for (i = 1; i <= 3; i += 2) {
		n = killed(op, size, took * i / 4, NULL);
		longest = max(longest, n);
	}
	figure(name, "instructions, not killed", took);
	figure(name, "SIGKILL to the end, before it", idle);
	figure(name, "SIGKILL to the end, within it", longest);
}

static void story_latency(void)
{
	run_beside("beside to shared of 8 GiB", to_shared, 8ull * SZ_1G, SZ_128M,
		   100000);
	run_beside("beside a hole of 1 GiB", punch, SZ_1G, SZ_1G, 10000);
	run_killed("to shared of 128 MiB, killed", to_shared, SZ_128M);
	run_killed("hole of 128 MiB, killed", punch, SZ_128M);
}

static const struct {
	const char *name;
	void (*tell)(void);
} stories[] = {
	{ "length", story_length },
	{ "sparse", story_sparse },
	{ "threads", story_threads },
	{ "slots", story_slots },
	{ "vms", story_vms },
	{ "latency", story_latency },
};

int main(int argc, char *argv[])
{
	int i, j;

	TEST_REQUIRE(kvm_check_cap(KVM_CAP_VM_TYPES) & BIT(KVM_X86_SW_PROTECTED_VM));
	TEST_REQUIRE(kvm_is_tdp_enabled());
	TEST_ASSERT(argc > 2, "Usage: %s 4k|2m STORY...", argv[0]);
	setvbuf(stdout, NULL, _IOLBF, 0);
#ifdef KVM_SET_MEMORY_ATTRIBUTES2
	in_place = kvm_has_gmem_attributes();
#endif
	if (!strcmp(argv[1], "2m")) {
		gmem_flags = GUEST_MEMFD_FLAG_HUGEPAGE;
		TEST_REQUIRE(gmem_flags);
	}
	pin(0);

	for (i = 2; i < argc; i++) {
		for (j = 0; j < ARRAY_SIZE(stories); j++)
			if (!strcmp(argv[i], stories[j].name))
				break;
		TEST_ASSERT(j < ARRAY_SIZE(stories), "Unknown story '%s'", argv[i]);
		printf("%s\n", stories[j].name);
		stories[j].tell();
	}
	return 0;
}
