// SPDX-License-Identifier: GPL-2.0
/*
 * libFuzzer target: two TDs, their vCPUs and their host do what the input says,
 * and every answer of the core is compared with the model's. While a vCPU is in
 * the guest, the next operations are what happens meanwhile.
 */

#include "model.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define HOST_CPU	3
#define REGION(i)	(512 * GB + (i) * 2 * MB)

static struct model m;
static const u8 *input;
static size_t left;

static u8 byte(void)
{
	return left ? left--, *input++ : 0;
}

static void show(void)
{
	struct tdxemu_trace t;
	char line[200];
	int i;

	for (i = 63; i >= 0; i--)
		if (tdxemu_trace_get(i, &t)) {
			tdxemu_trace_line(&t, line, sizeof(line));
			fprintf(stderr, "%s\n", line);
		}
}

static void must(bool good, const char *what, u64 got, u64 want)
{
	if (good)
		return;
	show();
	fprintf(stderr, "%s: 0x%llx (%s), the model says 0x%llx (%s)\n", what,
		got, tdxemu_status_name(got), want, tdxemu_status_name(want));
	abort();
}

static void same(const char *what, u64 got, u64 want)
{
	must(got == want, what, got, want);
}

static struct where where(void)
{
	static const u16 index[] = { 0, 1, 2, 511 };
	u8 b = byte();

	return (struct where){
		.region = b & 1, .index = index[b >> 1 & 3], .level = b >> 3 & 1,
	};
}

static u64 rcx(const struct where *w)
{
	return REGION(w->region) + (w->level ? 0 : w->index * PAGE) | w->level;
}

static u64 page(void)
{
	static const u16 index[] = { 0, 1, 2, 511 };
	u8 b = byte();

	if (m.dynamic && (b & 0xe0) == 0xe0)
		return m.spare[b % M_PAIRS];
	if (b & 0x80)
		return m.table[b % M_TABLES];
	return m.block[b & 3] + index[b >> 2 & 3] * PAGE;
}

/* What a leaf did against what it must have done. */
static void compare(u16 leaf, u64 got, struct answer a)
{
	must(got == a.status, tdxemu_leaf_name(leaf), got, a.status);
	if (a.info)
		same("RDX", out.rdx, a.rdx);
	else if (leaf != PHYMEM_PAGE_WBINVD && leaf != MEM_TRACK)
		same("RDX", out.rdx, 0);
	if (!got && !a.info && leaf != PHYMEM_PAGE_WBINVD && leaf != MEM_TRACK)
		same("RCX", out.rcx, a.rcx);
	same("pages used again", host.violations[TDXEMU_RULE_WRITE_BACK], m.reused);
	same("written back with another key", host.violations[TDXEMU_RULE_WRONG_HKID],
	     m.wrong_hkid);
	same("violations", host_violations(), m.reused + m.wrong_hkid);
}

static void run_ops(struct mtd *t, struct vcpu *v, struct tdxemu_vp *vp);

static struct mtd *entering;
static struct vcpu *entering_vcpu;

static u64 guest(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	struct vcpu *v = entering_vcpu;
	struct mtd *t = entering;

	model_enter(t, v);
	run_ops(t, v, vp);
	v->inside = false;
	return EXIT_EXTERNAL_INTERRUPT;
}

static void enter(struct mtd *t, struct vcpu *v)
{
	unsigned int n = v - t->vcpu, cpu = host.cpu;
	u64 s;

	entering = t;
	entering_vcpu = v;
	host.guest = guest;
	host.cpu = n;
	if (t != &m.td[0])
		host.cpu = n + 2;
	s = call(VP_ENTER, t->td.vp[n], 0, 0, 0);
	same("VP.ENTER", s, EXIT_EXTERNAL_INTERRUPT);
	host.cpu = cpu;
}

static void access_memory(struct mtd *t, struct vcpu *v, struct tdxemu_vp *vp)
{
	struct where w = where();
	struct tdxemu_access a;
	enum tdxemu_access_result want, got;
	u64 hpa = 0, *p, *tag = &t->region[w.region].tag[w.index];

	w.level = 0;
	want = model_access(t, v, &w, &hpa);
	got = tdxemu_access(vp, rcx(&w) + 8, TDXEMU_WRITE, &a);
	same("access", got, want);
	if (got != TDXEMU_OK)
		return;
	same("page of an access", a.hpa, hpa + 8);
	p = host_va(a.hpa);
	same("contents", *p, *tag);
	*p = *tag = byte() + 1;
}

static void accept(struct mtd *t, struct vcpu *v, struct tdxemu_vp *vp)
{
	struct where w = where();
	struct tdxemu_access a;
	enum tdxemu_access_result want, got;
	u64 status = 0;

	want = model_accept(t, &w, &status);
	got = tdxemu_accept(vp, rcx(&w), &a);
	same("accept", got, want);
	if (got == TDXEMU_STATUS)
		same("status of an accept", a.status, status);
}

/* Operands that no state of anything makes good. */
static void bad_operand(struct mtd *t)
{
	static const u16 leaf[] = {
		MEM_PAGE_AUG, MEM_SEPT_ADD, MEM_RANGE_BLOCK, MEM_RANGE_UNBLOCK,
		MEM_PAGE_REMOVE, MEM_SEPT_REMOVE, MEM_PAGE_DEMOTE, MEM_PAGE_PROMOTE,
		MEM_SEPT_RD, MEM_PAGE_RELOCATE,
	};
	u16 l = leaf[byte() % (sizeof(leaf) / sizeof(leaf[0]))];
	struct where w = where();
	u8 how = byte();
	u64 operand = rcx(&w), tdr = t->td.tdr, want = ST_OPERAND_INVALID | OP_RCX;

	switch (how & 3) {
	case 0:
		operand |= 8ull << (how >> 2) % 9;	/* bits 11:3 */
		break;
	case 1:
		operand |= 1ull << (47 + (how >> 2) % 17);
		break;
	case 2:
		operand = (operand & ~7ull) | (4 + (how >> 2 & 3));
		break;
	case 3:
		tdr = t->td.root;
		want = ST_PAGE_METADATA_INCORRECT | OP_RDX;
		break;
	}
	same("bad operand", call(l, operand, tdr, page(), 0), want);
}

/* Entries that the model and the S-EPT have, all of them. */
static void compare_all(void)
{
	unsigned int t, r, i;

	for (t = 0; t < M_TDS; t++)
		for (r = 0; r < M_REGIONS; r++) {
			struct region *reg = &m.td[t].region[r];
			struct tdxemu_td *td = tdxemu_td_at(m.td[t].td.tdr);
			struct tdxemu_sept_entry e;

			tdxemu_sept_lookup(td, REGION(r), 1, &e);
			same("state", e.state, model_state(&reg->large));
			for (i = 0; i < 512 && reg->large.kind == TABLE && !reg->large.blocked; i++) {
				tdxemu_sept_lookup(td, REGION(r) + i * PAGE, 0, &e);
				same("state", e.state, model_state(&reg->small[i]));
				if (reg->small[i].kind == LEAF)
					same("page", e.hpa, reg->small[i].hpa);
			}
		}
}

static void aug(struct mtd *t, const struct where *w, u64 hpa)
{
	compare(MEM_PAGE_AUG, call(MEM_PAGE_AUG, rcx(w), t->td.tdr, hpa, 0),
		model_aug(&m, t, w, hpa));
}

static void sept_add(struct mtd *t, const struct where *w, u64 hpa)
{
	compare(MEM_SEPT_ADD, call(MEM_SEPT_ADD, rcx(w), t->td.tdr, hpa, 0),
		model_sept_add(&m, t, w, hpa));
}

static void block(struct mtd *t, const struct where *w)
{
	compare(MEM_RANGE_BLOCK, call(MEM_RANGE_BLOCK, rcx(w), t->td.tdr, 0, 0),
		model_block(&m, t, w));
}

static void unblock(struct mtd *t, const struct where *w)
{
	compare(MEM_RANGE_UNBLOCK, call(MEM_RANGE_UNBLOCK, rcx(w), t->td.tdr, 0, 0),
		model_unblock(&m, t, w));
}

static void track(struct mtd *t)
{
	compare(MEM_TRACK, call(MEM_TRACK, t->td.tdr, 0, 0, 0), model_track(&m, t));
}

static void remove_page(struct mtd *t, const struct where *w)
{
	compare(MEM_PAGE_REMOVE, call(MEM_PAGE_REMOVE, rcx(w), t->td.tdr, 0, 0),
		model_remove(&m, t, w));
}

/* Mostly pages that are kept for that. */
static void choose_pair(u64 pair[2])
{
	unsigned int i;
	u8 b;

	pair[0] = pair[1] = 1;
	for (i = 0; m.dynamic && i < 2; i++) {
		b = byte();
		pair[i] = b < 0xc0 ? m.spare[b % M_PAIRS] : page();
	}
}

static void demote(struct mtd *t, const struct where *w, u64 hpa)
{
	u64 pair[2];

	choose_pair(pair);
	compare(MEM_PAGE_DEMOTE,
		call2(MEM_PAGE_DEMOTE, rcx(w), t->td.tdr, hpa, pair[0], pair[1]),
		model_demote(&m, t, w, hpa, false, pair));
}

static void pamt_add(unsigned int block)
{
	u64 pair[2];

	choose_pair(pair);
	same("PAMT.ADD", call(PHYMEM_PAMT_ADD, m.block[block] | 1, pair[0], pair[1], 0),
	     model_pamt_add(&m, block, pair).status);
}

static void pamt_remove(unsigned int block)
{
	struct answer a = model_pamt_remove(&m, block);

	same("PAMT.REMOVE", call(PHYMEM_PAMT_REMOVE, m.block[block] | 1, 0, 0, 0), a.status);
	if (a.status)
		return;
	same("RDX", out.rdx, a.pair.page[0]);
	same("R8", out.r8, a.pair.page[1]);
}

/* A block for pages of 4 KiB, or for one of 2 MiB. */
static void pamt(u8 b)
{
	if (!m.dynamic)
		return;
	if (b & 0x80)
		pamt_remove(b % M_BLOCKS);
	else
		pamt_add(b % M_BLOCKS);
}

/* An interrupt comes when it has filled the new page. */
static void demote_interrupted(struct mtd *t, const struct where *w, u64 hpa)
{
	static const u64 pair[2] = { 1, 1 };
	struct answer a = model_demote(&m, t, w, hpa, true, pair);
	u64 got;

	host.irq = true;
	got = call2(MEM_PAGE_DEMOTE, rcx(w), t->td.tdr, hpa, pair[0], pair[1]);
	host.irq = false;
	if (a.status == ST_INTERRUPTED_RESTARTABLE) {
		same("DEMOTE", got, a.status);
		same("RCX", out.rcx, rcx(w));
		same("RDX", out.rdx, t->td.tdr);
		/* What the host does if it gives up: the next call is for anything. */
		compare(MEM_RANGE_UNBLOCK, call(MEM_RANGE_UNBLOCK, rcx(w), t->td.tdr, 0, 0),
			model_unblock(&m, t, w));
		return;
	}
	compare(MEM_PAGE_DEMOTE, got, a);
}

static void promote(struct mtd *t, const struct where *w)
{
	struct answer a = model_promote(&m, t, w);

	compare(MEM_PAGE_PROMOTE, call2(MEM_PAGE_PROMOTE, rcx(w), t->td.tdr, 0, 12, 13), a);
	same("R12", out.r12, a.pair.there ? a.pair.page[0] : 12);
	same("R13", out.r13, a.pair.there ? a.pair.page[1] : 13);
}

static void write_back(u64 hpa, unsigned int hkid)
{
	compare(PHYMEM_PAGE_WBINVD, wbinvd(hkid, hpa), model_wbinvd(&m, hpa, hkid));
}

#define HOST_OPS	22

/* Single calls, and what hosts do in a row: random input rarely hits on that. */
static void host_op(u8 op, struct mtd *t)
{
	struct where w = where(), large = w;
	unsigned int cpu = host.cpu;

	large.level = 1;
	host.cpu = HOST_CPU;
	switch (op) {
	case 0:
		aug(t, &w, page());
		break;
	case 1:
		sept_add(t, &large, page());
		break;
	case 2:
		block(t, &w);
		break;
	case 3:
		unblock(t, &w);
		break;
	case 4:
		track(t);
		break;
	case 5:
		remove_page(t, &w);
		break;
	case 6:
		compare(MEM_SEPT_REMOVE, call(MEM_SEPT_REMOVE, rcx(&large), t->td.tdr, 0, 0),
			model_sept_remove(&m, t, &large));
		break;
	case 7:
		demote(t, &large, page());
		break;
	case 8:
		promote(t, &large);
		break;
	case 9:
		compare(MEM_SEPT_RD, call(MEM_SEPT_RD, rcx(&w), t->td.tdr, 0, 0),
			model_rd(&m, t, &w));
		break;
	case 10:
		write_back(page(), byte() & 7 ? t->td.hkid : m.td[0].td.hkid);
		break;
	case 11:
		bad_operand(t);
		break;
	case 12:
		aug(t, &large, m.block[byte() % M_BLOCKS]);
		break;
	case 13:
		sept_add(t, &large, m.table[byte() % M_TABLES]);
		break;
	case 14:
		block(t, &w);
		track(t);
		break;
	case 15:
		block(t, &large);
		track(t);
		demote(t, &large, m.table[byte() % M_TABLES]);
		break;
	case 16:
		block(t, &large);
		track(t);
		promote(t, &large);
		break;
	case 17:
		block(t, &w);
		track(t);
		remove_page(t, &w);
		break;
	case 18:
		block(t, &w);
		track(t);
		unblock(t, &w);
		break;
	case 19:
		block(t, &large);
		track(t);
		demote_interrupted(t, &large, m.table[byte() % M_TABLES]);
		break;
	case 20:
	case 21:
		pamt(byte());
		break;
	}
	host.cpu = cpu;
}

/* Until the input ends, or the vCPU that runs leaves. */
static void run_ops(struct mtd *t, struct vcpu *v, struct tdxemu_vp *vp)
{
	while (left) {
		u8 op = byte() % (HOST_OPS + 10);

		if (op < HOST_OPS) {
			host_op(op, &m.td[byte() % M_TDS]);
		} else if (op < HOST_OPS + 3) {
			struct mtd *other = &m.td[byte() % M_TDS];
			struct vcpu *w = &other->vcpu[byte() % other->td.nr_vcpus];

			if (!w->inside)
				enter(other, w);
		} else if (vp && op == HOST_OPS + 3) {
			return;
		} else if (vp && op < HOST_OPS + 6) {
			access_memory(t, v, vp);
		} else if (vp) {
			accept(t, v, vp);
		}
	}
}

/* What was reached: leaf, status, how often. */
static void statistics(void)
{
	u64 status, count;
	unsigned int i;
	u16 leaf;

	for (i = 0; !tdxemu_count_status(i, &leaf, &status, &count); i++)
		fprintf(stderr, "%s 0x%llx %s: %llu\n", tdxemu_leaf_name(leaf), status,
			tdxemu_status_name(status), count);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	if (getenv("STATISTICS"))
		atexit(statistics);
	host_boot(getenv("DYNAMIC_PAMT") ? &(struct boot){
		.features0 = TDXEMU_F0_DEFAULT | TDXEMU_F0_DYNAMIC_PAMT,
		.dynamic_pamt = true } : NULL);
	return 0;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	unsigned int i;

	memset(&m, 0, sizeof(m));
	host_clear_violations();
	for (i = 0; i < M_TDS; i++) {
		td_new(&m.td[i].td, M_VCPUS - i, true);
		td_tables(&m.td[i].td, REGION(0), 1);
		/* VP.INIT has associated it with CPU 0. */
		if (i) {
			host.cpu = 0;
			same("VP.FLUSH", call(VP_FLUSH, m.td[i].td.vp[0], 0, 0, 0), 0);
		}
		/* MNG.INIT begins with 1. */
		m.td[i].epoch = 1;
	}
	for (i = 0; i < M_BLOCKS; i++)
		m.block[i] = host_page_2m();
	for (i = 0; i < M_TABLES; i++)
		m.table[i] = host_page();
	m.dynamic = host.dynamic_pamt;
	/* The same ones each time: those of the host's own pairs stay taken. */
	for (i = 0; m.dynamic && i < M_PAIRS; i++)
		m.spare[i] = 2 * MB - (i + 1) * PAGE;
	input = data;
	left = size;
	host.cpu = HOST_CPU;
	run_ops(NULL, NULL, NULL);
	compare_all();
	for (i = 0; i < M_TDS; i++)
		same("pages of a TD", tdxemu_check_td(tdxemu_td_at(m.td[i].td.tdr)), 0);
	for (i = 0; i < M_TDS; i++)
		td_end(&m.td[i].td);
	for (i = 0; i < M_BLOCKS; i++)
		if (m.pair[i].there) {
			same("PAMT.REMOVE", call(PHYMEM_PAMT_REMOVE, m.block[i] | 1, 0, 0, 0), 0);
			same("RDX", out.rdx, m.pair[i].page[0]);
			same("R8", out.r8, m.pair[i].page[1]);
		}
	same("violations", host_violations(), m.reused + m.wrong_hkid);
	same("vCPUs left", host.vps, 0);
	same("checks failed", check_failures(), 0);
	return 0;
}
