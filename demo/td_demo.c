// SPDX-License-Identifier: GPL-2.0
/*
 * What a 4 KiB hole in the 2 MiB private memory of a TD costs, and a conversion.
 *
 * A TD accepts and fills 16 MiB, then pieces are taken from it: by holes in the
 * guest_memfd in one TD, by MapGPA in a second one. The map is the module's
 * S-EPT, and the SEAMCALLs are those that the module has counted, both from
 * tdxemu's debugfs. Nothing shown is computed from what ought to be.
 */
#include <stdio.h>
#include <string.h>

#include <linux/sizes.h>

#include "../bench/figure.h"
#include "kvm_util.h"
#include "processor.h"
#include "tdx_agent.h"
#include "test_util.h"

#ifndef GUEST_MEMFD_FLAG_HUGEPAGE
#define GUEST_MEMFD_FLAG_HUGEPAGE	BIT_ULL(16)
#endif

#define DEMO_SIZE	SZ_16M
#define DEMO_PAGES	(DEMO_SIZE / PAGE_SIZE)
#define LEAF_PAGES	TD_PAGES_2M
#define NR_LEAVES	(DEMO_PAGES / LEAF_PAGES)
#define MAP_CELLS	32
#define CELL_PAGES	(LEAF_PAGES / MAP_CELLS)

#define TDXEMU		"/sys/kernel/debug/tdxemu/"
#define STATE_MAPPED	4
#define MAX_CALLS	80
#define TAG		7

struct piece {
	const char *name;
	u64 first;
	u64 nr;
};

static const struct piece pieces[] = {
	{ "the first page", 0, 1 },
	{ "the last page", DEMO_PAGES - 1, 1 },
	{ "a page in the middle of a leaf", 3 * LEAF_PAGES + 256, 1 },
	{ "3 MiB across two leaves", 5 * LEAF_PAGES + 128, SZ_2M / PAGE_SIZE + 256 },
};

/* What the S-EPT maps a page with. PENDING is not accepted. */
enum { GONE, LEAF_4K, LEAF_2M, PENDING };
static const char * const kind_names[] = { "gone", "4K", "2M", "pending" };
static u8 before[DEMO_PAGES], now[DEMO_PAGES];

struct call {
	char name[32];
	u64 count;
	u64 delta;
};

/* What make bench compares: those that a hole, a conversion or an ACCEPT may take. */
static const char * const bench_calls[] = {
	"MEM.PAGE.AUG", "MEM.SEPT.ADD", "MEM.RANGE.BLOCK", "MEM.TRACK",
	"MEM.PAGE.DEMOTE", "MEM.PAGE.REMOVE", "PHYMEM.PAGE.WBINVD",
};

static struct call calls[MAX_CALLS];
static bool taken[DEMO_PAGES];
static int errors;

#define CHECK(cond, fmt, ...)						\
do {									\
	if (!(cond)) {							\
		printf("  MISMATCH: " fmt "\n", ##__VA_ARGS__);		\
		errors++;						\
	}								\
} while (0)

static FILE *open_tdxemu(const char *name)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), TDXEMU "%s", name);
	f = fopen(path, "r");
	TEST_ASSERT(f, "No %s: the kernel needs the software TDX module", path);
	return f;
}

/* The S-EPT of the only TD, into now[]. */
static void read_sept(void)
{
	unsigned long long gpa, hpa;
	unsigned int level, state;
	FILE *f = open_tdxemu("sept");
	char line[128];
	u64 page, nr;
	int tds = 0;

	memcpy(before, now, sizeof(before));
	memset(now, GONE, sizeof(now));
	while (fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "td ", 3)) {
			tds++;
			continue;
		}
		TEST_ASSERT(sscanf(line, "%llx level %u state %u hpa %llx",
				   &gpa, &level, &state, &hpa) == 4,
			    "Unknown format: %s", line);
		page = (gpa - TD_AGENT_GPA) / PAGE_SIZE;
		nr = level ? LEAF_PAGES : 1;
		if (page >= DEMO_PAGES)
			continue;
		TEST_ASSERT(level <= 1, "A leaf at level %u", level);
		memset(now + page, state != STATE_MAPPED ? PENDING :
				   level ? LEAF_2M : LEAF_4K, nr);
	}
	fclose(f);
	TEST_ASSERT(tds == 1, "%d TDs", tds);
}

/* For make bench, what count_calls() has counted last. */
static void figure_calls(const char *name)
{
	int i, j;

	for (i = 0; i < ARRAY_SIZE(bench_calls); i++) {
		/* A call that was never made is not listed: what comes last is empty. */
		for (j = 0; j < MAX_CALLS - 1 && calls[j].name[0]; j++)
			if (!strcmp(calls[j].name, bench_calls[i]))
				break;
		figure(name, bench_calls[i], calls[j].delta);
	}
}

/* What calls[] has changed by, as text. */
static void count_calls(char *text, size_t size)
{
	FILE *f = open_tdxemu("counters");
	unsigned long long count;
	char line[128], name[32];
	size_t len = 0;
	int i, n;

	if (text)
		snprintf(text, size, "none");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%31s %llu failed", name, &count) != 2 ||
		    !strstr(line, " failed "))
			continue;
		for (i = 0; i < MAX_CALLS - 1 && calls[i].name[0]; i++)
			if (!strcmp(calls[i].name, name))
				break;
		strcpy(calls[i].name, name);
		calls[i].delta = count - calls[i].count;
		/* Entering the TD is not what a hole or a conversion costs. */
		if (text && count != calls[i].count && strcmp(name, "VP.ENTER")) {
			n = snprintf(text + len, size - len, "%s%s %llu",
				     len ? ", " : "", name,
				     (unsigned long long)calls[i].delta);
			TEST_ASSERT(n >= 0 && n < size - len, "More calls than have room");
			len += n;
		}
		calls[i].count = count;
	}
	fclose(f);
}

static void draw(char *cells, const u8 *pages)
{
	int cell, i, n[4];

	for (cell = 0; cell < MAP_CELLS; cell++) {
		memset(n, 0, sizeof(n));
		for (i = 0; i < CELL_PAGES; i++)
			n[pages[cell * CELL_PAGES + i]]++;
		if (n[PENDING])
			cells[cell] = '?';
		else if (n[LEAF_2M])
			cells[cell] = '=';
		else if (!n[GONE])
			cells[cell] = '-';
		else
			cells[cell] = n[LEAF_4K] ? 'o' : '.';
	}
	cells[MAP_CELLS] = 0;
	if (pages[0] == LEAF_2M)
		memcpy(cells + MAP_CELLS / 2 - 2, " 2M ", 4);
}

/* For demo/sept-svg, which finds these lines in the console. */
static void report(const char *how, int nr, const char *when, const u8 *pages)
{
	u64 page, end;

	for (page = 0; page < DEMO_PAGES; page = end) {
		if (!(page % LEAF_PAGES))
			printf("%sreport: map %s %d %s %llu", page ? "\n" : "", how, nr,
			       when, (unsigned long long)page / LEAF_PAGES);
		for (end = page + 1; end % LEAF_PAGES && pages[end] == pages[page];)
			end++;
		printf(" %s:%llu", kind_names[pages[page]],
		       (unsigned long long)(end - page));
	}
	printf("\n");
}

/* Returns the number of leaves of 2 MiB. */
static u64 print_counts(const char *when, const u8 *pages)
{
	u64 page, n[4] = {};

	for (page = 0; page < DEMO_PAGES; page++)
		n[pages[page]]++;
	printf("  %-8s %llu leaves of 2 MiB, %llu of 4 KiB, %llu pages gone, %llu pending\n",
	       when, (unsigned long long)n[LEAF_2M] / LEAF_PAGES,
	       (unsigned long long)n[LEAF_4K], (unsigned long long)n[GONE],
	       (unsigned long long)n[PENDING]);
	return n[LEAF_2M] / LEAF_PAGES;
}

static u64 faults(struct td_agent *a)
{
	return vcpu_get_stat(a->vcpu, pf_taken);
}

/* The guest rereads all that it still has: an ACCEPT is not among that. */
static void reread(struct td_agent *a, const char *name)
{
	u64 page, end, nr = 0, faults0 = faults(a);

	for (page = 0; page < DEMO_PAGES; page = end) {
		for (end = page + 1; end < DEMO_PAGES && taken[end] == taken[page];)
			end++;
		if (taken[page])
			continue;
		td_check(a, page, end - page, TAG, false);
		nr += end - page;
	}
	printf("  guest rereads the %llu pages it has: as written, %llu faults, no ACCEPT\n",
	       (unsigned long long)nr, (unsigned long long)(faults(a) - faults0));
	figure(name, "faults to reread the rest", faults(a) - faults0);
	CHECK(faults(a) == faults0, "faults");
}

static void take(struct td_agent *a, struct td_mem *mem, bool convert, int nr)
{
	const char *how = convert ? "convert" : "punch";
	const struct piece *p = &pieces[nr];
	char cells[2][MAP_CELLS + 1], text[512], name[64];
	u64 page, leaf, wrong = 0;

	printf("\n%s: %s (%llu KiB at 0x%llx)\n",
	       convert ? "To shared, by MapGPA" : "Hole", p->name,
	       (unsigned long long)p->nr * PAGE_SIZE / SZ_1K,
	       (unsigned long long)TD_AGENT_GPA + p->first * PAGE_SIZE);

	count_calls(NULL, 0);
	if (convert)
		TEST_ASSERT_EQ(td_map_gpa(a, p->first, p->nr, true), 0);
	else
		td_mem_punch(mem, p->first, p->nr);
	count_calls(text, sizeof(text));
	memset(taken + p->first, true, p->nr);
	read_sept();

	snprintf(name, sizeof(name), "%s, %s", convert ? "to shared" : "hole", p->name);
	print_counts("before:", before);
	figure(name, "leaves of 2 MiB left", print_counts("after:", now));
	printf("  SEAMCALLs: %s\n", text);
	figure_calls(name);
	for (page = 0; page < DEMO_PAGES; page++)
		wrong += taken[page] ? now[page] != GONE :
				       now[page] != LEAF_4K && now[page] != LEAF_2M;
	CHECK(!wrong, "%llu pages are gone or not", (unsigned long long)wrong);
	for (leaf = 0; leaf < NR_LEAVES; leaf++) {
		draw(cells[0], before + leaf * LEAF_PAGES);
		draw(cells[1], now + leaf * LEAF_PAGES);
		printf("  0x%llx  [%s]  [%s]\n",
		       (unsigned long long)TD_AGENT_GPA + leaf * SZ_2M,
		       cells[0], cells[1]);
	}
	report(how, nr, "before", before);
	report(how, nr, "after", now);
	printf("report: calls %s %d %llu KiB, %s: %s\n", how, nr,
	       (unsigned long long)p->nr * PAGE_SIZE / SZ_1K, p->name, text);

	reread(a, name);
}

/* What was taken can be used again: accepted anew, or as shared memory. */
static void use_again(struct td_agent *a, bool convert)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(pieces); i++) {
		if (convert) {
			td_write(a, pieces[i].first, pieces[i].nr, TAG + 1, true);
			td_check(a, pieces[i].first, pieces[i].nr, TAG + 1, true);
			continue;
		}
		td_accept_all(a, pieces[i].first, pieces[i].nr, 0, TDG_SUCCESS);
		td_check_zero(a, pieces[i].first, pieces[i].nr, false);
	}
	printf("\n  guest %s\n", convert ?
	       "writes and reads what was converted, through the shared half" :
	       "accepts what was punched, page by page: it is zero");
}

static void run(bool convert, bool huge)
{
	struct td_agent a;
	struct td_mem mem;
	const char *name = convert ? "accept 16 MiB, to be converted" : "accept 16 MiB";
	char text[512];
	u64 faults0;
	int i;

	memset(taken, 0, sizeof(taken));
	memset(now, GONE, sizeof(now));
	td_agent_init(&a, TD_ATTR_SEPT_VE_DISABLE, DEMO_PAGES);
	td_mem_add(a.vm, &mem, TD_SLOT_TEST, TD_AGENT_GPA, DEMO_PAGES,
		   huge ? GUEST_MEMFD_FLAG_HUGEPAGE : 0);

	printf("\nA TD with 16 MiB of private memory, from which pieces are %s\n",
	       convert ? "converted" : "punched");
	faults0 = faults(&a);
	count_calls(NULL, 0);
	td_accept_all(&a, 0, DEMO_PAGES, huge, TDG_SUCCESS);
	count_calls(text, sizeof(text));
	printf("  guest accepts it %s: %llu faults; SEAMCALLs: %s\n",
	       huge ? "2 MiB at a time" : "4 KiB at a time",
	       (unsigned long long)(faults(&a) - faults0), text);
	figure(name, "faults", faults(&a) - faults0);
	figure_calls(name);
	td_write(&a, 0, DEMO_PAGES, TAG, false);
	read_sept();
	figure(name, "leaves of 2 MiB", print_counts("mapped:", now));
	reread(&a, name);

	for (i = 0; i < ARRAY_SIZE(pieces); i++)
		take(&a, &mem, convert, i);
	use_again(&a, convert);

	td_agent_free(&a);
	td_mem_free(&mem);
}

/* Can a file of huge folios be had, and does KVM map them as such? */
static bool has_huge_pages(void)
{
	struct kvm_vm *vm = __td_vm_create(TD_ATTR_SEPT_VE_DISABLE);
	int fd, r, err;
	bool on;

	fd = __vm_create_guest_memfd(vm, DEMO_SIZE, GUEST_MEMFD_FLAG_HUGEPAGE);
	err = errno;
	kvm_vm_free(vm);
	if (fd < 0) {
		printf("\nGUEST_MEMFD_FLAG_HUGEPAGE is refused: %s\n", strerror(err));
		return false;
	}
	close(fd);

	r = access("/sys/module/kvm_intel/parameters/tdx_huge_page", F_OK);
	on = !r && get_kvm_intel_param_bool("tdx_huge_page");
	printf("\nGUEST_MEMFD_FLAG_HUGEPAGE is there, kvm_intel.tdx_huge_page is %s\n",
	       on ? "on" : "off");
	return on;
}

int main(void)
{
	bool huge;

	TEST_REQUIRE(td_is_supported());
	setvbuf(stdout, NULL, _IOLBF, 0);

	huge = has_huge_pages();
	printf("\nMaps of the S-EPT, a line per 2 MiB, before and after:\n"
	       "  [= 2M =] one leaf    - 16 pages of 4 KiB    o some of them gone    . all gone\n");
	run(false, huge);
	run(true, huge);
	printf("\n%s\n", errors ? "FAILED" : "Every hole and every conversion was exact.");
	return errors ? 1 : 0;
}
