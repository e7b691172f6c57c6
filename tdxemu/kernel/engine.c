// SPDX-License-Identifier: GPL-2.0
/* Which engine executes TDs: the kernel parameter tdxemu_engine=. */
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "emu.h"

static const struct emu_engine * const engines[] = { &emu_interp, &emu_vmx };

const struct emu_engine *emu_engine __ro_after_init = &emu_interp;
static bool ready __ro_after_init;

static int __init set_engine(char *s)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(engines); i++) {
		if (strcmp(s, engines[i]->name))
			continue;
		emu_engine = engines[i];
		return 1;
	}
	return 0;
}
__setup("tdxemu_engine=", set_engine);

/* No other engine in its place: a run with one tells nothing of the other. */
static int __init engine_init(void)
{
	int err = emu_engine->init ? emu_engine->init() : 0;

	ready = !err;
	if (err)
		pr_err("tdxemu: no TD can run: engine '%s' failed to start: %d\n",
		       emu_engine->name, err);
	return 0;
}
/* Before anybody can make a TD. */
device_initcall(engine_init);

/**
 * emu_engine_ready() - can TDs run
 *
 * Return: false if the engine did not start. The console has the reason.
 */
bool emu_engine_ready(void)
{
	return ready;
}
