// SPDX-License-Identifier: GPL-2.0
/*
 * Runs in the guest: fills memory with a pattern that depends on the address, and
 * checks all of it, a few times.
 *
 * Usage: check MIB [TIMES [FILE]]
 *
 * With TIMES 0 it fills once, and checks until SIGTERM and once more then.
 *
 * With FILE, that of tdx_convert.c, the host takes one page of each 2 MiB after they were
 * filled, and gives it back: these have to be zero, and all others as they were.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_WORDS	(4096 / sizeof(uint64_t))
#define HUGE_WORDS	(512 * PAGE_WORDS)
/* Which page of each 2 MiB the host takes. */
#define TAKEN		200

static uint64_t *p, words, wrong, taken;
static volatile sig_atomic_t enough;

static uint64_t value(uint64_t word, uint64_t turn)
{
	if (word < taken && word % HUGE_WORDS / PAGE_WORDS == TAKEN)
		return 0;
	return (word + 1) * 0x9e3779b97f4a7c15ull ^ turn;
}

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

/* Holes in what was filled; only where there are 2 MiB. */
static bool give(const char *file)
{
	uint64_t *page = p + TAKEN * PAGE_WORDS;
	int fd = open(file, O_WRONLY);
	char text[32];
	size_t len;

	for (taken = 0; taken + HUGE_WORDS <= words; taken += HUGE_WORDS) {
		len = snprintf(text, sizeof(text), "page %lx", (long)(page + taken));
		if (write(fd, text, len) != (ssize_t)len) {
			perror(file);
			return false;
		}
	}
	close(fd);
	return true;
}

int main(int argc, char **argv)
{
	uint64_t turn, turns;
	size_t size, align = HUGE_WORDS * sizeof(*p);
	bool last;

	if (argc < 2 || atoi(argv[1]) <= 0) {
		fprintf(stderr, "Usage: check MIB [TIMES]\n");
		return 2;
	}
	size = (size_t)atoi(argv[1]) << 20;
	turns = argc > 2 ? atoi(argv[2]) : 2;
	words = size / sizeof(*p);
	p = mmap(NULL, size + align, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	p = (uint64_t *)(((uintptr_t)p + align - 1) / align * align);

	signal(SIGTERM, on_term);
	for (turn = 0, last = false; !last; turn++) {
		last = turns ? turn + 1 == turns : enough;
		if (turns || !turn)
			fill(turn);
		if (argc > 3 && !turn && !give(argv[3]))
			return 1;
		check(turns ? turn : 0);
	}
	if (argc > 3)
		printf("check: %llu pages were given away\n",
		       (unsigned long long)(taken / HUGE_WORDS));
	printf("check: %zu MiB read %llu times, %llu words wrong\n", size >> 20,
	       (unsigned long long)turn, (unsigned long long)wrong);
	return wrong ? 1 : 0;
}
