/* SPDX-License-Identifier: GPL-2.0 */
/* Parameters of KVM that patches under bench/ add. */
#ifndef BENCH_PARAM_H
#define BENCH_PARAM_H

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "test_util.h"

static inline FILE *open_param(const char *name, const char *mode)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/kvm/parameters/%s", name);
	f = fopen(path, mode);
	TEST_ASSERT(f, "No %s: not a kernel with the benchmark's patch", path);
	return f;
}

static inline void set_param(const char *name, u64 value)
{
	FILE *f = open_param(name, "w");

	fprintf(f, "%lu\n", value);
	TEST_ASSERT(!fclose(f), "%s: %s", name, strerror(errno));
}

static inline u64 get_param(const char *name)
{
	FILE *f = open_param(name, "r");
	u64 value;

	TEST_ASSERT(fscanf(f, "%lu", &value) == 1, "Cannot read %s", name);
	fclose(f);
	return value;
}

#endif
