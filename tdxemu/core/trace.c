// SPDX-License-Identifier: GPL-2.0
/* Ring of calls, counters, and their text. */

#include "core.h"

struct count {
	u64 status;
	u64 n;
	u16 leaf;
};

#define MAX_COUNTS	512	/* rows */
#define HASH		1024	/* power of two, more than rows */

static struct tdxemu_trace ring[TDXEMU_TRACE];
static u64 seq;
static struct count counts[MAX_COUNTS];
static unsigned int nr_counts;
static u16 hash[HASH];		/* row + 1 */

void trace_reset(void)
{
	memset(ring, 0, sizeof(ring));
	memset(counts, 0, sizeof(counts));
	memset(hash, 0, sizeof(hash));
	seq = 0;
	nr_counts = 0;
}

/* Row of a leaf and status; NULL if the table is full. */
static struct count *count_of(u16 leaf, u64 status)
{
	unsigned int i = (leaf * 37 + (status >> 32) * 5 + status) % HASH;
	struct count *c;

	for (; hash[i]; i = (i + 1) % HASH) {
		c = &counts[hash[i] - 1];
		if (c->leaf == leaf && c->status == status)
			return c;
	}
	if (nr_counts == MAX_COUNTS)
		return NULL;
	hash[i] = nr_counts + 1;
	c = &counts[nr_counts++];
	c->leaf = leaf;
	c->status = status;
	return c;
}

static void record(const struct tdxemu_trace *t)
{
	unsigned long flags = core_lock();
	struct count *c = count_of(t->leaf, t->status);

	if (c)
		c->n++;
	seq++;
	ring[seq % TDXEMU_TRACE] = *t;
	ring[seq % TDXEMU_TRACE].seq = seq;
	core_unlock(flags);
}

void trace_call(struct call *c, u64 status)
{
	struct tdxemu_trace t = {
		.rcx = c->rcx, .rdx = c->rdx, .r8 = c->r8, .status = status,
		.epoch = c->td ? ld(&c->td->epoch) : 0,
		.leaf = c->leaf, .version = c->version,
		.injected = c->injected, .cpu = c->cpu,
	};

	record(&t);
}

void trace_guest(struct tdxemu_vp *vp, u16 leaf, u64 rcx, u64 status)
{
	struct tdxemu_td *td = va(vp->td_pa);
	struct tdxemu_trace t = {
		.rcx = rcx, .rdx = vp->pa, .status = status,
		.epoch = td ? ld(&td->epoch) : 0,
		.leaf = leaf | 0x8000, .cpu = sys->p.cpu(),
	};

	record(&t);
}

/**
 * tdxemu_count() - how often a leaf was called
 * @leaf: the leaf; of a guest's call, with 0x8000
 * @failed: how many of them returned an error; may be NULL
 */
u64 tdxemu_count(unsigned int leaf, u64 *failed)
{
	unsigned long flags = core_lock();
	u64 n = 0, bad = 0;
	unsigned int i;

	for (i = 0; i < nr_counts; i++) {
		if (counts[i].leaf != leaf)
			continue;
		n += counts[i].n;
		if (counts[i].status & ST_ERROR)
			bad += counts[i].n;
	}
	core_unlock(flags);
	if (failed)
		*failed = bad;
	return n;
}

/**
 * tdxemu_count_status() - the table of counters, row by row
 * @n: row, from 0
 * @leaf: leaf
 * @status: what it returned
 * @count: how often
 *
 * Return: 0, or -1 beyond the last row.
 */
int tdxemu_count_status(unsigned int n, u16 *leaf, u64 *status, u64 *count)
{
	unsigned long flags = core_lock();
	int ret = -1;

	if (n < nr_counts) {
		*leaf = counts[n].leaf;
		*status = counts[n].status;
		*count = counts[n].n;
		ret = 0;
	}
	core_unlock(flags);
	return ret;
}

/**
 * tdxemu_trace_get() - an entry of the ring
 * @back: 0 the last call, 1 the one before, ...
 * @t: the entry
 *
 * Return: false if there is none any more, or not yet.
 */
bool tdxemu_trace_get(unsigned int back, struct tdxemu_trace *t)
{
	unsigned long flags = core_lock();
	bool ok = back < TDXEMU_TRACE && back < seq;

	if (ok)
		*t = ring[(seq - back) % TDXEMU_TRACE];
	core_unlock(flags);
	return ok && t->seq;
}

static const char *const leaf_names[TDXEMU_NR_LEAVES] = {
	[VP_ENTER] = "VP.ENTER", [MNG_ADDCX] = "MNG.ADDCX",
	[MEM_PAGE_ADD] = "MEM.PAGE.ADD", [MEM_SEPT_ADD] = "MEM.SEPT.ADD",
	[VP_ADDCX] = "VP.ADDCX", [MEM_PAGE_RELOCATE] = "MEM.PAGE.RELOCATE",
	[MEM_PAGE_AUG] = "MEM.PAGE.AUG", [MEM_RANGE_BLOCK] = "MEM.RANGE.BLOCK",
	[MNG_KEY_CONFIG] = "MNG.KEY.CONFIG", [MNG_CREATE] = "MNG.CREATE",
	[VP_CREATE] = "VP.CREATE", [MNG_RD] = "MNG.RD",
	[MEM_PAGE_DEMOTE] = "MEM.PAGE.DEMOTE", [MR_EXTEND] = "MR.EXTEND",
	[MR_FINALIZE] = "MR.FINALIZE", [VP_FLUSH] = "VP.FLUSH",
	[MNG_VPFLUSHDONE] = "MNG.VPFLUSHDONE", [MNG_KEY_FREEID] = "MNG.KEY.FREEID",
	[MNG_INIT] = "MNG.INIT", [VP_INIT] = "VP.INIT",
	[MEM_PAGE_PROMOTE] = "MEM.PAGE.PROMOTE", [PHYMEM_PAGE_RDMD] = "PHYMEM.PAGE.RDMD",
	[MEM_SEPT_RD] = "MEM.SEPT.RD", [VP_RD] = "VP.RD",
	[PHYMEM_PAGE_RECLAIM] = "PHYMEM.PAGE.RECLAIM",
	[MEM_PAGE_REMOVE] = "MEM.PAGE.REMOVE", [MEM_SEPT_REMOVE] = "MEM.SEPT.REMOVE",
	[SYS_KEY_CONFIG] = "SYS.KEY.CONFIG", [SYS_INIT] = "SYS.INIT",
	[SYS_RD] = "SYS.RD", [SYS_LP_INIT] = "SYS.LP.INIT",
	[SYS_TDMR_INIT] = "SYS.TDMR.INIT", [MEM_TRACK] = "MEM.TRACK",
	[MEM_RANGE_UNBLOCK] = "MEM.RANGE.UNBLOCK", [PHYMEM_CACHE_WB] = "PHYMEM.CACHE.WB",
	[PHYMEM_PAGE_WBINVD] = "PHYMEM.PAGE.WBINVD", [VP_WR] = "VP.WR",
	[PHYMEM_PAMT_ADD] = "PHYMEM.PAMT.ADD",
	[PHYMEM_PAMT_REMOVE] = "PHYMEM.PAMT.REMOVE",
	[SYS_CONFIG] = "SYS.CONFIG", [SYS_SHUTDOWN] = "SYS.SHUTDOWN",
	[SYS_UPDATE] = "SYS.UPDATE", [SYS_DISABLE] = "SYS.DISABLE",
};

static const char *const guest_names[] = {
	[TDG_CALL_VP_VMCALL] = "TDG.VP.VMCALL", [TDG_CALL_VP_INFO] = "TDG.VP.INFO",
	[TDG_CALL_VEINFO_GET] = "TDG.VP.VEINFO.GET",
	[TDG_CALL_PAGE_ACCEPT] = "TDG.MEM.PAGE.ACCEPT",
	[TDG_CALL_VM_RD] = "TDG.VM.RD", [TDG_CALL_VM_WR] = "TDG.VM.WR",
};

const char *tdxemu_leaf_name(unsigned int leaf)
{
	const char *name = NULL;

	if (leaf & 0x8000) {
		leaf &= 0x7fff;
		if (leaf < ARRAY_LEN(guest_names))
			name = guest_names[leaf];
	} else if (leaf < TDXEMU_NR_LEAVES) {
		name = leaf_names[leaf];
	}
	return name ? name : "?";
}

#define NAME(x)	{ ST_##x & ST_MASK, #x }
static const struct {
	u64 status;
	const char *name;
} status_names[] = {
	NAME(SUCCESS), NAME(NON_RECOVERABLE_VCPU), NAME(NON_RECOVERABLE_TD),
	NAME(TD_NON_ACCESSIBLE), NAME(INTERRUPTED_RESUMABLE),
	NAME(INTERRUPTED_RESTARTABLE), NAME(OPERAND_INVALID),
	NAME(OPERAND_ADDR_RANGE_ERROR), NAME(OPERAND_BUSY),
	NAME(PREVIOUS_TLB_EPOCH_BUSY), NAME(SYS_BUSY), NAME(RND_NO_ENTROPY),
	NAME(PAGE_METADATA_INCORRECT), NAME(TD_ASSOCIATED_PAGES_EXIST),
	NAME(HPA_RANGE_NOT_FREE), NAME(MISSING_PAMT_PAGE_PAIR),
	NAME(SYS_INIT_NOT_PENDING), NAME(SYS_LP_INIT_NOT_DONE),
	NAME(SYS_LP_INIT_DONE), NAME(SYS_NOT_READY), NAME(SYS_SHUTDOWN),
	NAME(SYS_KEY_CONFIG_NOT_PENDING), NAME(SYS_LP_INIT_NOT_PENDING),
	NAME(SYS_CONFIG_NOT_PENDING), NAME(TD_FATAL), NAME(TDCS_NOT_ALLOCATED),
	NAME(LIFECYCLE_STATE_INCORRECT), NAME(OP_STATE_INCORRECT),
	NAME(NO_VCPUS), NAME(TDCX_NUM_INCORRECT), NAME(VCPU_STATE_INCORRECT),
	NAME(VCPU_ASSOCIATED), NAME(VCPU_NOT_ASSOCIATED),
	NAME(NO_VALID_VE_INFO), NAME(MAX_VCPUS_EXCEEDED), NAME(TSC_ROLLBACK),
	NAME(KEY_GENERATION_FAILED), NAME(TD_KEYS_NOT_CONFIGURED),
	NAME(KEY_STATE_INCORRECT), NAME(KEY_CONFIGURED),
	NAME(WBCACHE_NOT_COMPLETE), NAME(HKID_NOT_FREE),
	NAME(NO_HKID_READY_TO_WBCACHE), NAME(WBCACHE_RESUME_ERROR),
	NAME(FLUSHVP_NOT_DONE), NAME(INVALID_TDMR), NAME(NON_ORDERED_TDMR),
	NAME(TDMR_OUTSIDE_CMRS), NAME(TDMR_ALREADY_INITIALIZED),
	NAME(INVALID_PAMT), NAME(PAMT_OVERLAP), NAME(INVALID_RESERVED_IN_TDMR),
	NAME(NON_ORDERED_RESERVED), NAME(EPT_WALK_FAILED),
	NAME(EPT_ENTRY_NOT_PRESENT), NAME(GPA_RANGE_NOT_BLOCKED),
	NAME(GPA_RANGE_ALREADY_BLOCKED), NAME(TLB_TRACKING_NOT_DONE),
	NAME(EPT_INVALID_PROMOTE_CONDITIONS), NAME(PAGE_ALREADY_ACCEPTED),
	NAME(PAGE_SIZE_MISMATCH), NAME(EPT_ENTRY_STATE_INCORRECT),
	NAME(EPT_PAGE_NOT_FREE), NAME(METADATA_FIELD_ID_INCORRECT),
	NAME(METADATA_FIELD_NOT_WRITABLE), NAME(METADATA_FIELD_NOT_READABLE),
};

const char *tdxemu_status_name(u64 status)
{
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(status_names); i++)
		if (status_names[i].status == (status & ST_MASK))
			return status_names[i].name;
	return "?";
}

/* Text without a C library: cut off where the buffer ends. */
struct text {
	char *p, *end;
};

static void put_c(struct text *t, char c)
{
	if (t->p + 1 < t->end) {
		*t->p++ = c;
		*t->p = 0;
	}
}

static void put_s(struct text *t, const char *s)
{
	while (*s)
		put_c(t, *s++);
}

static void put_x(struct text *t, u64 v)
{
	int shift = 60;

	put_s(t, "0x");
	while (shift && !(v >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		put_c(t, "0123456789abcdef"[v >> shift & 15]);
}

static void put_u(struct text *t, u64 v)
{
	char buf[20];
	int i = 0;

	do
		buf[i++] = '0' + v % 10;
	while (v /= 10);
	while (i--)
		put_c(t, buf[i]);
}

/**
 * tdxemu_trace_line() - a call as a line of text
 * @t: the call
 * @buf: where to
 * @size: of @buf; 160 is ample
 *
 * Return: length of the text.
 */
int tdxemu_trace_line(const struct tdxemu_trace *t, char *buf, unsigned int size)
{
	struct text x = { buf, buf + size };

	*buf = 0;
	put_c(&x, '#');
	put_u(&x, t->seq);
	put_s(&x, " cpu ");
	put_u(&x, t->cpu);
	put_c(&x, ' ');
	put_s(&x, tdxemu_leaf_name(t->leaf));
	put_s(&x, " rcx ");
	put_x(&x, t->rcx);
	put_s(&x, " rdx ");
	put_x(&x, t->rdx);
	put_s(&x, " r8 ");
	put_x(&x, t->r8);
	put_s(&x, " -> ");
	put_s(&x, tdxemu_status_name(t->status));
	put_c(&x, ' ');
	put_x(&x, t->status);
	if (t->epoch) {
		put_s(&x, " epoch ");
		put_u(&x, t->epoch);
	}
	if (t->injected)
		put_s(&x, " (injected)");
	return x.p - buf;
}

/**
 * tdxemu_violation_line() - a broken rule as a line of text
 * @v: the violation
 * @buf: where to
 * @size: of @buf; 200 is ample
 *
 * Return: length of the text.
 */
int tdxemu_violation_line(const struct tdxemu_violation *v, char *buf, unsigned int size)
{
	struct text x = { buf, buf + size };
	const char *s;

	*buf = 0;
	put_s(&x, v->name);
	put_s(&x, ": ");
	for (s = v->what; *s; s++) {
		if (s[0] == '%' && s[1] >= '0' && s[1] <= '3')
			put_x(&x, v->v[*++s - '0']);
		else
			put_c(&x, *s);
	}
	put_s(&x, " (");
	put_s(&x, v->leaf == 0xffff ? "no call" : tdxemu_leaf_name(v->leaf));
	put_s(&x, ", cpu ");
	put_u(&x, v->cpu);
	put_c(&x, ')');
	return x.p - buf;
}
