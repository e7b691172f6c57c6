// SPDX-License-Identifier: GPL-2.0
/*
 * Runs in the guest: fills memory with a pattern that depends on the address, and
 * checks all of it, a few times.
 *
 * Usage: check MIB [TIMES]
 *
 * With TIMES 0 it fills once, and checks until SIGTERM and once more then.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static uint64_t value(uint64_t word, uint64_t turn)
{
	return (word + 1) * 0x9e3779b97f4a7c15ull ^ turn;
}

static uint64_t *p, words, wrong;
static volatile sig_atomic_t enough;

static void on_term(int sig)
{
	(void)sig;
	enough = 1;
}

static void fill(uint64_t turn)
{
	for (uint64_t i = 0; i < words; i++)
		p[i] = value(i, turn);
}

static void check(uint64_t turn)
{
	for (uint64_t i = 0; i < words; i++) {
		if (p[i] == value(i, turn))
			continue;
		if (!wrong++)
			printf("check: word %llu is %llx, not %llx\n",
			       (unsigned long long)i, (unsigned long long)p[i],
			       (unsigned long long)value(i, turn));
	}
}

int main(int argc, char **argv)
{
	uint64_t turn, turns;
	size_t size;
	bool last;

	if (argc < 2 || atoi(argv[1]) <= 0) {
		fprintf(stderr, "Usage: check MIB [TIMES]\n");
		return 2;
	}
	size = (size_t)atoi(argv[1]) << 20;
	turns = argc > 2 ? atoi(argv[2]) : 2;
	words = size / sizeof(*p);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED) {
		perror("mmap");
		return 1;
	}

	signal(SIGTERM, on_term);
	for (turn = 0, last = false; !last; turn++) {
		last = turns ? turn + 1 == turns : enough;
		if (turns || !turn)
			fill(turn);
		check(turns ? turn : 0);
	}
	printf("check: %zu MiB read %llu times, %llu words wrong\n", size >> 20,
	       (unsigned long long)turn, (unsigned long long)wrong);
	return wrong ? 1 : 0;
}
