/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A second opinion on the S-EPT, for the fuzzer: what TDs, pages and vCPUs are
 * like, in the plainest terms, and what a leaf therefore must answer. Nothing is
 * shared with the core but the numbers of statuses and states.
 */
#ifndef __TDXEMU_TESTS_MODEL_H
#define __TDXEMU_TESTS_MODEL_H

#include "host.h"

#define M_TDS		2
#define M_VCPUS		2	/* a TD */
#define M_REGIONS	2	/* of 2 MiB, a TD */
#define M_BLOCKS	4	/* of 2 MiB of memory */
#define M_TABLES	6	/* pages for tables */
#define M_PAIRS		6	/* pages for the PAMT, if it is dynamic */

enum kind { FREE, TABLE, LEAF };

struct entry {
	enum kind kind;
	bool blocked, pending;
	u64 hpa;
	u64 when;		/* epoch of the BLOCK */
};

struct region {
	struct entry large;
	struct entry small[512];
	u64 tag[512];		/* what the guest wrote last */
};

struct translation {
	bool valid;
	u64 hpa;
};

struct vcpu {
	bool inside, ran;
	u64 epoch;		/* at its last entry */
	struct translation small[M_REGIONS][512], large[M_REGIONS];
};

struct mtd {
	struct td td;
	u64 epoch;
	struct region region[M_REGIONS];
	struct vcpu vcpu[M_VCPUS];
};

/* What the module has to describe 4 KiB pages of a block, if the PAMT is dynamic. */
struct pair {
	bool there;
	u64 page[2];
};

/* A 4 KiB page: whose it is, or with which key it waits for its write-back. */
struct mpage {
	bool used, large, dirty;
	bool failed;		/* dirty by a DEMOTE that did not come to its end */
	unsigned int hkid;
};

struct model {
	struct mtd td[M_TDS];
	u64 block[M_BLOCKS], table[M_TABLES], spare[M_PAIRS];
	struct mpage page[M_BLOCKS][512], table_page[M_TABLES], spare_page[M_PAIRS];
	bool dynamic;
	struct pair pair[M_BLOCKS];
	unsigned int reused, wrong_hkid;	/* violations to come */
};

/* An address: region, page in it, and level. */
struct where {
	unsigned int region, index, level;
};

struct answer {
	u64 status;
	bool info;		/* RCX and RDX describe an entry */
	u64 rdx;
	u64 rcx;		/* of a success */
	struct pair pair;	/* comes back to the host */
};

struct mpage *model_page(struct model *m, u64 hpa);
struct entry *model_entry(struct mtd *t, const struct where *w, struct answer *a);
u8 model_state(const struct entry *e);

struct answer model_aug(struct model *m, struct mtd *t, const struct where *w, u64 hpa);
struct answer model_sept_add(struct model *m, struct mtd *t, const struct where *w, u64 hpa);
struct answer model_block(struct model *m, struct mtd *t, const struct where *w);
struct answer model_unblock(struct model *m, struct mtd *t, const struct where *w);
struct answer model_track(struct model *m, struct mtd *t);
struct answer model_remove(struct model *m, struct mtd *t, const struct where *w);
struct answer model_sept_remove(struct model *m, struct mtd *t, const struct where *w);
struct answer model_demote(struct model *m, struct mtd *t, const struct where *w, u64 hpa,
			   bool interrupt, const u64 pair[2]);
struct answer model_promote(struct model *m, struct mtd *t, const struct where *w);
struct answer model_pamt_add(struct model *m, unsigned int block, const u64 pair[2]);
struct answer model_pamt_remove(struct model *m, unsigned int block);
struct answer model_rd(struct model *m, struct mtd *t, const struct where *w);
struct answer model_wbinvd(struct model *m, u64 hpa, unsigned int hkid);

void model_enter(struct mtd *t, struct vcpu *v);
enum tdxemu_access_result model_access(struct mtd *t, struct vcpu *v,
				       const struct where *w, u64 *hpa);
enum tdxemu_access_result model_accept(struct mtd *t, const struct where *w, u64 *status);

#endif
