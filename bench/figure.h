/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How programs of bench/ and demo/ say what they have counted: bench/figures reads it
 * from the console, and lab/machines/boot does not show it.
 */
#ifndef BENCH_FIGURE_H
#define BENCH_FIGURE_H

#include <stdio.h>

/**
 * figure() - print one figure
 * @name: what was done, without a tab; with @unit unique in what a program prints
 * @unit: what is counted, without a tab
 * @value: how many
 */
static inline void figure(const char *name, const char *unit, unsigned long long value)
{
	printf("report: figure\t%s\t%s\t%llu\n", name, unit, value);
}

/**
 * figure_at() - print one point of a curve
 * @name: the curve, as in figure()
 * @x: where on the curve
 * @unit: as in figure()
 * @value: as in figure()
 */
static inline void figure_at(const char *name, unsigned long long x, const char *unit,
			     unsigned long long value)
{
	printf("report: figure\t%s\t%s\t%llu\t%llu\n", name, unit, value, x);
}

#endif /* BENCH_FIGURE_H */
