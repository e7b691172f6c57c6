/* SPDX-License-Identifier: GPL-2.0 */
/* The EPT of a CPU that executes a TD: shadow.c. */
#ifndef __TDXEMU_SHADOW_H
#define __TDXEMU_SHADOW_H

#include "emu.h"

int emu_shadow_init(void);
u64 emu_shadow_sync(struct emu_vcpu *v, bool *stale);
void emu_shadow_map(struct emu_vcpu *v, u64 gpa, u64 hpa, unsigned int level);
void emu_shadow_evicted(struct emu_vcpu *v, u64 gpa, unsigned int level);

#endif
