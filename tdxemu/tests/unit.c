// SPDX-License-Identifier: GPL-2.0
/* Unit tests of the core. Usage: unit [NAME...]. VERBOSE=1 shows violations. */

#include "unit.h"

static const struct {
	const char *name;
	void (*fn)(void);
} tests[] = {
	{ "sys", test_sys }, { "td", test_td }, { "vcpu", test_vcpu },
	{ "sept", test_sept }, { "resize", test_resize }, { "epoch", test_epoch },
	{ "guest", test_guest }, { "oracle", test_oracle }, { "fault", test_fault },
	{ "dpamt", test_dpamt }, { "threads", test_threads },
};

int main(int argc, char **argv)
{
	unsigned int i;
	int j;

	printf("TAP version 13\n");
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		for (j = 1; j < argc; j++)
			if (!strcmp(argv[j], tests[i].name))
				break;
		if (argc == 1 || j < argc)
			tests[i].fn();
	}
	return test_summary();
}
