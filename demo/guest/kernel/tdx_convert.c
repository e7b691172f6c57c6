// SPDX-License-Identifier: GPL-2.0
/*
 * TEST ONLY: convert random ranges of memory to shared and back, or give them to the
 * host and take them back.
 *
 * Writing "ROUNDS SEED" to /sys/kernel/debug/tdx_convert does that.  In each round a
 * block of 4 KiB to 4 MiB is allocated, and a range in it is taken; what is left of the
 * block has to keep its contents, what is shared has to hold what is written, and what
 * comes back has to be zero.  Reading tells the counts of all rounds.
 *
 * Writing "page ADDRESS" gives away the page that the writer has there, and takes it back.
 * It is zero then.  So a program sees holes in memory of its own, where it knows each word.
 *
 * Writing "inflate PAGES" gives that many single pages away, and "deflate" takes them back.
 *
 * What is given to the host is as in a balloon, but without virtio: number of the first
 * page, and number of pages, to two ports of demo/td_linux.c, which punches a hole. Another
 * VMM has no such ports: tdx_convert.give=0, and nothing is given.
 */
#define pr_fmt(fmt) "tdx_convert: " fmt

#include <linux/cc_platform.h>
#include <linux/debugfs.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/set_memory.h>
#include <linux/uaccess.h>
#include <asm/shared/tdx.h>

#define MAX_ORDER_USED	10
#define BALLOON_PAGE	0xf8
#define BALLOON_NR	0xfc

static bool may_give = true;
module_param_named(give, may_give, bool, 0444);

static DEFINE_MUTEX(lock);
static LIST_HEAD(balloon);
static struct {
	u64 rounds, shared, given, no_memory, failed, wrong;
} count;

/* xorshift64*: a seed repeats a run. */
static u32 random_below(u64 *state, u32 below)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (*state * 0x2545f4914f6cdd1dull >> 32) % below;
}

/* Both ends and the middle of a page. */
static const unsigned int words[] = { 0, 255, 511 };

static u64 value(u64 tag, unsigned long page, unsigned int word)
{
	return tag ? (tag << 32 ^ page << 10 ^ word) * 0x9e3779b97f4a7c15ull | 1 : 0;
}

static void fill(void *block, unsigned long first, unsigned long end, u64 tag)
{
	unsigned long page;
	int i;

	for (page = first; page < end; page++) {
		u64 *p = block + page * PAGE_SIZE;

		for (i = 0; i < ARRAY_SIZE(words); i++)
			WRITE_ONCE(p[words[i]], value(tag, page, words[i]));
	}
}

static void check(void *block, unsigned long first, unsigned long end, u64 tag,
		  const char *what)
{
	unsigned long page;
	int i;

	for (page = first; page < end; page++) {
		u64 *p = block + page * PAGE_SIZE;

		for (i = 0; i < ARRAY_SIZE(words); i++) {
			u64 is = READ_ONCE(p[words[i]]);

			if (is == value(tag, page, words[i]))
				continue;
			if (!count.wrong++)
				pr_err("%s: page %lu word %u is 0x%llx\n", what, page,
				       words[i], is);
		}
	}
}

/* To shared and back; false if nobody knows what the range is now. */
static bool share(void *block, unsigned long first, unsigned long end, unsigned long nr,
		  u64 tag)
{
	unsigned long addr = (unsigned long)block + first * PAGE_SIZE;

	if (set_memory_decrypted(addr, end - first))
		return false;
	count.shared += end - first;
	fill(block, first, end, tag + 1);
	check(block, 0, first, tag, "before what is shared");
	check(block, end, nr, tag, "behind what is shared");
	check(block, first, end, tag + 1, "shared");
	return !set_memory_encrypted(addr, end - first);
}

static void to_host(phys_addr_t pa, unsigned long nr)
{
	outl(PHYS_PFN(pa), BALLOON_PAGE);
	outl(nr, BALLOON_NR);
	count.given += nr;
}

static bool give(void *block, unsigned long first, unsigned long end, unsigned long nr,
		 u64 tag)
{
	phys_addr_t pa = virt_to_phys(block);

	to_host(pa + first * PAGE_SIZE, end - first);
	check(block, 0, first, tag, "before what was given");
	check(block, end, nr, tag, "behind what was given");
	return tdx_accept_memory(pa + first * PAGE_SIZE, pa + end * PAGE_SIZE);
}

static void one_round(u64 *seed)
{
	unsigned int order = random_below(seed, MAX_ORDER_USED + 1);
	unsigned long nr = 1ul << order, first, end;
	u64 tag = count.rounds++ * 2 + 1;
	void *block;
	bool ok;

	block = (void *)__get_free_pages(GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY, order);
	if (!block) {
		count.no_memory++;
		return;
	}
	first = random_below(seed, nr);
	end = first + 1 + random_below(seed, nr - first);
	fill(block, 0, nr, tag);
	if (random_below(seed, 2) || !may_give)
		ok = share(block, first, end, nr, tag);
	else
		ok = give(block, first, end, nr, tag);
	if (!ok) {
		/* It stays out of use. */
		count.failed++;
		return;
	}
	check(block, 0, first, tag, "before what came back");
	check(block, end, nr, tag, "behind what came back");
	check(block, first, end, 0, "what came back");
	fill(block, first, end, tag);
	check(block, 0, nr, tag, "all of it");
	free_pages((unsigned long)block, order);
}

static long give_user_page(unsigned long addr)
{
	struct page *page;
	phys_addr_t pa;
	long r;

	r = pin_user_pages_fast(addr, 1, FOLL_WRITE, &page);
	if (r != 1)
		return r < 0 ? r : -EFAULT;
	pa = page_to_phys(page);
	to_host(pa, 1);
	r = tdx_accept_memory(pa, pa + PAGE_SIZE) ? 0 : -EIO;
	unpin_user_page(page);
	return r;
}

/* Its struct page links a page of the balloon, not its contents. */
static long inflate(unsigned int nr)
{
	struct page *page;

	while (nr--) {
		page = alloc_page(GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY);
		if (!page)
			return -ENOMEM;
		to_host(page_to_phys(page), 1);
		list_add(&page->lru, &balloon);
		cond_resched();
	}
	return 0;
}

static long deflate(void)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, &balloon, lru) {
		phys_addr_t pa = page_to_phys(page);
		u64 *p = page_address(page);

		if (!tdx_accept_memory(pa, pa + PAGE_SIZE))
			return -EIO;
		check(p, 0, 1, 0, "from the balloon");
		list_del(&page->lru);
		__free_page(page);
		cond_resched();
	}
	return 0;
}

/* "page", "inflate", "deflate". */
static long command(const char *text)
{
	unsigned long addr;
	unsigned int nr;

	if (sscanf(text, "page %lx", &addr) == 1)
		return give_user_page(addr);
	if (sscanf(text, "inflate %u", &nr) == 1)
		return inflate(nr);
	if (!strncmp(text, "deflate", 7))
		return deflate();
	return -EINVAL;
}

static ssize_t convert_write(struct file *file, const char __user *buf, size_t len,
			     loff_t *pos)
{
	char text[64];
	long r = 0;
	u64 seed;
	u32 n;

	if (len >= sizeof(text) || copy_from_user(text, buf, len))
		return -EINVAL;
	text[len] = 0;
	mutex_lock(&lock);
	if (sscanf(text, "%u %llu", &n, &seed) != 2) {
		r = command(text);
	} else if (!seed) {
		r = -EINVAL;
	} else {
		while (n--) {
			one_round(&seed);
			cond_resched();
		}
	}
	mutex_unlock(&lock);
	return r ?: len;
}

static int convert_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "rounds %llu shared %llu given %llu no_memory %llu failed %llu wrong %llu\n",
		   count.rounds, count.shared, count.given, count.no_memory, count.failed,
		   count.wrong);
	return 0;
}

static int convert_open(struct inode *inode, struct file *file)
{
	return single_open(file, convert_show, NULL);
}

static const struct file_operations convert_fops = {
	.owner = THIS_MODULE,
	.open = convert_open,
	.read = seq_read,
	.write = convert_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int __init convert_init(void)
{
	if (cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT))
		debugfs_create_file("tdx_convert", 0600, NULL, NULL, &convert_fops);
	return 0;
}
late_initcall(convert_init);
