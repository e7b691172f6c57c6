// SPDX-License-Identifier: GPL-2.0
/*
 * An adapter, preloaded into QEMU, which knows nothing of what the series adds. See
 * README.md. GMEM_ADAPTER, a list of words, says what it does:
 *
 *	huge		GUEST_MEMFD_FLAG_HUGEPAGE for the guest's RAM
 *	in-place	the guest_memfd is the RAM, and is converted in place
 *	retry		a conversion that fails is answered with EAGAIN, so that the
 *			guest asks again, instead of ending QEMU
 *	fail=N[+N...]	conversions to shared that the guest asks for fail with these
 *			errors, one after the other, before anything is done
 *
 * RAM is each guest_memfd of some multiple of 2 MiB; the image of the firmware is none.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/falloc.h>
#include <linux/kvm.h>

#define MAX_FILES	16
#define MAX_SLOTS	64
#define SIZE_2M		0x200000ul

struct file {
	int fd;
	__u64 size;
	bool ram;
	void *mapped;
};

static struct file files[MAX_FILES];
static int nr_files;
static struct kvm_userspace_memory_region2 slots[MAX_SLOTS];
static int nr_slots;

static bool huge, in_place, retry;
/* Those that are still to come. */
static char *fail = "";
static unsigned long nr_converted, nr_failed;

/* A conversion that this thread's vCPU asked for has failed: nothing is to happen. */
static __thread bool refused;
static __thread struct kvm_run *run;

static int (*real_ioctl)(int fd, unsigned long nr, ...);
static int (*real_fallocate)(int fd, int mode, off_t offset, off_t len);
static int (*real_madvise)(void *addr, size_t len, int advice);

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "adapter: %s: %s\n", what, strerror(errno));
	abort();
}

static void __attribute__((constructor)) init(void)
{
	const char *env = getenv("GMEM_ADAPTER");
	char *word, *list, *rest;

	real_ioctl = dlsym(RTLD_NEXT, "ioctl");
	real_fallocate = dlsym(RTLD_NEXT, "fallocate");
	real_madvise = dlsym(RTLD_NEXT, "madvise");
	list = strdup(env ? env : "");
	for (word = strtok_r(list, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
		if (!strcmp(word, "huge")) {
			huge = true;
		} else if (!strcmp(word, "in-place")) {
			in_place = true;
		} else if (!strcmp(word, "retry")) {
			retry = true;
		} else if (!strncmp(word, "fail=", 5)) {
			fail = word + 5;
		} else {
			fprintf(stderr, "adapter: unknown word '%s'\n", word);
			abort();
		}
	}
}

static void __attribute__((destructor)) finish(void)
{
	if (nr_converted || nr_failed)
		fprintf(stderr, "adapter: %lu conversions, %lu refused\n",
			nr_converted, nr_failed);
}

static struct file *find_file(int fd)
{
	int i;

	for (i = 0; i < nr_files; i++)
		if (files[i].fd == fd)
			return &files[i];
	return NULL;
}

static int create_guest_memfd(int vm, struct kvm_create_guest_memfd *args)
{
	bool ram = args->size && !(args->size % SIZE_2M);
	int fd;

	if (ram && huge)
		args->flags |= GUEST_MEMFD_FLAG_HUGEPAGE;
	if (ram && in_place)
		args->flags |= GUEST_MEMFD_FLAG_MMAP;
	fd = real_ioctl(vm, KVM_CREATE_GUEST_MEMFD, args);
	if (fd < 0)
		return fd;
	if (nr_files == MAX_FILES)
		die("more guest_memfds than have room");
	files[nr_files++] = (struct file){ .fd = fd, .size = args->size, .ram = ram };
	fprintf(stderr, "adapter: guest_memfd of %llu KiB, flags 0x%llx\n",
		args->size >> 10, args->flags);
	return fd;
}

/* From now on what QEMU takes for its memory is the file. */
static void map_file(const struct kvm_userspace_memory_region2 *r, struct file *f)
{
	void *base = (void *)(r->userspace_addr - r->guest_memfd_offset);

	if (f->mapped)
		return;
	f->mapped = mmap(base, f->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
			 f->fd, 0);
	if (f->mapped == MAP_FAILED)
		die("mmap of a guest_memfd");
}

/* Of slots with private memory, those that there are. */
static void note_slot(const struct kvm_userspace_memory_region2 *r)
{
	int i;

	for (i = 0; i < nr_slots; i++)
		if (slots[i].slot == r->slot)
			break;
	if (i < nr_slots)
		slots[i] = slots[--nr_slots];
	if (!r->memory_size || !(r->flags & KVM_MEM_GUEST_MEMFD))
		return;
	if (nr_slots == MAX_SLOTS)
		die("more slots than have room");
	slots[nr_slots++] = *r;
}

static int set_memory_region(int vm, struct kvm_userspace_memory_region2 *r)
{
	struct file *f = r->flags & KVM_MEM_GUEST_MEMFD ? find_file(r->guest_memfd) : NULL;
	int ret;

	if (r->memory_size && f && f->ram)
		map_file(r, f);
	ret = real_ioctl(vm, KVM_SET_USER_MEMORY_REGION2, r);
	if (!ret)
		note_slot(r);
	return ret;
}

/* QEMU's range is of the guest, that of the series is of the file. */
static int convert_in_place(const struct kvm_memory_attributes *m)
{
	__u64 gpa = m->address, end = gpa + m->size, next;
	const struct kvm_userspace_memory_region2 *r;
	int i;

	for (; gpa < end; gpa = next) {
		for (i = 0; i < nr_slots; i++)
			if (gpa >= slots[i].guest_phys_addr &&
			    gpa - slots[i].guest_phys_addr < slots[i].memory_size)
				break;
		if (i == nr_slots) {
			errno = EINVAL;
			return -1;
		}
		r = &slots[i];
		next = r->guest_phys_addr + r->memory_size;
		if (next > end)
			next = end;

		struct kvm_memory_attributes2 m2 = {
			.offset = gpa - r->guest_phys_addr + r->guest_memfd_offset,
			.size = next - gpa,
			.attributes = m->attributes,
		};

		if (real_ioctl(r->guest_memfd, KVM_SET_MEMORY_ATTRIBUTES2, &m2))
			return -1;
	}
	return 0;
}

static int convert(int vm, struct kvm_memory_attributes *m)
{
	int ret, err;

	if (*fail && run && !m->attributes) {
		errno = strtol(fail, &fail, 10);
		fail += *fail == '+';
		ret = -1;
	} else {
		ret = in_place ? convert_in_place(m) :
				 real_ioctl(vm, KVM_SET_MEMORY_ATTRIBUTES, m);
	}
	/* Those before the start are QEMU's own. */
	if (!run)
		return ret;
	if (!ret) {
		nr_converted++;
		return 0;
	}
	err = errno;
	nr_failed++;
	if (retry && (err == EAGAIN || err == ENOMEM || err == EBUSY)) {
		refused = true;
		run->hypercall.ret = EAGAIN;
		return 0;
	}
	errno = err;
	return ret;
}

static int run_vcpu(int vcpu)
{
	refused = false;
	if (!run) {
		run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
		if (run == MAP_FAILED)
			die("mmap of a vCPU");
	}
	return real_ioctl(vcpu, KVM_RUN, 0);
}

int ioctl(int fd, unsigned long nr, ...)
{
	va_list ap;
	void *arg;

	va_start(ap, nr);
	arg = va_arg(ap, void *);
	va_end(ap);

	switch (nr) {
	case KVM_CREATE_GUEST_MEMFD:
		return create_guest_memfd(fd, arg);
	case KVM_SET_MEMORY_ATTRIBUTES:
		return convert(fd, arg);
	case KVM_RUN:
		return run_vcpu(fd);
	case KVM_CHECK_EXTENSION:
		/* What QEMU asks for is there, elsewhere. */
		if (in_place && (long)arg == KVM_CAP_MEMORY_ATTRIBUTES)
			arg = (void *)(long)KVM_CAP_GUEST_MEMFD_MEMORY_ATTRIBUTES;
		break;
	case KVM_SET_USER_MEMORY_REGION2:
		if (in_place)
			return set_memory_region(fd, arg);
		break;
	}
	return real_ioctl(fd, nr, arg);
}

/* QEMU frees private memory that has become shared. In place, it is the shared memory. */
int fallocate(int fd, int mode, off_t offset, off_t len)
{
	struct file *f = find_file(fd);

	if (f && (mode & FALLOC_FL_PUNCH_HOLE) && (refused || (in_place && f->ram)))
		return 0;
	return real_fallocate(fd, mode, offset, len);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t len)
{
	return fallocate(fd, mode, offset, len);
}

/* And shared memory that has become private. */
int madvise(void *addr, size_t len, int advice)
{
	return refused ? 0 : real_madvise(addr, len, advice);
}
