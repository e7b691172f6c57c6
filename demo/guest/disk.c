// SPDX-License-Identifier: GPL-2.0
/*
 * A disk, of which each word depends on its place: the first half is written by the host,
 * the second by the guest. Both sides check both.
 *
 * Usage: disk FILE make		the host's half; the rest is zero
 *	  disk FILE turns [TIMES]	reads the host's half, writes and reads the guest's; as
 *					often, or until SIGTERM and once more then
 *	  disk FILE verify		both halves, when the guest has ended
 *
 * Nothing is left to a cache: O_DIRECT, where there is a disk.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK		(64 * 1024)
#define CHUNK_WORDS	(CHUNK / sizeof(uint64_t))
#define SIZE_MADE	(512 * 1024)

/* Numbers of what was written: the host's, the guest's last, and those before it. */
#define TURN_HOST	1
#define TURN_LAST	2
#define TURN_FIRST	3

static int fd;
static uint64_t *buffer;
static unsigned long long wrong;
static volatile sig_atomic_t enough;

static void on_term(int sig)
{
	(void)sig;
	enough = 1;
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t value(uint64_t word, uint64_t turn)
{
	return (word + 1) * 0x9e3779b97f4a7c15ull ^ turn << 56 ^ turn;
}

static void write_half(off_t first, off_t end, uint64_t turn)
{
	for (off_t at = first; at < end; at += CHUNK) {
		for (uint64_t i = 0; i < CHUNK_WORDS; i++)
			buffer[i] = value(at / sizeof(*buffer) + i, turn);
		if (pwrite(fd, buffer, CHUNK, at) != CHUNK)
			fail("disk: write");
	}
	if (fsync(fd))
		fail("disk: fsync");
}

static void check_half(off_t first, off_t end, uint64_t turn)
{
	for (off_t at = first; at < end; at += CHUNK) {
		memset(buffer, 0, CHUNK);
		if (pread(fd, buffer, CHUNK, at) != CHUNK)
			fail("disk: read");
		for (uint64_t i = 0; i < CHUNK_WORDS; i++) {
			uint64_t want = value(at / sizeof(*buffer) + i, turn);

			if (buffer[i] == want)
				continue;
			if (!wrong++)
				printf("disk: byte %llu on is %llx, not %llx\n",
				       (unsigned long long)at + i * sizeof(*buffer),
				       (unsigned long long)buffer[i], (unsigned long long)want);
		}
	}
}

int main(int argc, char **argv)
{
	unsigned long turn = 0, turns = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	bool make, verify, last;
	struct stat st;
	off_t size;

	make = argc == 3 && !strcmp(argv[2], "make");
	verify = argc == 3 && !strcmp(argv[2], "verify");
	if (!make && !verify &&
	    (argc < 3 || argc > 4 || strcmp(argv[2], "turns") || (argc == 4 && !turns))) {
		fprintf(stderr, "Usage: disk FILE make | turns [TIMES] | verify\n");
		return 2;
	}
	if (stat(argv[1], &st) && !make)
		fail(argv[1]);
	fd = open(argv[1], O_RDWR | (make ? O_CREAT | O_TRUNC : 0) |
		  (!make && S_ISBLK(st.st_mode) ? O_DIRECT : 0), 0600);
	if (fd < 0 || (make && ftruncate(fd, SIZE_MADE)))
		fail(argv[1]);
	size = lseek(fd, 0, SEEK_END);
	buffer = aligned_alloc(4096, CHUNK);
	if (!buffer || size <= 0 || size % (2 * CHUNK)) {
		fprintf(stderr, "disk: size %lld\n", (long long)size);
		return 1;
	}

	if (make) {
		write_half(0, size / 2, TURN_HOST);
		return 0;
	}
	signal(SIGTERM, on_term);
	check_half(0, size / 2, TURN_HOST);
	for (last = verify; !last; turn++) {
		last = turns ? turn + 1 == turns : enough;
		write_half(size / 2, size, last ? TURN_LAST : TURN_FIRST + turn);
		check_half(size / 2, size, last ? TURN_LAST : TURN_FIRST + turn);
	}
	if (verify)
		check_half(size / 2, size, TURN_LAST);
	printf("disk: %lld KiB, half of it written and read %lu times, %llu words wrong\n",
	       (long long)size / 1024, turn, wrong);
	return wrong ? 1 : 0;
}
