// SPDX-License-Identifier: GPL-2.0
/* Violations of the oracle's rules: counted, and told to the embedder. */

#include "core.h"

static u64 counts[TDXEMU_NR_RULES];

static const char *const names[TDXEMU_NR_RULES] = {
	[TDXEMU_RULE_STALE_TLB] = "stale-tlb",
	[TDXEMU_RULE_ALIAS] = "alias",
	[TDXEMU_RULE_BLOCKED] = "left-blocked",
	[TDXEMU_RULE_WRITE_BACK] = "write-back",
	[TDXEMU_RULE_WRONG_HKID] = "wrong-hkid",
	[TDXEMU_RULE_HKID_REUSE] = "hkid-reuse",
	[TDXEMU_RULE_TOUCHED] = "touched",
	[TDXEMU_RULE_CHLDCNT] = "chldcnt",
	[TDXEMU_RULE_CHILD_STATE] = "child-state",
	[TDXEMU_RULE_CONTENTS] = "contents",
	[TDXEMU_RULE_BUSY] = "busy-no-kick",
	[TDXEMU_RULE_RESTART] = "restart",
	[TDXEMU_RULE_LEAK] = "hkid-leak",
	[TDXEMU_RULE_CALL] = "call",
};

void report_reset(void)
{
	memset(counts, 0, sizeof(counts));
}

void violation(struct call *c, enum tdxemu_rule rule, const char *what,
	       u64 v0, u64 v1, u64 v2, u64 v3)
{
	struct tdxemu_violation v = {
		.rule = rule, .name = names[rule], .what = what,
		.v = { v0, v1, v2, v3 },
		.leaf = c ? c->leaf : 0xffff, .cpu = sys->p.cpu(),
	};

	atomic_add(&counts[rule], 1);
	if (sys->p.violation)
		sys->p.violation(&v);
}

/** tdxemu_violations() - how often a rule was broken */
u64 tdxemu_violations(enum tdxemu_rule rule)
{
	return rule < TDXEMU_NR_RULES ? atomic_get(&counts[rule]) : 0;
}
