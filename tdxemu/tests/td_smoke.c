// SPDX-License-Identifier: GPL-2.0
/*
 * A TD, from nothing to its end, with nothing but KVM's ABI: for the software TDX
 * module, and nothing in it depends on that one.
 *
 *	td_smoke [-v VCPUS] [-w SECONDS] [TEST...]
 *
 * With -w, a TD is kept for a while before it is destroyed, to be looked at.
 *
 * The guest is this program: its image is loaded at the addresses where it is
 * linked, so that guest code is a function of this file. It starts at the reset
 * vector in 32-bit protected mode, as a TD does, and gets to 64-bit code with
 * page tables that map:
 *
 *	0 .. 1 GiB		private, GVA = GPA
 *	GVA 1 GiB .. 2 GiB	the same GPAs, shared
 *	GVA 3 GiB .. 4 GiB	private, GVA = GPA, for the reset vector
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/falloc.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

typedef uint64_t u64;
typedef uint32_t u32;

#define PAGE		0x1000ul
#define SZ_2M		0x200000ul
#define TABLES		0x10000ul	/* PML4, PDPT, three PDs, GDT, IDT, boot data */
#define STACKS		0x20000ul	/* 16 KiB a vCPU */
#define RESET		0xfffff000ul
#define RAM		0x8000000ul	/* the slot at 0 */
#define HEAP		0x4000000ul	/* nothing of the image from here on */
#define SHARED		0x40000000ul	/* offset of the shared window in the GVAs */
#define SHARED_BIT	(1ull << 47)
#define PORT		0x3f0
#define IRQ_VECTOR	0x40

#define KVM_X86_TDX		5
#define ATTR_SEPT_VE_DISABLE	(1ull << 28)

#define die(fmt, ...) do {						\
	printf("FAIL %s:%d: " fmt " (errno %d)\n", __func__, __LINE__,	\
	       ##__VA_ARGS__, errno);					\
	exit(1);							\
} while (0)
#define check(cond, fmt, ...) do { if (!(cond)) die("%s: " fmt, #cond, ##__VA_ARGS__); } while (0)

/* ---------------------------------------------------------------- the guest */

#define GUEST __attribute__((target("general-regs-only"), noinline, used))

struct tdcall {
	u64 rcx, rdx, r8, r9, r10, r11, r12, r13, r14, r15;
};

GUEST static u64 tdcall(u64 leaf, struct tdcall *a)
{
	register u64 r8 asm("r8") = a->r8, r9 asm("r9") = a->r9;
	register u64 r10 asm("r10") = a->r10, r11 asm("r11") = a->r11;
	register u64 r12 asm("r12") = a->r12, r13 asm("r13") = a->r13;
	register u64 r14 asm("r14") = a->r14, r15 asm("r15") = a->r15;
	u64 rcx = a->rcx, rdx = a->rdx;

	asm volatile(".byte 0x66, 0x0f, 0x01, 0xcc"
		     : "+a" (leaf), "+c" (rcx), "+d" (rdx), "+r" (r8), "+r" (r9),
		       "+r" (r10), "+r" (r11), "+r" (r12), "+r" (r13), "+r" (r14),
		       "+r" (r15) : : "memory");
	a->rcx = rcx; a->rdx = rdx; a->r8 = r8; a->r9 = r9; a->r10 = r10;
	a->r11 = r11; a->r12 = r12; a->r13 = r13; a->r14 = r14; a->r15 = r15;
	return leaf;
}

GUEST static u64 vmcall(u64 sub, u64 r12, u64 r13, u64 r14, u64 r15, u64 *r11)
{
	struct tdcall a = { .rcx = 0xfc00, .r11 = sub, .r12 = r12, .r13 = r13,
			    .r14 = r14, .r15 = r15 };

	if (tdcall(0, &a))
		asm volatile("ud2");
	if (r11)
		*r11 = a.r11;
	return a.r10;
}

/* Tells the host a number, and returns what the host wants to say. */
GUEST static u32 sync_host(u32 value)
{
	u64 in;

	vmcall(30, 4, 1, PORT, value, NULL);
	vmcall(30, 4, 0, PORT, 0, &in);
	return in;
}

GUEST static void guest_fail(u64 why, u64 value)
{
	for (;;)
		vmcall(0x10003, why, value, 0, 0, NULL);
}

#define G_CHECK(cond, value) do { if (!(cond)) guest_fail(__LINE__, value); } while (0)

GUEST static u64 accept(u64 gpa, int level)
{
	struct tdcall a = { .rcx = gpa | level };

	return tdcall(6, &a);
}

GUEST static u64 map_gpa(u64 gpa, u64 size, bool shared)
{
	return vmcall(0x10001, gpa | (shared ? SHARED_BIT : 0), size, 0, 0, NULL);
}

struct ve_frame { u64 rip, cs, rflags, rsp, ss; };

static volatile u64 ve_count, ve_reason, ve_gpa, ve_gla, ve_qual, ve_len, ve_skip;

GUEST static void ve_handler(struct ve_frame *f)
{
	struct tdcall a = { 0 };

	G_CHECK(!tdcall(3, &a), 0);
	ve_count++;
	ve_reason = a.rcx;
	ve_qual = a.rdx;
	ve_gla = a.r8;
	ve_gpa = a.r9;
	ve_len = (u32)a.r10;
	f->rip += ve_skip ?: ve_len;
}

static volatile u64 irq_count;

GUEST static void irq_handler(void)
{
	irq_count++;
	/* EOI of the x2APIC */
	asm volatile("wrmsr" : : "c" (0x80b), "a" (0), "d" (0));
}

GUEST static void any_fault(struct ve_frame *f)
{
	guest_fail(0xbad, f->rip);
}

asm(".pushsection .text\n"
    ".global ve_entry, irq_entry, fault_entry, reset_begin, reset_end, entry64\n"
    "ve_entry:\n"
    "	push %rax; push %rcx; push %rdx; push %rsi; push %rdi; push %r8; push %r9\n"
    "	push %r10; push %r11\n"
    "	lea 72(%rsp), %rdi\n"
    "	call ve_handler\n"
    "	pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rdx; pop %rcx\n"
    "	pop %rax\n"
    "	iretq\n"
    "irq_entry:\n"
    "	push %rax; push %rcx; push %rdx; push %rsi; push %rdi; push %r8; push %r9\n"
    "	push %r10; push %r11\n"
    "	call irq_handler\n"
    "	pop %r11; pop %r10; pop %r9; pop %r8; pop %rdi; pop %rsi; pop %rdx; pop %rcx\n"
    "	pop %rax\n"
    "	iretq\n"
    "fault_entry:\n"
    "	mov %rsp, %rdi\n"
    "	call any_fault\n"
    /* The page of the reset vector: offset 0 is reached from its end. */
    ".code32\n"
    "reset_begin:\n"
    "	mov $0x10000, %eax\n"
    "	mov %eax, %cr3\n"
    "	mov %cr4, %eax\n"
    "	or $0x20, %eax\n"
    "	mov %eax, %cr4\n"
    "	lgdt 0x15040\n"
    "	mov %cr0, %eax\n"
    "	or $0x80010000, %eax\n"
    "	mov %eax, %cr0\n"
    "	ljmp $8, $entry64\n"
    "reset_end:\n"
    ".code64\n"
    "entry64:\n"
    "	mov $0x10, %eax\n"
    "	mov %eax, %ss; mov %eax, %ds; mov %eax, %es\n"
    "	lidt 0x15050\n"
    "	mov %esi, %edi\n"
    "	mov %esi, %eax\n"
    "	shl $14, %rax\n"
    "	lea 0x24000(%rax), %rsp\n"
    "	call guest_main\n"
    "	ud2\n"
    ".popsection\n");

extern char ve_entry[], irq_entry[], fault_entry[], reset_begin[], reset_end[];
extern char __executable_start[], _end[];

static void (*guest_test)(u32 index);
static volatile u64 guest_flag, guest_spins, guest_seen;

GUEST void guest_main(u32 index)
{
	guest_test(index);
	sync_host(0xd09e0000 | index);
	for (;;)
		vmcall(12, 0, 0, 0, 0, NULL);
}

/* ----------------------------------------------------------------- the host */

struct vm {
	int fd, gmem[2], vcpu[8];
	struct kvm_run *run[8];
	char *shared;
	int nr_vcpus;
};

static int kvm, nr_vcpus = 1, keep_seconds;

static int tdx(int fd, u32 id, u32 flags, void *data, u64 *hw_error)
{
	struct kvm_tdx_cmd cmd = { .id = id, .flags = flags, .data = (u64)data };
	int r = ioctl(fd, KVM_MEMORY_ENCRYPT_OP, &cmd);

	if (hw_error)
		*hw_error = cmd.hw_error;
	return r;
}

static struct kvm_tdx_capabilities *capabilities(struct vm *vm)
{
	struct kvm_tdx_capabilities *caps;

	caps = calloc(1, sizeof(*caps) + 256 * sizeof(struct kvm_cpuid_entry2));
	caps->cpuid.nent = 256;
	if (tdx(vm->fd, KVM_TDX_CAPABILITIES, 0, caps, NULL))
		die("KVM_TDX_CAPABILITIES");
	return caps;
}

/* What KVM is told of a vCPU's CPUID: x2APIC is all that a TD has. */
static struct kvm_cpuid2 *host_cpuid(void)
{
	struct kvm_cpuid2 *host;
	unsigned int i;

	host = calloc(1, sizeof(*host) + 256 * sizeof(host->entries[0]));
	host->nent = 256;
	check(!ioctl(kvm, KVM_GET_SUPPORTED_CPUID, host), "");
	for (i = 0; i < host->nent; i++) {
		struct kvm_cpuid_entry2 *h = &host->entries[i];

		if (h->function == 1)
			h->ecx |= 1 << 21;
		if (h->function == 0x80000008)
			h->eax = 48 | (h->eax & 0xff00) | 48 << 16;
	}
	return host;
}

/* Of the host's CPUID, what the module lets one configure. */
static struct kvm_tdx_init_vm *init_params(struct vm *vm, u64 attributes,
					   struct kvm_cpuid2 *host)
{
	struct kvm_tdx_capabilities *caps = capabilities(vm);
	struct kvm_tdx_init_vm *p;
	unsigned int i, j;

	p = calloc(1, sizeof(*p) + 256 * sizeof(p->cpuid.entries[0]));
	p->attributes = attributes;
	p->xfam = caps->supported_xfam & 3;
	check((attributes & caps->supported_attrs) == attributes, "attributes 0x%llx",
	      caps->supported_attrs);
	for (i = 0; i < caps->cpuid.nent; i++) {
		struct kvm_cpuid_entry2 *c = &caps->cpuid.entries[i];

		for (j = 0; j < host->nent; j++) {
			struct kvm_cpuid_entry2 *h = &host->entries[j], *e;

			if (h->function != c->function || h->index != c->index)
				continue;
			e = &p->cpuid.entries[p->cpuid.nent++];
			*e = *c;
			e->eax &= h->eax;
			e->ebx &= h->ebx;
			e->ecx &= h->ecx;
			e->edx &= h->edx;
			if (e->function == 0x80000008)
				e->eax = (e->eax & 0xff00ffff) | 48 << 16;
			break;
		}
	}
	free(caps);
	return p;
}

static void slot(struct vm *vm, int id, u64 gpa, u64 size, void *hva)
{
	struct kvm_create_guest_memfd g = { .size = size };
	struct kvm_userspace_memory_region2 r = {
		.slot = id, .flags = KVM_MEM_GUEST_MEMFD, .guest_phys_addr = gpa,
		.memory_size = size, .userspace_addr = (u64)hva,
	};
	struct kvm_memory_attributes a = {
		.address = gpa, .size = size,
		.attributes = KVM_MEMORY_ATTRIBUTE_PRIVATE,
	};

	vm->gmem[id] = r.guest_memfd = ioctl(vm->fd, KVM_CREATE_GUEST_MEMFD, &g);
	check(vm->gmem[id] >= 0, "");
	check(!ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &r), "");
	check(!ioctl(vm->fd, KVM_SET_MEMORY_ATTRIBUTES, &a), "");
}

static void enable(int fd, u32 cap, u64 arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };

	if (ioctl(fd, KVM_ENABLE_CAP, &c))
		die("capability %u", cap);
}

static void load(struct vm *vm, u64 gpa, void *source, u64 size)
{
	struct kvm_tdx_init_mem_region r = {
		.source_addr = (u64)source, .gpa = gpa, .nr_pages = size / PAGE,
	};
	int ret;

	do {
		ret = tdx(vm->vcpu[0], KVM_TDX_INIT_MEM_REGION,
			  KVM_TDX_MEASURE_MEMORY_REGION, &r, NULL);
	} while (ret && (errno == EAGAIN || errno == EINTR || errno == EBUSY));
	if (ret)
		die("KVM_TDX_INIT_MEM_REGION gpa 0x%llx", r.gpa);
}

static void gate(u64 *idt, int vector, char *entry)
{
	u64 to = (u64)entry;

	idt[vector * 2] = (to & 0xffff) | 8 << 16 | 0x8eull << 40 |
			  (to >> 16 & 0xffff) << 48;
	idt[vector * 2 + 1] = to >> 32;
}

static void build_tables(char *page)
{
	u64 *pml4 = (void *)page, *pdpt = (void *)(page + PAGE);
	u64 *pd0 = (void *)(page + 2 * PAGE), *pd1 = (void *)(page + 3 * PAGE);
	u64 *pd3 = (void *)(page + 4 * PAGE), *gdt = (void *)(page + 5 * PAGE);
	u64 *idt = (void *)(page + 6 * PAGE);
	int i;

	pml4[0] = (TABLES + PAGE) | 3;
	pdpt[0] = (TABLES + 2 * PAGE) | 3;
	pdpt[1] = (TABLES + 3 * PAGE) | 3;
	pdpt[3] = (TABLES + 4 * PAGE) | 3;
	for (i = 0; i < 512; i++) {
		pd0[i] = i * SZ_2M | 0x83;
		pd1[i] = i * SZ_2M | SHARED_BIT | 0x83;
		pd3[i] = (0xc0000000ull + i * SZ_2M) | 0x83;
	}
	gdt[1] = 0x00af9b000000ffffull;
	gdt[2] = 0x00cf93000000ffffull;
	/* Pointers to the GDT and the IDT, for 32- and 64-bit code. */
	*(uint16_t *)&page[0x5040] = 23;
	*(u64 *)&page[0x5042] = TABLES + 5 * PAGE;
	*(uint16_t *)&page[0x5050] = 0xfff;
	*(u64 *)&page[0x5052] = TABLES + 6 * PAGE;
	for (i = 0; i < 32; i++)
		gate(idt, i, i == 20 ? ve_entry : fault_entry);
	gate(idt, IRQ_VECTOR, irq_entry);
}

static void create(struct vm *vm, u64 attributes)
{
	struct kvm_cpuid2 *host = host_cpuid();
	struct kvm_tdx_init_vm *p;
	u64 hw_error;
	int i, size;

	memset(vm, 0, sizeof(*vm));
	vm->fd = ioctl(kvm, KVM_CREATE_VM, KVM_X86_TDX);
	check(vm->fd >= 0, "no VM of type TDX: kvm_intel.tdx=1, 'TDX-Module initialized'?");
	enable(vm->fd, KVM_CAP_SPLIT_IRQCHIP, 24);
	enable(vm->fd, KVM_CAP_EXIT_HYPERCALL, 1 << KVM_HC_MAP_GPA_RANGE);
	p = init_params(vm, attributes, host);
	if (tdx(vm->fd, KVM_TDX_INIT_VM, 0, p, &hw_error))
		die("KVM_TDX_INIT_VM, module error 0x%lx", hw_error);

	size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	vm->nr_vcpus = nr_vcpus;
	for (i = 0; i < nr_vcpus; i++) {
		vm->vcpu[i] = ioctl(vm->fd, KVM_CREATE_VCPU, i);
		check(vm->vcpu[i] >= 0, "");
		vm->run[i] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
				  vm->vcpu[i], 0);
		check(vm->run[i] != MAP_FAILED, "");
		check(!ioctl(vm->vcpu[i], KVM_SET_CPUID2, host), "");
		if (tdx(vm->vcpu[i], KVM_TDX_INIT_VCPU, 0, NULL, &hw_error))
			die("KVM_TDX_INIT_VCPU, module error 0x%lx", hw_error);
	}
	free(p);
	free(host);
	vm->shared = mmap(NULL, RAM, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	slot(vm, 0, 0, RAM, vm->shared);
	slot(vm, 1, RESET, PAGE, mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

/* The image goes in as it is: a test sets what its guest shall find before. */
static void build(struct vm *vm, u64 attributes, void (*test)(u32))
{
	u64 start = (u64)__executable_start & ~(PAGE - 1);
	u64 end = ((u64)_end + PAGE - 1) & ~(PAGE - 1);
	static char tables[8 * PAGE] __attribute__((aligned(4096)));
	static char reset[PAGE] __attribute__((aligned(4096)));
	static char zero[PAGE] __attribute__((aligned(4096)));
	u64 gpa;

	guest_test = test;
	create(vm, attributes);
	memset(tables, 0, sizeof(tables));
	build_tables(tables);
	load(vm, TABLES, tables, sizeof(tables));
	for (gpa = STACKS; gpa < STACKS + 0x4000 * nr_vcpus; gpa += PAGE)
		load(vm, gpa, zero, PAGE);
	/* jmp to the begin of the page */
	memcpy(reset, reset_begin, reset_end - reset_begin);
	memcpy(reset + 0xff0, "\xe9\x0b\xf0\xff\xff", 5);
	load(vm, RESET, reset, PAGE);
	check(end < HEAP, "");
	load(vm, start, (void *)start, end - start);
	if (tdx(vm->fd, KVM_TDX_FINALIZE_VM, 0, NULL, NULL))
		die("KVM_TDX_FINALIZE_VM");
}

static void destroy(struct vm *vm)
{
	int i, size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	sleep(keep_seconds);
	for (i = 0; i < vm->nr_vcpus; i++) {
		munmap(vm->run[i], size);
		close(vm->vcpu[i]);
	}
	munmap(vm->shared, RAM);
	close(vm->gmem[0]);
	close(vm->gmem[1]);
	close(vm->fd);
}

static void set_private(struct vm *vm, u64 gpa, u64 size, bool private)
{
	struct kvm_memory_attributes a = {
		.address = gpa, .size = size,
		.attributes = private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
	};

	check(!ioctl(vm->fd, KVM_SET_MEMORY_ATTRIBUTES, &a), "0x%lx %d", gpa, private);
}

/* Runs until the guest says something; conversions are done on the way. */
static u32 run(struct vm *vm, int i, u32 answer)
{
	struct kvm_run *r = vm->run[i];
	bool said = false;
	u32 value = 0;

	for (;;) {
		int ret = ioctl(vm->vcpu[i], KVM_RUN, 0);

		if (ret && (errno == EINTR || errno == EAGAIN))
			continue;
		if (ret)
			die("KVM_RUN, exit %u", r->exit_reason);
		switch (r->exit_reason) {
		case KVM_EXIT_IO:
			check(r->io.port == PORT && r->io.size == 4, "port 0x%x", r->io.port);
			if (r->io.direction == KVM_EXIT_IO_OUT) {
				value = *(u32 *)((char *)r + r->io.data_offset);
				said = true;
				if (value >> 16 == 0xd09e)
					return value;
			} else {
				*(u32 *)((char *)r + r->io.data_offset) = answer;
				if (!said)
					die("the guest asks and has not said anything");
				return value;
			}
			break;
		case KVM_EXIT_HYPERCALL:
			check(r->hypercall.nr == KVM_HC_MAP_GPA_RANGE, "");
			set_private(vm, r->hypercall.args[0], r->hypercall.args[1] * PAGE,
				    r->hypercall.args[2] & KVM_MAP_GPA_RANGE_ENCRYPTED);
			r->hypercall.ret = 0;
			break;
		case KVM_EXIT_SYSTEM_EVENT:
			if (r->system_event.type == KVM_SYSTEM_EVENT_TDX_FATAL)
				die("guest line %llu: value 0x%llx",
				    r->system_event.data[12], r->system_event.data[13]);
			/* fallthrough */
		default:
			die("vCPU %d: exit %u, suberror %u, 0x%llx", i, r->exit_reason,
			    r->internal.suberror, r->internal.data[0]);
		}
	}
}

/* ---------------------------------------------------------------- the tests */

GUEST static void guest_nothing(u32 index)
{
	G_CHECK(sync_host(1) == 2, 0);
}

static void test_life(void)
{
	struct vm vm;
	int i;

	/* Ended before anything, then before it is finalized, then after it ran. */
	vm.fd = ioctl(kvm, KVM_CREATE_VM, KVM_X86_TDX);
	check(vm.fd >= 0, "no VM of type TDX: kvm_intel.tdx=1, 'TDX-Module initialized'?");
	close(vm.fd);
	create(&vm, 0);
	destroy(&vm);
	/* More often than the lab has key IDs for guests (31). */
	for (i = 0; i < 33; i++) {
		create(&vm, ATTR_SEPT_VE_DISABLE);
		destroy(&vm);
	}
}

static void test_run(void)
{
	struct vm vm;
	int i;

	build(&vm, ATTR_SEPT_VE_DISABLE, guest_nothing);
	for (i = 0; i < vm.nr_vcpus; i++) {
		check(run(&vm, i, 2) == 1, "");
		check(run(&vm, i, 0) == (0xd09e0000 | i), "");
	}
	destroy(&vm);
}

GUEST static void guest_instructions(u32 index)
{
	static const char text[] = "The quick brown fox";
	volatile u64 sum = 0, *p = (u64 *)(STACKS + 0x100);
	char buf[32];
	u64 i, q, r;

	for (i = 1; i <= 1000; i++)
		sum += i * i;
	G_CHECK(sum == 333833500, sum);
	asm("div %4" : "=a" (q), "=d" (r) : "a" (1000000007ul), "d" (0ul), "r" (10007ul));
	G_CHECK(q == 99930 && r == 497, q);
	for (i = 0; i < sizeof(text); i++)
		buf[i] = text[i];
	for (i = 0; i < sizeof(text); i++)
		G_CHECK(buf[i] == text[i], i);
	asm volatile("rep stosb" : : "D" (STACKS + 0x80), "c" (0x100), "a" (0x5a) : "memory");
	G_CHECK(p[0] == 0x5a5a5a5a5a5a5a5aull && p[15] == p[0], p[15]);
	__atomic_store_n(p, 41, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(p, 1, __ATOMIC_SEQ_CST);
	G_CHECK(*p == 42, *p);
	asm volatile("lock cmpxchg %1, (%2)" : "=a" (q) : "r" (7ul), "r" (p), "a" (42ul) : "memory");
	G_CHECK(*p == 7, *p);
	sync_host(1);
}

static void test_instructions(void)
{
	struct vm vm;

	build(&vm, ATTR_SEPT_VE_DISABLE, guest_instructions);
	check(run(&vm, 0, 0) == 1, "");
	destroy(&vm);
}

GUEST static void guest_accept(u32 index)
{
	volatile u64 *p = (u64 *)HEAP, *s = (u64 *)(HEAP + SHARED);
	u64 r, i;

	for (i = 0; i < 16; i++) {
		r = accept(HEAP + i * PAGE, 0);
		G_CHECK(!r, r);
		G_CHECK(!p[i * 512], p[i * 512]);
		p[i * 512] = 0x1111 * i;
	}
	r = accept(HEAP, 0);
	G_CHECK(r >> 32 == 0x00000b0a, r);
	/* The host punches a hole at 4 and puts nothing else in question. */
	sync_host(1);
	r = accept(HEAP + 4 * PAGE, 0);
	G_CHECK(!r, r);
	for (i = 0; i < 16; i++)
		G_CHECK(p[i * 512] == (i == 4 ? 0 : 0x1111 * i), p[i * 512]);

	r = map_gpa(HEAP, 2 * PAGE, true);
	G_CHECK(!r, r);
	s[0] = 0xabcdef;
	sync_host(2);
	G_CHECK(s[512] == 0x123456, s[512]);
	r = map_gpa(HEAP, 2 * PAGE, false);
	G_CHECK(!r, r);
	for (i = 0; i < 2; i++) {
		r = accept(HEAP + i * PAGE, 0);
		G_CHECK(!r, r);
		G_CHECK(!p[i * 512], p[i * 512]);
	}
	/* 2 MiB: the host may map it with small pages. */
	r = accept(HEAP + SZ_2M, 1);
	sync_host(r >> 32 == 0xc0000b0b ? 4 : r ? 5 : 3);
}

static void test_accept(void)
{
	struct vm vm;
	u32 said;

	build(&vm, ATTR_SEPT_VE_DISABLE, guest_accept);
	check(run(&vm, 0, 0) == 1, "");
	check(!fallocate(vm.gmem[0], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 HEAP + 4 * PAGE, PAGE), "");
	*(u64 *)(vm.shared + HEAP + PAGE) = 0x123456;
	check(run(&vm, 0, 0) == 2, "");
	check(*(u64 *)(vm.shared + HEAP) == 0xabcdef, "");
	said = run(&vm, 0, 0);
	check(said == 3 || said == 4, "%u", said);
	printf("#   2M ACCEPT: %s\n", said == 3 ? "done" : "size mismatch");
	destroy(&vm);
}

GUEST static void guest_ve(u32 index)
{
	struct tdcall info = { 0 };
	u32 eax = 0x40000000, ebx, ecx = 0, edx;

	/* CPUID that the module leaves to the guest. */
	ve_skip = 0;
	asm volatile("cpuid" : "+a" (eax), "=b" (ebx), "+c" (ecx), "=d" (edx));
	G_CHECK(ve_count == 1 && ve_reason == 10 && ve_len == 2, ve_reason);
	eax = 0x21, ecx = 0;
	asm volatile("cpuid" : "+a" (eax), "=b" (ebx), "+c" (ecx), "=d" (edx));
	G_CHECK(ve_count == 1 && ebx == 0x65746e49, ebx);	/* "Inte" */
	asm volatile("hlt");
	G_CHECK(ve_count == 2 && ve_reason == 12 && ve_len == 1, ve_reason);
	asm volatile("outb %%al, %%dx" : : "a" (0), "d" (0x80));
	G_CHECK(ve_count == 3 && ve_reason == 30 && ve_qual >> 16 == 0x80, ve_qual);
	/* An MSR of KVM's own, which no module answers for. */
	asm volatile("rdmsr" : "=a" (eax), "=d" (edx) : "c" (0x4b564d01));
	G_CHECK(ve_count == 4 && ve_reason == 31 && ve_len == 2, ve_reason);
	/* IA32_MISC_ENABLE can be read, and writing it is the host's. */
	asm volatile("rdmsr" : "=a" (eax), "=d" (edx) : "c" (0x1a0));
	G_CHECK(ve_count == 4, ve_reason);
	asm volatile("wrmsr" : : "a" (eax), "d" (edx), "c" (0x1a0));
	G_CHECK(ve_count == 5 && ve_reason == 32, ve_reason);
	/* MMIO: nothing is there, and KVM says so with #VE. */
	asm volatile("mov %%eax, (%1)" : : "a" (0), "r" (0x20000000ul + SHARED) : "memory");
	G_CHECK(ve_count == 6 && ve_reason == 48, ve_reason);
	G_CHECK(ve_gpa == (0x20000000 | SHARED_BIT), ve_gpa);
	G_CHECK(ve_gla == 0x20000000 + SHARED, ve_gla);

	G_CHECK(!tdcall(1, &info), 0);
	G_CHECK(info.rcx == 48, info.rcx);
	G_CHECK((u32)info.r8 >= 1 && info.r9 == index, info.r9);
	/* VEINFO.GET without a #VE */
	info = (struct tdcall) { 0 };
	G_CHECK(tdcall(3, &info) >> 32 == 0xc0000704, 0);
	sync_host(1);
}

static void test_ve(void)
{
	struct vm vm;

	build(&vm, 0, guest_ve);
	check(run(&vm, 0, 0) == 1, "");
	destroy(&vm);
}

GUEST static void guest_pending(u32 index)
{
	volatile u64 *p = (u64 *)HEAP;

	if (guest_flag) {
		/* Without SEPT_VE_DISABLE the guest gets to know. */
		p[0] = 1;
		G_CHECK(ve_count == 1 && ve_reason == 48 && ve_gpa == HEAP, ve_reason);
		sync_host(1);
	}
	p[0] = 1;
	sync_host(2);
}

static void test_pending(void)
{
	struct vm vm;
	int ret;

	guest_flag = 1;
	build(&vm, 0, guest_pending);
	check(run(&vm, 0, 0) == 1, "");
	destroy(&vm);

	guest_flag = 0;
	build(&vm, ATTR_SEPT_VE_DISABLE, guest_pending);
	ret = ioctl(vm.vcpu[0], KVM_RUN, 0);
	check(ret < 0, "exit %u: a page that was not accepted must stop the TD",
	      vm.run[0]->exit_reason);
	printf("#   access before ACCEPT: errno %d\n", errno);
	destroy(&vm);
}

GUEST static void guest_spin(u32 index)
{
	volatile u64 *p = (u64 *)HEAP;
	u64 r, i;

	if (index) {
		/* Reads a page that stays, while the host takes others away. */
		sync_host(7);
		while (!guest_flag) {
			G_CHECK(p[512 * 20] == 0x77, p[512 * 20]);
			guest_spins++;
		}
		return;
	}
	r = accept(HEAP + 20 * PAGE, 0);
	G_CHECK(!r, r);
	p[512 * 20] = 0x77;
	sync_host(1);
	while (guest_spins < 20)
		;
	for (i = 0; i < 10; i++) {
		r = accept(HEAP, 0);
		G_CHECK(!r, r);
		p[0] = i;
		r = map_gpa(HEAP, PAGE, true);
		G_CHECK(!r, r);
		r = map_gpa(HEAP, PAGE, false);
		G_CHECK(!r, r);
	}
	guest_flag = 1;
	sync_host(guest_spins > 40 ? 3 : 2);
}

static void *spinner(void *arg)
{
	struct vm *vm = arg;

	check(run(vm, 1, 0) == 7, "");
	check(run(vm, 1, 0) == 0xd09e0001, "");
	return NULL;
}

/* A vCPU that never leaves by itself has to be kicked for every removal. */
static void test_kick(void)
{
	pthread_t thread;
	struct vm vm;

	if (nr_vcpus < 2) {
		printf("#   needs -v 2\n");
		return;
	}
	build(&vm, ATTR_SEPT_VE_DISABLE, guest_spin);
	check(run(&vm, 0, 0) == 1, "");
	pthread_create(&thread, NULL, spinner, &vm);
	check(run(&vm, 0, 0) == 3, "the other vCPU did not run");
	pthread_join(thread, NULL);
	destroy(&vm);
}

GUEST static void guest_irq(u32 index)
{
	u64 i;

	/* The spurious vector register is the host's: the APIC is on. */
	G_CHECK(!vmcall(32, 0x80f, 0x1ff, 0, 0, NULL), 0);
	sync_host(1);
	/* Halted, then running, then with interrupts off. */
	asm volatile("sti");
	while (irq_count < 1)
		vmcall(12, 0, 0, 0, 0, NULL);
	sync_host(2);
	while (irq_count < 2)
		;
	asm volatile("cli");
	sync_host(3);
	for (i = 0; i < 1000; i++)
		asm volatile("pause");
	G_CHECK(irq_count == 2, irq_count);
	asm volatile("sti; nop; nop");
	G_CHECK(irq_count == 3, irq_count);
	sync_host(4);
}

static void *interrupter(void *arg)
{
	struct vm *vm = arg;
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = IRQ_VECTOR };

	usleep(300000);
	check(ioctl(vm->fd, KVM_SIGNAL_MSI, &msi) > 0, "");
	return NULL;
}

static void test_irq(void)
{
	pthread_t thread;
	struct vm vm;
	u32 i;

	build(&vm, ATTR_SEPT_VE_DISABLE, guest_irq);
	check(run(&vm, 0, 0) == 1, "");
	for (i = 2; i <= 3; i++) {
		pthread_create(&thread, NULL, interrupter, &vm);
		check(run(&vm, 0, 0) == i, "");
		pthread_join(thread, NULL);
	}
	interrupter(&vm);
	check(run(&vm, 0, 0) == 4, "");
	destroy(&vm);
}

#define SPEED_TICKS	20000000	/* of the TSC */

GUEST static u64 ticks(void)
{
	u32 low, high;

	asm volatile("rdtsc" : "=a" (low), "=d" (high));
	return low | (u64)high << 32;
}

/* Neither calls nor memory that changes: what a loop of three instructions costs. */
GUEST static void guest_speed(u32 index)
{
	u64 begin = ticks(), i, n = 0;

	while (ticks() - begin < SPEED_TICKS) {
		i = 1000;
		asm volatile("1: add $1, %1; sub $1, %0; jnz 1b" : "+r" (i), "+r" (n));
	}
	/* Of three instructions each: in thousands. */
	sync_host(n / 1000);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Loops of a second, by the clock of the machine; to compare engines, only if named. */
static void test_speed(void)
{
	struct vm vm;
	double begin;
	u32 loops;

	build(&vm, ATTR_SEPT_VE_DISABLE, guest_speed);
	begin = now();
	loops = run(&vm, 0, 0);
	printf("#   speed: %.0f loops of three instructions in a second\n",
	       loops * 1000 / (now() - begin));
	check(loops, "");
	destroy(&vm);
}

static const struct { const char *name; void (*fn)(void); } tests[] = {
	{ "life", test_life },
	{ "run", test_run },
	{ "instructions", test_instructions },
	{ "accept", test_accept },
	{ "ve", test_ve },
	{ "pending", test_pending },
	{ "irq", test_irq },
	{ "kick", test_kick },
	{ "speed", test_speed },
};

int main(int argc, char **argv)
{
	unsigned int i;
	int opt, j;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((opt = getopt(argc, argv, "v:w:")) > 0) {
		switch (opt) {
		case 'v':
			nr_vcpus = atoi(optarg);
			break;
		case 'w':
			keep_seconds = atoi(optarg);
			break;
		default:
			return 2;
		}
	}
	kvm = open("/dev/kvm", O_RDWR);
	check(kvm >= 0, "/dev/kvm");
	for (i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		for (j = optind; j < argc && strcmp(argv[j], tests[i].name); j++)
			;
		if (j == argc && (optind < argc || tests[i].fn == test_speed))
			continue;
		ve_count = irq_count = guest_spins = guest_flag = 0;
		printf("# %s\n", tests[i].name);
		tests[i].fn();
		printf("ok %s\n", tests[i].name);
	}
	return 0;
}
