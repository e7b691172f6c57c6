// SPDX-License-Identifier: GPL-2.0
/*
 * The guest of a TD that QEMU starts: it accepts 16 MiB, fills them, has parts of
 * them converted to shared memory and back, and checks all the rest each time. While
 * a part is shared, it is written through the shared half of the address space, and
 * QEMU writes it, too, by the DMA of its fw_cfg device. Results come as TAP.
 *
 * The places are those of demo/td_demo.c, so that counts can be compared.
 */
#define PORT_CONSOLE	0xe9
#include "td.h"

/* The memory that is tested. */
#define BASE		0x2000000ul
#define NR_PAGES	4096

struct piece {
	const char *name;
	u64 first, nr;
};

static const struct piece pieces[] = {
	{ "4 KiB, the first page", 0, 1 },
	{ "4 KiB, the last page", NR_PAGES - 1, 1 },
	{ "12 KiB in the middle of a leaf", 3 * LEAF_PAGES + 256, 3 },
	{ "2 MiB, a leaf", LEAF_PAGES, LEAF_PAGES },
	{ "3 MiB across two leaves", 5 * LEAF_PAGES + 128, LEAF_PAGES + 256 },
};
#define NR_PIECES	(sizeof(pieces) / sizeof(pieces[0]))
#define MAX_SHOWN	5

static u64 shared_bit;
static u64 accepted_2m, accepted_4k, retries;
static u32 test_nr, failed, shown;
/* What each page was filled with. Never the same again: old contents are wrong. */
static u64 words[NR_PAGES];
static u64 last_word;

static void finish(void)
{
	put("1..");
	put_number(test_nr, 10);
	put("\n");
	for (;;)
		out(PORT_EXIT, 1, failed ? EXIT_FAILED : EXIT_PASSED);
}

/* The test that runs has failed. What @what is at @gpa is @value. */
static void wrong(const char *what, u64 gpa, u64 value)
{
	if (shown++ >= MAX_SHOWN)
		return;
	put("# wrong: ");
	put(what);
	put(": at ");
	put_hex(gpa);
	put(" it is ");
	put_hex(value);
	put("\n");
}

static void end_test(const char *name, const char *more)
{
	put(shown ? "not ok " : "ok ");
	put_number(++test_nr, 10);
	put(" - ");
	put(name);
	put(more);
	put("\n");
	if (shown)
		failed++;
	shown = 0;
}

static u64 gpa_of(u64 page)
{
	return BASE + page * PAGE;
}

static volatile u64 *private_of(u64 page)
{
	return (volatile u64 *)gpa_of(page);
}

static volatile u64 *shared_of(u64 page)
{
	return (volatile u64 *)(gpa_of(page) + SHARED_WINDOW);
}

static u64 new_word(u64 page)
{
	return words[page] = last_word += 0x9e3779b97f4a7c15ul;
}

static void set_page(volatile u64 *p, u64 word)
{
	volatile u64 *at = p;
	u64 nr = PAGE / 8 - 1;

	asm volatile("rep stosq" : "+D" (at), "+c" (nr) : "a" (word) : "memory");
	p[PAGE / 8 - 1] = ~word;
}

/* The words at both ends of a page, or all of them. */
static void check_page(const char *what, volatile u64 *p, u64 word, int all)
{
	u64 i;

	for (i = 0; i < PAGE / 8 - 1; i += all ? 1 : PAGE)
		if (p[i] != word)
			wrong(what, (u64)(p + i), p[i]);
	if (p[PAGE / 8 - 1] != ~word)
		wrong(what, (u64)(p + PAGE / 8 - 1), p[PAGE / 8 - 1]);
}

static void fill(u64 first, u64 nr)
{
	u64 i;

	for (i = first; i < first + nr; i++) {
		set_page(private_of(i), new_word(i));
	}
}

/* An instruction of a TD takes a thousand of the emulated CPU: this is where they are. */
static void check_pages(const char *what, u64 first, u64 end)
{
	volatile u64 *p = private_of(first);
	const u64 *word = &words[first];

	for (; word < &words[end]; word++, p += PAGE / 8)
		if (p[0] != *word || p[PAGE / 8 - 1] != ~*word)
			check_page(what, p, *word, 0);
}

/* All but @first to @first + @nr is as it was written; the neighbours to the last word. */
static void check_rest(const char *what, u64 first, u64 nr)
{
	u64 end = first + nr;

	check_pages(what, 0, first);
	check_pages(what, end, NR_PAGES);
	if (first)
		check_page(what, private_of(first - 1), words[first - 1], 1);
	if (end < NR_PAGES)
		check_page(what, private_of(end), words[end], 1);
}

static void check_zero(u64 first, u64 nr)
{
	u64 i;

	for (i = first; i < first + nr; i++)
		if (private_of(i)[0] || private_of(i)[PAGE / 8 - 1])
			wrong("accepted, but not zero", gpa_of(i), private_of(i)[0]);
}

/* As large as the VMM lets it. That something is accepted already is wrong, too. */
static void accept(u64 first, u64 nr)
{
	u64 gpa = gpa_of(first), status;

	accepted_2m = accepted_4k = 0;
	status = accept_range(&gpa, gpa_of(first + nr), &accepted_2m, &accepted_4k);
	if (status)
		wrong("status of ACCEPT", gpa, status);
}

static void report_accepted(void)
{
	put("# accepted: ");
	put_number(accepted_2m, 10);
	put(" x 2 MiB, ");
	put_number(accepted_4k, 10);
	put(" x 4 KiB\n");
}

static void map_gpa(u64 first, u64 nr, int shared)
{
	u64 bit = shared ? shared_bit : 0;
	u64 gpa = gpa_of(first) | bit, end = gpa_of(first + nr) | bit;
	u64 status, next, in_a_row = 0;

	for (;;) {
		status = vmcall(VMCALL_MAP_GPA, gpa, end - gpa, 0, 0, &next);
		if (status != VMCALL_RETRY)
			break;
		retries++;
		if (next < gpa || next >= end || ++in_a_row > MAX_RETRIES) {
			wrong("where MapGPA is to be retried", gpa, next);
			break;
		}
		if (next > gpa)
			in_a_row = 0;
		gpa = next;
	}
	if (!status)
		return;
	/* Nothing that follows would make sense. */
	wrong("status of MapGPA", gpa, status);
	end_test("a conversion", "");
	finish();
}

/*
 * QEMU writes @size bytes from @gpa on: its signature, and zeroes behind it. The
 * command, in big endian, is in the first page of the range, which QEMU reads and
 * writes.
 */
static void fw_cfg_dma(u64 command, u64 gpa, u64 size)
{
	volatile u32 *c = (volatile u32 *)(command + SHARED_WINDOW);

	c[0] = swap32(FW_CFG_SELECT | FW_CFG_READ | FW_CFG_SIGNATURE << 16);
	c[1] = swap32(size);
	c[2] = swap32(gpa >> 32);
	c[3] = swap32(gpa);
	out(PORT_FW_CFG_DMA, 4, swap32(command >> 32));
	out(PORT_FW_CFG_DMA + 4, 4, swap32(command));
	/* It is done when OUT is. */
	if (c[0])
		wrong("fw_cfg: what is left of the command", command, swap32(c[0]));
}

/* To all of a shared range but half of its first page and the last word. */
static void dma(u64 first, u64 nr)
{
	u64 start = gpa_of(first), from = start + PAGE / 2, end = start + nr * PAGE - 8, gpa;
	volatile u64 *p = (volatile u64 *)(start + SHARED_WINDOW);

	fw_cfg_dma(start, from, end - from);
	if (p[PAGE / 2 / 8] != 0x554d4551)	/* "QEMU" */
		wrong("fw_cfg: signature", from, p[PAGE / 2 / 8]);
	if (p[PAGE / 2 / 8 - 1] != words[first])
		wrong("in front of the DMA", from - 8, p[PAGE / 2 / 8 - 1]);
	for (gpa = start + PAGE; gpa < end; gpa += PAGE) {
		p = (volatile u64 *)(gpa + SHARED_WINDOW);
		if (p[-1] || p[0])
			wrong("DMA", gpa, p[0]);
	}
	p = (volatile u64 *)(end + SHARED_WINDOW);
	if (p[-1] || *p != ~words[first + nr - 1])
		wrong("end of the DMA", end, *p);
}

static void convert(const struct piece *p)
{
	u64 i;

	map_gpa(p->first, p->nr, 1);
	for (i = p->first; i < p->first + p->nr; i++) {
		set_page(shared_of(i), new_word(i));
	}
	for (i = p->first; i < p->first + p->nr; i++)
		check_page("shared", shared_of(i), words[i], 0);
	dma(p->first, p->nr);
	check_rest("private, beside shared memory", p->first, p->nr);
	end_test(p->name, ": to shared, with DMA of QEMU");

	map_gpa(p->first, p->nr, 0);
	accept(p->first, p->nr);
	report_accepted();
	check_zero(p->first, p->nr);
	check_rest("private, beside what has come back", p->first, p->nr);
	fill(p->first, p->nr);
	end_test(p->name, ": back to private");
}

void firmware(void)
{
	u64 i;

	shared_bit = map_shared();
	put("TAP version 14\n");
	accept(0, NR_PAGES);
	report_accepted();
	fill(0, NR_PAGES);
	check_pages("private", 0, NR_PAGES);
	end_test("16 MiB accepted and filled", "");

	for (i = 0; i < NR_PIECES; i++)
		convert(&pieces[i]);
	check_pages("private, in the end", 0, NR_PAGES);
	end_test("16 MiB as written", "");
	put("# MapGPA to be retried: ");
	put_number(retries, 10);
	put("\n");
	finish();
}
