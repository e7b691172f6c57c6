// SPDX-License-Identifier: GPL-2.0
/* See model.h. */

#include "model.h"

struct mpage *model_page(struct model *m, u64 hpa)
{
	unsigned int i;

	for (i = 0; i < M_BLOCKS; i++)
		if (hpa >= m->block[i] && hpa < m->block[i] + 2 * MB)
			return &m->page[i][(hpa - m->block[i]) / PAGE];
	for (i = 0; i < M_TABLES; i++)
		if (hpa == m->table[i])
			return &m->table_page[i];
	for (i = 0; i < M_PAIRS; i++)
		if (hpa == m->spare[i])
			return &m->spare_page[i];
	return NULL;
}

static int block_of(struct model *m, u64 hpa)
{
	int i;

	for (i = 0; i < M_BLOCKS; i++)
		if (hpa - m->block[i] < 2 * MB)
			return i;
	return -1;
}

/* Is there a pair where a page is from? Tables have one, what is spare has none. */
static bool has_pair(struct model *m, u64 hpa)
{
	int b = block_of(m, hpa), i;

	if (b >= 0)
		return m->pair[b].there;
	for (i = 0; i < M_PAIRS; i++)
		if (hpa == m->spare[i])
			return false;
	return true;
}

u8 model_state(const struct entry *e)
{
	if (e->kind == FREE)
		return S_FREE;
	if (e->kind == TABLE)
		return e->blocked ? S_NL_BLOCKED : S_NL_MAPPED;
	if (e->pending)
		return e->blocked ? S_PENDING_BLOCKED : S_PENDING;
	return e->blocked ? S_BLOCKED : S_MAPPED;
}

static struct answer ok(u64 rcx)
{
	return (struct answer){ .rcx = rcx };
}

static struct answer fail(u64 status)
{
	return (struct answer){ .status = status };
}

static struct answer fail_at(u64 status, const struct entry *e, unsigned int level)
{
	return (struct answer){
		.status = status | OP_RCX, .info = true,
		.rdx = (u64)model_state(e) << 8 | level,
	};
}

/* NULL: the walk ends above, and *a says how. */
struct entry *model_entry(struct mtd *t, const struct where *w, struct answer *a)
{
	struct region *r = &t->region[w->region];

	if (w->level)
		return &r->large;
	if (r->large.kind == TABLE && !r->large.blocked)
		return &r->small[w->index];
	*a = fail_at(ST_EPT_WALK_FAILED, &r->large, 1);
	return NULL;
}

/* No vCPU can have a translation from before the BLOCK. */
static bool tracked(struct mtd *t, const struct entry *e)
{
	unsigned int i;

	if (t->epoch <= e->when)
		return false;
	for (i = 0; i < M_VCPUS; i++)
		if (t->vcpu[i].inside && t->vcpu[i].epoch <= e->when)
			return false;
	return true;
}

static bool may_go(struct mtd *t, const struct entry *e, unsigned int level,
		   struct answer *a)
{
	if (!e->blocked) {
		*a = fail_at(ST_GPA_RANGE_NOT_BLOCKED, e, level);
		return false;
	}
	if (!tracked(t, e)) {
		*a = fail(ST_TLB_TRACKING_NOT_DONE | OP_RCX);
		return false;
	}
	return true;
}

/*
 * Is the page, or all of the block, free? Notes what was not written back. A block is
 * one page, or has a pair, and then its pages are pages.
 */
static bool take(struct model *m, u64 hpa, unsigned int level, struct answer *a)
{
	unsigned int i, n = level ? 512 : 1;

	*a = fail(ST_PAGE_METADATA_INCORRECT | OP_R8);
	if (m->dynamic && has_pair(m, hpa) == !!level) {
		if (!level && !model_page(m, hpa)->large)
			a->status = ST_MISSING_PAMT_PAGE_PAIR | OP_R8;
		return false;
	}
	for (i = 0; i < n; i++)
		if (model_page(m, hpa + i * PAGE)->used)
			return false;
	for (i = 0; i < n; i++) {
		struct mpage *p = model_page(m, hpa + i * PAGE);

		m->reused += p->dirty;
		*p = (struct mpage){ .used = true, .large = level };
	}
	return true;
}

static void give(struct model *m, struct mtd *t, u64 hpa, unsigned int level)
{
	unsigned int i, n = level ? 512 : 1;

	for (i = 0; i < n; i++)
		*model_page(m, hpa + i * PAGE) = (struct mpage){
			.dirty = true, .hkid = t->td.hkid,
		};
}

struct answer model_aug(struct model *m, struct mtd *t, const struct where *w, u64 hpa)
{
	struct answer a;
	struct entry *e = model_entry(t, w, &a);

	if (!e)
		return a;
	if (e->kind != FREE)
		return fail_at(ST_EPT_ENTRY_STATE_INCORRECT, e, w->level);
	if (w->level && hpa & (2 * MB - 1))
		return fail(ST_OPERAND_INVALID | OP_R8);
	if (!take(m, hpa, w->level, &a))
		return a;
	*e = (struct entry){ .kind = LEAF, .pending = true, .hpa = hpa };
	return ok(0);
}

struct answer model_sept_add(struct model *m, struct mtd *t, const struct where *w, u64 hpa)
{
	struct region *r = &t->region[w->region];
	struct answer a;

	if (r->large.kind != FREE)
		return fail_at(ST_EPT_ENTRY_STATE_INCORRECT, &r->large, 1);
	if (!take(m, hpa, 0, &a))
		return a;
	r->large = (struct entry){ .kind = TABLE, .hpa = hpa };
	memset(r->small, 0, sizeof(r->small));
	return ok(0);
}

struct answer model_block(struct model *m, struct mtd *t, const struct where *w)
{
	struct answer a;
	struct entry *e = model_entry(t, w, &a);

	if (!e)
		return a;
	if (e->kind == FREE)
		return fail_at(ST_EPT_ENTRY_STATE_INCORRECT, e, w->level);
	if (e->blocked)
		return fail_at(ST_GPA_RANGE_ALREADY_BLOCKED, e, w->level);
	e->blocked = true;
	e->when = t->epoch;
	return ok(0);
}

struct answer model_unblock(struct model *m, struct mtd *t, const struct where *w)
{
	struct answer a;
	struct entry *e = model_entry(t, w, &a);

	if (!e)
		return a;
	if (!e->blocked)
		return fail_at(ST_EPT_ENTRY_STATE_INCORRECT, e, w->level);
	if (!may_go(t, e, w->level, &a))
		return a;
	e->blocked = false;
	return ok(0);
}

struct answer model_track(struct model *m, struct mtd *t)
{
	unsigned int i;

	for (i = 0; i < M_VCPUS; i++)
		if (t->vcpu[i].inside && t->vcpu[i].epoch < t->epoch)
			return fail(ST_PREVIOUS_TLB_EPOCH_BUSY);
	t->epoch++;
	return ok(0);
}

struct answer model_remove(struct model *m, struct mtd *t, const struct where *w)
{
	struct answer a;
	struct entry *e = model_entry(t, w, &a);
	u64 hpa;

	if (!e)
		return a;
	if (e->kind != LEAF)
		return fail_at(ST_EPT_ENTRY_STATE_INCORRECT, e, w->level);
	if (!may_go(t, e, w->level, &a))
		return a;
	hpa = e->hpa;
	give(m, t, hpa, w->level);
	*e = (struct entry){ .kind = FREE };
	return ok(hpa);
}

struct answer model_sept_remove(struct model *m, struct mtd *t, const struct where *w)
{
	struct region *r = &t->region[w->region];
	struct answer a;
	unsigned int i;
	u64 hpa = r->large.hpa;

	if (r->large.kind != TABLE)
		return fail_at(ST_EPT_ENTRY_STATE_INCORRECT, &r->large, 1);
	if (!may_go(t, &r->large, 1, &a))
		return a;
	for (i = 0; i < 512; i++)
		if (r->small[i].kind != FREE)
			return fail(ST_EPT_PAGE_NOT_FREE | OP_RCX);
	give(m, t, hpa, 0);
	r->large = (struct entry){ .kind = FREE };
	return ok(hpa);
}

/*
 * Two pages for the PAMT: free, not one and the same, and not @table, which the call has
 * for something else. A page needs no pair for that. Statuses name @op of each.
 */
static u64 pair_status(struct model *m, const u64 pair[2], const u32 op[2], u64 table)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		struct mpage *p = model_page(m, pair[i]);

		if (p->used && p->large)
			return ST_PAGE_METADATA_INCORRECT | op[i];
		if (pair[i] == table || (i && pair[1] == pair[0]))
			return ST_OPERAND_BUSY | op[i];
		if (p->used)
			return ST_PAGE_METADATA_INCORRECT | op[i];
	}
	return 0;
}

static void pair_comes(struct model *m, unsigned int block, const u64 pair[2])
{
	unsigned int i;

	m->pair[block] = (struct pair){ true, { pair[0], pair[1] } };
	for (i = 0; i < 2; i++) {
		struct mpage *p = model_page(m, pair[i]);

		m->reused += p->dirty;
		*p = (struct mpage){ .used = true };
	}
}

/* It is the host's again at once. */
static struct pair pair_goes(struct model *m, unsigned int block)
{
	struct pair p = m->pair[block];
	unsigned int i;

	m->pair[block].there = false;
	for (i = 0; i < 2; i++)
		*model_page(m, p.page[i]) = (struct mpage){ .used = false };
	return p;
}

struct answer model_pamt_add(struct model *m, unsigned int block, const u64 pair[2])
{
	static const u32 op[2] = { OP_RDX, OP_R8 };
	u64 s;

	if (m->pair[block].there || m->page[block][0].large)
		return fail(ST_HPA_RANGE_NOT_FREE | OP_RCX);
	s = pair_status(m, pair, op, ~0ull);
	if (s)
		return fail(s);
	pair_comes(m, block, pair);
	return ok(0);
}

/* Is a page the PAMT's? */
static bool in_pair(struct model *m, u64 hpa)
{
	unsigned int i;

	for (i = 0; i < M_BLOCKS; i++)
		if (m->pair[i].there && (m->pair[i].page[0] == hpa || m->pair[i].page[1] == hpa))
			return true;
	return false;
}

struct answer model_pamt_remove(struct model *m, unsigned int block)
{
	struct answer a = ok(0);
	unsigned int i;

	if (!m->pair[block].there)
		return fail(ST_PAGE_METADATA_INCORRECT | OP_RCX);
	for (i = 0; i < 512; i++)
		if (m->page[block][i].used && !in_pair(m, m->block[block] + i * PAGE))
			return fail(ST_HPA_RANGE_NOT_FREE | OP_RCX);
	a.pair = pair_goes(m, block);
	return a;
}

struct answer model_demote(struct model *m, struct mtd *t, const struct where *w, u64 hpa,
			   bool interrupt, const u64 pair[2])
{
	static const u32 op[2] = { OP_R12, OP_R13 };
	struct region *r = &t->region[w->region];
	struct entry old = r->large;
	struct mpage *p;
	struct answer a;
	unsigned int i;
	bool dirty;

	if (old.kind != LEAF)
		return fail_at(ST_EPT_ENTRY_STATE_INCORRECT, &old, 1);
	if (!may_go(t, &old, 1, &a))
		return a;
	/* A page that a DEMOTE of this TD was interrupted with needs no write-back. */
	p = model_page(m, hpa);
	dirty = p->dirty;
	if (p->failed && p->hkid == t->td.hkid)
		p->dirty = false;
	if (!take(m, hpa, 0, &a)) {
		p->dirty = dirty;
		return a;
	}
	a.status = interrupt ? ST_INTERRUPTED_RESTARTABLE :
		   m->dynamic ? pair_status(m, pair, op, hpa) : 0;
	if (a.status) {
		*p = (struct mpage){ .dirty = true, .failed = true, .hkid = t->td.hkid };
		return fail(a.status);
	}
	if (m->dynamic)
		pair_comes(m, block_of(m, old.hpa), pair);
	for (i = 0; i < 512; i++) {
		model_page(m, old.hpa + i * PAGE)->large = false;
		r->small[i] = (struct entry){
			.kind = LEAF, .pending = old.pending, .hpa = old.hpa + i * PAGE,
		};
	}
	r->large = (struct entry){ .kind = TABLE, .hpa = hpa };
	return ok(0);
}

struct answer model_promote(struct model *m, struct mtd *t, const struct where *w)
{
	struct region *r = &t->region[w->region];
	struct entry first = r->small[0];
	struct answer a;
	unsigned int i;
	u64 table = r->large.hpa;

	if (r->large.kind != TABLE)
		return fail_at(ST_EPT_ENTRY_STATE_INCORRECT, &r->large, 1);
	if (!may_go(t, &r->large, 1, &a))
		return a;
	for (i = 0; i < 512; i++) {
		struct entry *e = &r->small[i];

		if (e->kind != LEAF || e->blocked || e->pending != first.pending ||
		    e->hpa != first.hpa + i * PAGE || first.hpa & (2 * MB - 1))
			return fail_at(ST_EPT_INVALID_PROMOTE_CONDITIONS, &r->large, 1);
	}
	for (i = 0; i < 512; i++)
		model_page(m, first.hpa + i * PAGE)->large = true;
	r->large = (struct entry){
		.kind = LEAF, .pending = first.pending, .hpa = first.hpa,
	};
	give(m, t, table, 0);
	a = ok(table);
	if (m->dynamic)
		a.pair = pair_goes(m, block_of(m, first.hpa));
	return a;
}

struct answer model_rd(struct model *m, struct mtd *t, const struct where *w)
{
	struct answer a;
	struct entry *e = model_entry(t, w, &a);

	if (!e)
		return a;
	return (struct answer){ .info = true, .rdx = (u64)model_state(e) << 8 | w->level };
}

struct answer model_wbinvd(struct model *m, u64 hpa, unsigned int hkid)
{
	struct mpage *p = model_page(m, hpa);

	if (p->used)
		return fail(ST_PAGE_METADATA_INCORRECT | OP_RCX);
	if (p->dirty && p->hkid != hkid)
		m->wrong_hkid++;
	else
		p->dirty = p->failed = false;
	return ok(0);
}

/* Every vCPU has a CPU to itself: only its first entry and a new epoch flush. */
void model_enter(struct mtd *t, struct vcpu *v)
{
	if (!v->ran || v->epoch != t->epoch) {
		memset(v->small, 0, sizeof(v->small));
		memset(v->large, 0, sizeof(v->large));
	}
	v->ran = v->inside = true;
	v->epoch = t->epoch;
}

enum tdxemu_access_result model_access(struct mtd *t, struct vcpu *v,
				       const struct where *w, u64 *hpa)
{
	struct region *r = &t->region[w->region];
	struct entry *e = &r->large;

	if (v->small[w->region][w->index].valid) {
		*hpa = v->small[w->region][w->index].hpa;
		return TDXEMU_OK;
	}
	if (v->large[w->region].valid) {
		*hpa = v->large[w->region].hpa + w->index * PAGE;
		return TDXEMU_OK;
	}
	if (e->kind == TABLE && !e->blocked)
		e = &r->small[w->index];
	if (e->kind != LEAF || e->blocked || e->pending)
		return TDXEMU_EXIT;
	if (e == &r->large) {
		v->large[w->region] = (struct translation){ true, e->hpa };
		*hpa = e->hpa + w->index * PAGE;
	} else {
		v->small[w->region][w->index] = (struct translation){ true, e->hpa };
		*hpa = e->hpa;
	}
	return TDXEMU_OK;
}

enum tdxemu_access_result model_accept(struct mtd *t, const struct where *w, u64 *status)
{
	struct region *r = &t->region[w->region];
	struct entry *e = &r->large;
	unsigned int i;

	if (!w->level && e->kind == TABLE && e->blocked)
		return TDXEMU_EXIT;
	if (!w->level && e->kind == TABLE)
		e = &r->small[w->index];
	if (e->kind == TABLE) {
		*status = ST_PAGE_SIZE_MISMATCH | 1;
		return TDXEMU_STATUS;
	}
	if (e->kind == FREE || e->blocked)
		return TDXEMU_EXIT;
	if (!e->pending) {
		*status = ST_PAGE_ALREADY_ACCEPTED | (e == &r->large);
		return TDXEMU_STATUS;
	}
	if (!w->level && e == &r->large)
		return TDXEMU_EXIT;
	e->pending = false;
	for (i = 0; i < 512; i++)
		if (w->level || i == w->index)
			r->tag[i] = 0;
	*status = 0;
	return TDXEMU_STATUS;
}
