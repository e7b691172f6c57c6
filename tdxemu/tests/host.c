// SPDX-License-Identifier: GPL-2.0
/* See host.h. */

#include <pthread.h>
#include <sys/mman.h>

#include "host.h"

struct host host;
struct tdxemu_args out;

static const char *test_name;
static unsigned int test_bad, nr_tests, nr_bad;
static unsigned int next_hkid = FIRST_KEYID + 1, alive;

static char *ram;
static unsigned char *owned_map;

/* What the memory of the module's own pages costs: taken when it is touched. */
static void *page(u64 hpa)
{
	return hpa < RAM_SIZE ? ram + hpa : NULL;
}

void *host_va(u64 hpa)
{
	return page(hpa);
}

static void owned(u64 hpa, unsigned int nr, bool own)
{
	while (nr--) {
		owned_map[hpa / PAGE] = own;
		hpa += PAGE;
	}
}

bool host_owned(u64 hpa)
{
	return owned_map[hpa / PAGE];
}

u64 host_nr_owned(void)
{
	u64 i, n = 0;

	for (i = 0; i < RAM_SIZE / PAGE; i++)
		n += owned_map[i];
	return n;
}

/* A thread is a CPU; the one that runs the tests is whichever it says. */
_Thread_local int host_thread_cpu = -1;

static unsigned int cpu(void)
{
	return host_thread_cpu >= 0 ? (unsigned int)host_thread_cpu : host.cpu;
}

static pthread_mutex_t core_mutex = PTHREAD_MUTEX_INITIALIZER;

static unsigned long lock(void)
{
	pthread_mutex_lock(&core_mutex);
	return 0;
}

static void unlock(unsigned long flags)
{
	pthread_mutex_unlock(&core_mutex);
}

static unsigned int package(unsigned int c)
{
	return c / (NR_CPUS / NR_PACKAGES);
}

static bool irq_pending(void)
{
	if (host.irq_after && !--host.irq_after)
		host.irq = true;
	return host.irq;
}

static u64 tsc(void)
{
	return __atomic_fetch_add(&host.tsc, 1, __ATOMIC_RELAXED);
}

static u64 rip(struct tdxemu_vp *vp)
{
	return host.rip;
}

static u64 run(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	u64 (*guest)(struct tdxemu_vp *, struct tdxemu_args *) = host.guest;

	return guest ? guest(vp, args) : EXIT_EXTERNAL_INTERRUPT;
}

static bool vp_init(struct tdxemu_vp *vp, const struct tdxemu_vp_init *init)
{
	if (host.refuse_vp)
		return false;
	host.vps++;
	return true;
}

static void vp_free(struct tdxemu_vp *vp)
{
	host.vps--;
}

static bool cpuid(u32 leaf, u32 sub, u32 o[4])
{
	/* 4 has subleaves, the others have none. */
	if ((leaf == 4) != (sub != ~0u) || (leaf == 4 && sub > 3))
		return false;
	o[0] = leaf == 0x80000008 ? 0x3028 : leaf;
	o[1] = 0x1111;
	o[2] = 0x2222;
	o[3] = 0x3333;
	return leaf == 0 || leaf == 4 || leaf == 0x80000000 || leaf == 0x80000008;
}

static void on_violation(const struct tdxemu_violation *v)
{
	struct tdxemu_trace t;
	char line[256];
	int i;

	__atomic_fetch_add(&host.violations[v->rule], 1, __ATOMIC_RELAXED);
	if (!host.verbose)
		return;
	tdxemu_violation_line(v, line, sizeof(line));
	printf("# violation: %s\n", line);
	for (i = 63; i >= 0; i--)
		if (tdxemu_trace_get(i, &t)) {
			tdxemu_trace_line(&t, line, sizeof(line));
			printf("#   %s\n", line);
		}
}

unsigned int host_violations(void)
{
	unsigned int i, n = 0;

	for (i = 0; i < TDXEMU_NR_RULES; i++)
		n += host.violations[i];
	return n;
}

void host_clear_violations(void)
{
	memset(host.violations, 0, sizeof(host.violations));
}

static const struct tdxemu_cpuid_config cpuid_config[] = {
	{ 0x80000008, ~0u, { 0xff0000 } },
	{ 4, 1, { 0, 0xff, 0, 0 } },
};

static const struct tdxemu_range cmrs[] = { { 0, RAM_SIZE } };

/* The module as it is just loaded, on a machine as it is just switched on. */
void host_init(const struct boot *b)
{
	static const struct boot usual = { .features0 = TDXEMU_F0_DEFAULT };

	if (!b)
		b = &usual;
	if (ram)
		munmap(ram, RAM_SIZE);
	ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ram == MAP_FAILED)
		abort();
	if (!owned_map)
		owned_map = malloc(RAM_SIZE / PAGE);
	memset(owned_map, 0, RAM_SIZE / PAGE);
	memset(&host, 0, sizeof(host));
	alive = 0;
	host.verbose = getenv("VERBOSE");
	host.next_4k = 2 * MB;
	host.next_2m = TDMR_SIZE;
	host.dynamic_pamt = b->dynamic_pamt;
	host.p = (struct tdxemu_platform){
		.page = page, .owned = owned, .cpu = cpu, .package = package,
		.lock = lock, .unlock = unlock,
		.irq_pending = irq_pending, .tsc = tsc, .rip = rip, .run = run,
		.vp_init = vp_init, .vp_free = vp_free, .cpuid = cpuid,
		.violation = on_violation,
		.cmrs = cmrs, .nr_cmrs = 1,
		.cpuid_config = cpuid_config, .nr_cpuid_config = 2,
		.nr_cpus = NR_CPUS, .nr_packages = NR_PACKAGES,
		.phys_bits = PHYS_BITS,
		.first_keyid = FIRST_KEYID, .nr_keyids = NR_KEYIDS,
		.max_vcpus = 64,
		.host_priority_ticks = 1000,
		.features0 = b->features0, .module = b->module, .strict = b->strict,
		.fatal_encodings = b->fatal_encodings,
	};
	tdxemu_init(&host.p);
}

/* A good TDMR_INFO, number n of the array at SCRATCH; n 0 is all of the TDMR. */
u64 *host_tdmr_info(unsigned int n)
{
	u64 *array = page(SCRATCH), *t = page(SCRATCH + 512 + n * 512);

	memset(t, 0, 512);
	array[n] = SCRATCH + 512 + n * 512;
	t[0] = 0;
	t[1] = TDMR_SIZE;
	t[2] = PAMT_BASE;
	t[3] = PAGE;
	t[4] = PAMT_BASE + PAGE;
	t[5] = TDMR_SIZE / (2 * MB) * 16;
	t[6] = PAMT_BASE + MB;
	t[7] = TDMR_SIZE / PAGE * 16;
	t[8] = 0;
	t[9] = RESERVED_SIZE;
	return t;
}

static void must(u64 status, const char *what)
{
	if (!status)
		return;
	printf("Bail out! %s: 0x%llx %s\n", what, status, tdxemu_status_name(status));
	fflush(stdout);
	abort();
}

#define MUST(...)	must(call(__VA_ARGS__), #__VA_ARGS__)

/* What the host does with a module that is just loaded. */
static void boot(void)
{
	unsigned int i;

	MUST(SYS_INIT, 0, 0, 0, 0);
	for (i = 0; i < NR_CPUS; i++) {
		host.cpu = i;
		MUST(SYS_LP_INIT, 0, 0, 0, 0);
	}
	host_tdmr_info(0);
	MUST(SYS_CONFIG, SCRATCH, 1,
	     GLOBAL_HKID | (host.dynamic_pamt ? CONFIG_DYNAMIC_PAMT : 0), 0);
	for (i = 0; i < NR_CPUS; i += NR_CPUS / NR_PACKAGES) {
		host.cpu = i;
		MUST(SYS_KEY_CONFIG, 0, 0, 0, 0);
	}
	host.cpu = 0;
	do
		MUST(SYS_TDMR_INIT, 0, 0, 0, 0);
	while (out.rdx < TDMR_SIZE);
	host.next_pair = PAIRS_BASE;
	host.paired = 2 * MB;
}

void host_boot(const struct boot *b)
{
	host_init(b);
	boot();
}

/* The same with host.p as the caller has changed it; call host_boot() before. */
void host_boot_platform(void)
{
	tdxemu_init(&host.p);
	memset(owned_map, 0, RAM_SIZE / PAGE);
	host.next_4k = 2 * MB;
	host.next_2m = TDMR_SIZE;
	alive = 0;
	boot();
}

/* A page for the PAMT, from memory that nothing else is taken from. */
u64 host_pair_page(void)
{
	u64 hpa = host.next_pair;

	if (hpa == 2 * MB)
		abort();
	host.next_pair += PAGE;
	return hpa;
}

/* A page of 4 KiB; with its pair if there must be one. */
u64 host_page(void)
{
	u64 hpa = host.next_4k;

	while (host.dynamic_pamt && host.paired <= hpa) {
		u64 p0 = host_pair_page(), p1 = host_pair_page();

		MUST(PHYMEM_PAMT_ADD, host.paired | 1, p0, p1, 0);
		host.paired += 2 * MB;
	}
	host.next_4k += PAGE;
	return hpa;
}

u64 host_page_2m(void)
{
	return host.next_2m -= 2 * MB;
}

u64 call(u64 fn, u64 rcx, u64 rdx, u64 r8, u64 r9)
{
	struct tdxemu_args a = { .rcx = rcx, .rdx = rdx, .r8 = r8, .r9 = r9 };
	u64 status = tdxemu_seamcall(fn, &a);

	/* A guest may have made calls meanwhile. */
	out = a;
	return status;
}

/* With what DEMOTE takes of a dynamic PAMT. */
u64 call2(u64 fn, u64 rcx, u64 rdx, u64 r8, u64 r12, u64 r13)
{
	struct tdxemu_args a = { .rcx = rcx, .rdx = rdx, .r8 = r8, .r12 = r12, .r13 = r13 };
	u64 status = tdxemu_seamcall(fn, &a);

	out = a;
	return status;
}

u64 wbinvd(unsigned int hkid, u64 hpa)
{
	return call(PHYMEM_PAGE_WBINVD, (u64)hkid << PHYS_BITS | hpa, 0, 0, 0);
}

/* TD_PARAMS with everything as it should be; returns their address. */
u64 td_params(void)
{
	u64 hpa = SCRATCH + 64 * PAGE, *p = page(hpa);

	memset(p, 0, 1024);
	p[0] = ATTR_SEPT_VE_DISABLE;
	p[1] = 3;
	p[2] = MAX_VCPUS;
	p[3] = 6 | 3 << 3;
	p[4] = CONFIG_NO_RBP_MOD;
	*(u16 *)(p + 5) = 40;
	return hpa;
}

/* A TD, all the way; finalised if run. The S-EPT has a root only. */
void td_new(struct td *td, unsigned int vcpus, bool run)
{
	unsigned int i, j;

	memset(td, 0, sizeof(*td));
	alive++;
	td->tdr = host_page();
	td->hkid = next_hkid++;
	if (next_hkid == FIRST_KEYID + NR_KEYIDS)
		next_hkid = FIRST_KEYID + 1;
	MUST(MNG_CREATE, td->tdr, td->hkid, 0, 0);
	for (i = 0; i < NR_CPUS; i += NR_CPUS / NR_PACKAGES) {
		host.cpu = i;
		MUST(MNG_KEY_CONFIG, td->tdr, 0, 0, 0);
	}
	host.cpu = 0;
	for (i = 0; i < NR_TDCX; i++) {
		u64 page = host_page();

		if (!i)
			td->root = page;
		MUST(MNG_ADDCX, page, td->tdr, 0, 0);
	}
	MUST(MNG_INIT, td->tdr, td_params(), 0, 0);
	td->nr_vcpus = vcpus;
	for (i = 0; i < vcpus; i++) {
		td->vp[i] = host_page();
		MUST(VP_CREATE, td->vp[i], td->tdr, 0, 0);
		for (j = 0; j < NR_TDVPX; j++)
			MUST(VP_ADDCX, host_page(), td->vp[i], 0, 0);
		host.cpu = i;
		MUST(VP_INIT | 1 << 16, td->vp[i], 0, i, 0);
	}
	host.cpu = 0;
	if (run)
		MUST(MR_FINALIZE, td->tdr, 0, 0, 0);
}

/* S-EPT tables down to where entries of a level are. */
void td_tables(struct td *td, u64 gpa, unsigned int level)
{
	struct tdxemu_sept_entry e;
	unsigned int l;

	for (l = 3; l > level; l--) {
		u64 base = gpa & ~((PAGE << (9 * l)) - 1);

		tdxemu_sept_lookup(tdxemu_td_at(td->tdr), base, l, &e);
		if (!e.present)
			MUST(MEM_SEPT_ADD, base | l, td->tdr, host_page(), 0);
	}
}

/* vCPU n runs on CPU n. */
u64 td_enter(struct td *td, unsigned int n, u64 (*guest)(struct tdxemu_vp *, struct tdxemu_args *))
{
	unsigned int cpu = host.cpu;
	u64 status;

	host.cpu = n;
	host.guest = guest;
	status = call(VP_ENTER, td->vp[n], 0, 0, 0);
	host.guest = NULL;
	host.cpu = cpu;
	return status;
}

u64 td_track(struct td *td)
{
	return call(MEM_TRACK, td->tdr, 0, 0, 0);
}

/* Until the HKID is free. */
bool td_end_key(struct td *td)
{
	unsigned int i;
	u64 s = 0;

	for (i = 0; i < td->nr_vcpus; i++) {
		/* On whichever CPU it is. */
		for (host.cpu = 0; host.cpu < NR_CPUS; host.cpu++) {
			s = call(VP_FLUSH, td->vp[i], 0, 0, 0);
			if (s != ST_VCPU_NOT_ASSOCIATED)
				break;
		}
		if (s && s != ST_VCPU_NOT_ASSOCIATED)
			return false;
	}
	host.cpu = 0;
	if (call(MNG_VPFLUSHDONE, td->tdr, 0, 0, 0))
		return false;
	for (i = 0; i < NR_CPUS; i += NR_CPUS / NR_PACKAGES) {
		host.cpu = i;
		if (call(PHYMEM_CACHE_WB, 0, 0, 0, 0))
			return false;
	}
	host.cpu = 0;
	return !call(MNG_KEY_FREEID, td->tdr, 0, 0, 0);
}

/*
 * The end of a TD, whatever state it is in. Every page that it owns is found by
 * asking for every page that the module has taken and not given back.
 */
void td_end(struct td *td)
{
	u64 hpa;

	CHECK(td_end_key(td));
	for (hpa = 2 * MB; hpa < host.next_4k; hpa += PAGE) {
		if (hpa == td->tdr || !host_owned(hpa))
			continue;
		if (!call(PHYMEM_PAGE_RDMD, hpa, 0, 0, 0) && out.rdx == td->tdr)
			CALL(PHYMEM_PAGE_RECLAIM, hpa, 0, 0, 0);
	}
	for (hpa = host.next_2m; hpa < TDMR_SIZE; hpa += PAGE)
		if (host_owned(hpa) &&
		    !call(PHYMEM_PAGE_RDMD, hpa, 0, 0, 0) && out.rdx == td->tdr &&
		    !(hpa & ((PAGE << (9 * out.r8)) - 1)))
			CALL(PHYMEM_PAGE_RECLAIM, hpa, 0, 0, 0);
	CALL(PHYMEM_PAGE_RECLAIM, td->tdr, 0, 0, 0);
	CHECK_EQ(wbinvd(GLOBAL_HKID, td->tdr), 0);
	CHECK(!host_owned(td->tdr));
	if (--alive)
		return;
	/* What was not written back was, when the key was freed. Pairs stay. */
	host.next_4k = 2 * MB;
	host.next_2m = TDMR_SIZE;
	memset(owned_map + 2 * MB / PAGE, 0, (RAM_SIZE - 2 * MB) / PAGE);
}


void test_begin(const char *name)
{
	test_name = name;
	test_bad = 0;
}

void check_at(const char *file, int line, bool ok, const char *what, u64 got, u64 want)
{
	if (ok)
		return;
	if (test_bad++ < 8)
		printf("# %s: %s:%d: %s is 0x%llx (%s), not 0x%llx (%s)\n",
		       test_name ? test_name : "set-up", file, line, what,
		       got, tdxemu_status_name(got), want, tdxemu_status_name(want));
}

/* A test that breaks no rule on purpose must not have broken one. */
void test_end(void)
{
	unsigned int i;

	for (i = 0; i < TDXEMU_NR_RULES; i++)
		check_at(__FILE__, __LINE__, !host.violations[i], "violations of a rule",
			 i, 0);
	host_clear_violations();
	nr_tests++;
	nr_bad += test_bad > 0;
	printf("%sok %u - %s\n", test_bad ? "not " : "", nr_tests, test_name);
	test_name = NULL;
}

/* Of the test that runs; of set-up if none does. */
unsigned int check_failures(void)
{
	return test_bad;
}

int test_summary(void)
{
	printf("1..%u\n", nr_tests);
	return nr_bad || !nr_tests;
}
