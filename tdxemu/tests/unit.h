/* SPDX-License-Identifier: GPL-2.0 */
#ifndef __TDXEMU_TESTS_UNIT_H
#define __TDXEMU_TESTS_UNIT_H

#include "host.h"

void test_sys(void);
void test_td(void);
void test_vcpu(void);
void test_sept(void);
void test_resize(void);
void test_epoch(void);
void test_guest(void);
void test_oracle(void);
void test_fault(void);
void test_dpamt(void);
void test_threads(void);

/* sept.c: an S-EPT entry in a state that was asked for */
#define GPA	(512 * GB)	/* aligned to every level */

const char *state_name(u8 state);
bool put_state(struct td *td, u64 gpa, unsigned int level, u8 state, u64 *hpa);
bool accept_page(struct td *td, u64 gpa, unsigned int level, u64 want);

#endif
