// SPDX-License-Identifier: GPL-2.0
/*
 * A VMM that boots Linux in a TD.
 *
 * Usage: td_linux [-c VCPUS] [-m MIB] [-s] [-a APPEND] [-x] [-f FAULT] BZIMAGE INITRD
 *
 * The kernel, the initrd and what the boot protocol and ACPI ask for are loaded into
 * private memory below 16 MiB; the rest is accepted by the boot code
 * (td_linux_boot.S), 2 MiB at a time.  With -s, and where there is no
 * GUEST_MEMFD_FLAG_HUGEPAGE, the host has pages of 4 KiB for it.
 *
 * Devices: a serial port, of which the guest's text comes; a port that ends the machine;
 * one by which the guest asks for a report; and two ports by which the guest gives pages
 * to the host, which punches them out of the guest_memfd.  What the guest converts to
 * shared is punched out as well, as VMMs do, and what it converts to private is dropped
 * where it was shared; if memory is converted in place, that stays.
 *
 * With -x each hole for the guest is a page too long, and with -f the software TDX module gets
 * the line FAULT when user space begins to give pages away, see "faults" in
 * tdxemu/kernel/README.md: for the guest to notice.
 *
 * Exit status: what the guest has written to the port.
 */
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <asm/bootparam.h>
#include <linux/serial_reg.h>
#include <linux/sizes.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx.h"
#include "test_util.h"
#include "td_linux.h"

#ifndef GUEST_MEMFD_FLAG_HUGEPAGE
#define GUEST_MEMFD_FLAG_HUGEPAGE	BIT_ULL(16)
#endif

#define SLOT_RAM	TD_SLOT_TEST
#define SLOT_BOOT	(TD_SLOT_TEST + 1)

#define SERIAL_PORT	0x3f8
#define PIT_PORT	0x40
#define RTC_PORT	0x70
#define RTC_DAY		7
#define RTC_MONTH	8
#define MAX_VCPUS	8
#define MAX_CALLS	120
#define SILENCE		20	/* seconds without I/O after which the VMM says where it stands */
#define STATE_MAPPED	4
/*
 * The APIC timer of a TD counts at the module's 25 MHz, as CPUID leaf 0x15 tells the
 * guest. KVM's default is 1 GHz: each of the guest's timers would come after a fortieth
 * of its time, and it would do nothing but take interrupts.
 */
#define APIC_BUS_CYCLE_NS	40
#define TDXEMU		"/sys/kernel/debug/tdxemu/"

/* Types of struct boot_e820_entry. */
#define E820_RAM	1
#define E820_ACPI	3
#define E820_NVS	4

/* Of page table entries. */
#define PTE_TABLE	(BIT_ULL(0) | BIT_ULL(1))
#define PTE_PAGE_2M	(PTE_TABLE | BIT_ULL(7))

static struct kvm_vm *vm;
static struct td_mem ram, boot_page;
static u64 ram_pages;
static struct kvm_vcpu *vcpus[MAX_VCPUS];
static int nr_vcpus = 1;
static bool huge = true;
static const char *append = "", *fault;
static bool too_long;

/* What has been loaded below TDL_FREE: the rest is to be accepted. */
static u8 loaded[TDL_FREE / PAGE_SIZE];
static char *image;	/* of the same */

/* While the guest runs; by several threads. */
static struct counts {
	u64 io, to_shared, to_private, pages_to_shared, pages_to_private, retries;
	u64 given, pages_given;
} counts;
static int status = -1;

#define COUNT(what, n)	__atomic_fetch_add(&counts.what, n, __ATOMIC_RELAXED)

static void *load(gpa_t gpa, const void *from, size_t size)
{
	TEST_ASSERT(gpa + size <= TDL_FREE, "0x%zx bytes at 0x%lx: no room", size, gpa);
	memset(loaded + gpa / PAGE_SIZE, 1, DIV_ROUND_UP(size, PAGE_SIZE));
	if (from)
		memcpy(image + gpa, from, size);
	return image + gpa;
}

static void *read_file(const char *name, size_t *size)
{
	int fd = open(name, O_RDONLY);
	struct stat st;
	size_t done;
	ssize_t r;
	char *p;

	TEST_ASSERT(fd >= 0 && !fstat(fd, &st), "%s: errno %d", name, errno);
	p = malloc(st.st_size);
	TEST_ASSERT(p, "Insufficient Memory");
	for (done = 0; done < st.st_size; done += r) {
		r = read(fd, p + done, st.st_size - done);
		TEST_ASSERT(r > 0, "%s: errno %d", name, errno);
	}
	close(fd);
	*size = st.st_size;
	return p;
}

/* ACPI: tables one after the other, each found by the one before it. */
struct acpi_header {
	char signature[4];
	u32 length;
	u8 revision;
	u8 checksum;
	char oem_id[6];
	char oem_table_id[8];
	u32 oem_revision;
	u32 creator_id;
	u32 creator_revision;
} __packed;

struct acpi_rsdp {
	char signature[8];
	u8 checksum;
	char oem_id[6];
	u8 revision;
	u32 rsdt;
	u32 length;
	u64 xsdt;
	u8 extended_checksum;
	u8 reserved[3];
} __packed;

/* Of ACPI 6.5; what is not named here is zero. */
struct acpi_fadt {
	struct acpi_header header;
	u8 pad0[109 - 36];
	u16 boot_flags;
	u8 pad1;
	u32 flags;
	u8 pad2[131 - 116];
	u8 minor_revision;
	u8 pad3[140 - 132];
	u64 dsdt;
	u8 pad4[276 - 148];
} __packed;

#define FADT_NO_VGA		BIT(2)
#define FADT_NO_RTC		BIT(5)
#define FADT_HW_REDUCED		BIT(20)

struct acpi_madt {
	struct acpi_header header;
	u32 lapic_address;
	u32 flags;
	struct {
		u8 type;
		u8 length;
		u8 uid;
		u8 id;
		u32 flags;
	} __packed lapic[MAX_VCPUS];
	struct {
		u8 type;
		u8 length;
		u16 version;
		u32 reserved;
		u64 mailbox;
	} __packed wakeup;
} __packed;

kvm_static_assert(sizeof(struct acpi_rsdp) == 36);
kvm_static_assert(sizeof(struct acpi_fadt) == 276);
kvm_static_assert(offsetof(struct acpi_fadt, flags) == 112);
kvm_static_assert(offsetof(struct acpi_fadt, dsdt) == 140);

static u8 checksum(const void *p, size_t size)
{
	const u8 *b = p;
	u8 sum = 0;

	while (size--)
		sum += *b++;
	return -sum;
}

/* Returns the address, and advances @at. */
static u64 acpi_table(u64 *at, struct acpi_header *h, const char *signature,
		      u8 revision, u32 length)
{
	u64 here = *at;

	memcpy(h->signature, signature, 4);
	h->length = length;
	h->revision = revision;
	memcpy(h->oem_id, "GMEM  ", 6);
	memcpy(h->oem_table_id, "TDLINUX ", 8);
	h->checksum = checksum(h, length);
	load(here, h, length);
	*at += round_up(length, 64);
	return here;
}

/*
 * "Hardware reduced": no interrupt controller but the local APICs, no timer but theirs,
 * no real-time clock.  The DSDT is empty.
 */
static void load_acpi(void)
{
	struct acpi_header dsdt = {};
	struct acpi_fadt fadt = {
		.boot_flags = FADT_NO_VGA | FADT_NO_RTC,
		.flags = FADT_HW_REDUCED,
		.minor_revision = 5,
	};
	struct acpi_madt madt = { .lapic_address = 0xfee00000 };
	struct {
		struct acpi_header header;
		u64 tables[2];
	} __packed xsdt = {};
	struct acpi_rsdp rsdp = {
		.signature = "RSD PTR ", .oem_id = "GMEM ", .revision = 2,
		.length = sizeof(rsdp),
	};
	u32 length = sizeof(madt);
	u64 at = TDL_ACPI + 64;
	int i;

	for (i = 0; i < MAX_VCPUS; i++) {
		madt.lapic[i].length = sizeof(madt.lapic[i]);
		madt.lapic[i].uid = i;
		madt.lapic[i].id = i;
		madt.lapic[i].flags = i < nr_vcpus;
	}
	madt.wakeup.type = 16;
	madt.wakeup.length = sizeof(madt.wakeup);
	madt.wakeup.mailbox = TDL_MAILBOX;
	if (nr_vcpus == 1)
		length -= sizeof(madt.wakeup);

	fadt.dsdt = acpi_table(&at, &dsdt, "DSDT", 2, sizeof(dsdt));
	xsdt.tables[0] = acpi_table(&at, &fadt.header, "FACP", 6, sizeof(fadt));
	xsdt.tables[1] = acpi_table(&at, &madt.header, "APIC", 5, length);
	rsdp.xsdt = acpi_table(&at, &xsdt.header, "XSDT", 1, sizeof(xsdt));
	rsdp.checksum = checksum(&rsdp, 20);
	rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
	load(TDL_ACPI, &rsdp, sizeof(rsdp));
	load(TDL_MAILBOX, NULL, PAGE_SIZE);
}

/* The first 4 GiB, at their own addresses, in pages of 2 MiB. */
static void load_page_tables(void)
{
	u64 *pml4 = load(TDL_TABLES, NULL, 6 * PAGE_SIZE);
	u64 *pdpt = pml4 + 512, *pd = pdpt + 512;
	int i;

	pml4[0] = (TDL_TABLES + PAGE_SIZE) | PTE_TABLE;
	for (i = 0; i < 4; i++)
		pdpt[i] = (TDL_TABLES + (2 + i) * PAGE_SIZE) | PTE_TABLE;
	for (i = 0; i < 4 * 512; i++)
		pd[i] = i * (u64)SZ_2M | PTE_PAGE_2M;
}

static void add_e820(struct boot_params *b, u64 begin, u64 end, u32 type)
{
	b->e820_table[b->e820_entries++] = (struct boot_e820_entry) {
		.addr = begin, .size = end - begin, .type = type,
	};
}

/* Returns the address of the kernel's 64-bit entry. */
static u64 load_linux(const char *kernel, const char *initrd)
{
	const struct setup_header *hdr;
	struct boot_params *b;
	size_t size, setup, initrd_size;
	char *p = read_file(kernel, &size), *rd = read_file(initrd, &initrd_size);
	char *cmdline;

	hdr = (void *)(p + offsetof(struct boot_params, hdr));
	TEST_ASSERT(size > 0x1000 && hdr->header == 0x53726448 /* HdrS */ &&
		    hdr->version >= 0x20c && hdr->xloadflags & XLF_KERNEL_64,
		    "%s is no bzImage with a 64-bit entry", kernel);
	setup = ((hdr->setup_sects ?: 4) + 1) * 512;
	TEST_ASSERT(TDL_KERNEL + size - setup <= TDL_INITRD, "%s is too large", kernel);
	load(TDL_KERNEL, p + setup, size - setup);
	load(TDL_INITRD, rd, initrd_size);

	/* The header ends 2 bytes and the displacement of a jump at 0x200 later. */
	b = load(TDL_PARAMS, NULL, PAGE_SIZE);
	memcpy(&b->hdr, hdr, (u8)p[0x201] + 0x202 - offsetof(struct boot_params, hdr));
	b->hdr.type_of_loader = 0xff;
	b->hdr.cmd_line_ptr = TDL_CMDLINE;
	b->hdr.ramdisk_image = TDL_INITRD;
	b->hdr.ramdisk_size = initrd_size;
	b->acpi_rsdp_addr = TDL_ACPI;
	/* Reserved memory of other types would be mapped as shared. */
	add_e820(b, 0, TDL_KEEP, E820_RAM);
	add_e820(b, TDL_KEEP, TDL_KEEP_END, E820_NVS);
	add_e820(b, TDL_ACPI, SZ_1M, E820_ACPI);
	add_e820(b, SZ_1M, ram_pages * PAGE_SIZE, E820_RAM);

	cmdline = load(TDL_CMDLINE, NULL, PAGE_SIZE);
	/* There is no DMA: 2 MiB to bounce it, not a quarter of memory. */
	snprintf(cmdline, PAGE_SIZE,
		 "console=ttyS0 console=ttyprintk panic=-1 swiotlb=1024 %s", append);
	free(p);
	free(rd);
	return TDL_KERNEL + 0x200;
}

/* Code and parameters of the page of the reset vector. */
static void fill_boot_page(char *page, u64 entry)
{
	u64 *range = (u64 *)(page + TDL_RANGES), first, end;
	int n = 0;

	TEST_ASSERT(td_linux_boot_end - td_linux_boot_begin <= TDL_ENTRY,
		    "The boot code is too long");
	memcpy(page, td_linux_boot_begin, td_linux_boot_end - td_linux_boot_begin);
	*(u64 *)(page + TDL_ENTRY) = entry;
	/* What is larger first: memory of which nothing was loaded. */
	range[n++] = TDL_FREE;
	range[n++] = ram_pages * PAGE_SIZE;
	for (first = 0; first < ARRAY_SIZE(loaded); first = end) {
		for (end = first; end < ARRAY_SIZE(loaded) && loaded[end] == loaded[first];)
			end++;
		if (loaded[first])
			continue;
		TEST_ASSERT(n / 2 < TDL_NR_RANGES - 1, "Too many ranges");
		range[n++] = first * PAGE_SIZE;
		range[n++] = end * PAGE_SIZE;
	}
	/* jmp td_linux_boot_begin; the displacement counts from the next instruction. */
	page[TDL_RESET] = 0xe9;
	*(s32 *)&page[TDL_RESET + 1] = -(TDL_RESET + 5);
}

/* Private pages with contents. */
static void load_pages(struct td_mem *mem, u64 first, u64 nr, const char *from)
{
	if (mem->in_place) {
		td_mem_convert(mem, first, nr, true);
		memcpy(mem->hva + first * PAGE_SIZE, from, nr * PAGE_SIZE);
		td_mem_convert(mem, first, nr, false);
		from = NULL;
	}
	td_mem_load(mem, first, nr, from);
}

static void load_ram(void)
{
	u64 first, end;

	for (first = 0; first < ARRAY_SIZE(loaded); first = end) {
		for (end = first; end < ARRAY_SIZE(loaded) && loaded[end] == loaded[first];)
			end++;
		if (loaded[first])
			load_pages(&ram, first, end - first, image + first * PAGE_SIZE);
	}
}

/*
 * What KVM gets to know of a vCPU's CPUID.  The guest asks KVM only for what is KVM's:
 * the signature, and features, of which it is to use none.
 */
static void set_cpuid(struct kvm_vcpu *vcpu, u32 id)
{
	const struct kvm_cpuid2 *supported = kvm_get_supported_cpuid();
	struct kvm_cpuid2 *cpuid = allocate_kvm_cpuid2(supported->nent);
	bool signature = false;
	int i;

	memcpy(cpuid, supported, kvm_cpuid2_size(supported->nent));
	for (i = 0; i < cpuid->nent; i++) {
		struct kvm_cpuid_entry2 *e = &cpuid->entries[i];

		switch (e->function) {
		case 1:
			e->ebx = (e->ebx & 0xffff) | id << 24;
			e->ecx |= BIT(21);	/* x2APIC */
			break;
		case 0xb:
		case 0x1f:
			e->edx = id;
			break;
		case KVM_CPUID_SIGNATURE:
			signature = true;
			break;
		case KVM_CPUID_FEATURES:
			e->eax = 0;
			break;
		case 0x80000008:
			e->eax = (e->eax & 0xff00) | 48 | 48 << 16;
			break;
		}
	}
	TEST_ASSERT(signature, "KVM offers no signature");
	vcpu_init_cpuid(vcpu, cpuid);
	free(cpuid);
}

static void create(const char *kernel, const char *initrd)
{
	char *page = kvm_mmap(PAGE_SIZE, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int i, r;

	image = kvm_mmap(TDL_FREE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	load_page_tables();
	load_acpi();
	fill_boot_page(page, load_linux(kernel, initrd));

	vm = __td_vm_create(TD_ATTR_SEPT_VE_DISABLE);
	vm_enable_cap(vm, KVM_CAP_X86_APIC_BUS_CYCLES_NS, APIC_BUS_CYCLE_NS);
	for (i = 0; i < nr_vcpus; i++) {
		vcpus[i] = __vm_vcpu_add(vm, i);
		set_cpuid(vcpus[i], i);
		r = __td_vcpu_ioctl(vcpus[i], KVM_TDX_INIT_VCPU, 0, NULL);
		TEST_ASSERT_VM_VCPU_IOCTL(!r, KVM_TDX_INIT_VCPU, r, vm);
	}
	td_mem_add(vm, &ram, SLOT_RAM, 0, ram_pages, huge ? GUEST_MEMFD_FLAG_HUGEPAGE : 0);
	td_mem_add(vm, &boot_page, SLOT_BOOT, TDL_BOOT, 1, 0);
	/* What is shared is counted with the host's memory, page by page. */
	if (!ram.in_place)
		madvise(ram.hva, ram_pages * PAGE_SIZE, MADV_NOHUGEPAGE);
	load_ram();
	load_pages(&boot_page, 0, 1, page);
	td_finalize(vm);
	kvm_munmap(image, TDL_FREE);
	kvm_munmap(page, PAGE_SIZE);
}

/* A 16550A that has nothing to receive, and interrupts nobody. */
static struct {
	u8 reg[8], divisor[2], fifo;
	bool line_begins;
} serial = { .line_begins = true };

static void serial_out(u8 c)
{
	/* The lab looks for the kernel's own lines. */
	if (serial.line_begins)
		fputs("  | ", stdout);
	serial.line_begins = c == '\n';
	if (c != '\r')
		putchar(c);
}

static void serial_write(int reg, u8 value)
{
	if (reg < 2 && serial.reg[UART_LCR] & UART_LCR_DLAB)
		serial.divisor[reg] = value;
	else if (reg == UART_TX)
		serial_out(value);
	else if (reg == UART_FCR)
		serial.fifo = value;
	else if (reg == UART_IER)
		serial.reg[reg] = value & 0x0f;
	else
		serial.reg[reg] = value;
}

static u8 serial_read(int reg)
{
	if (reg < 2 && serial.reg[UART_LCR] & UART_LCR_DLAB)
		return serial.divisor[reg];
	switch (reg) {
	case UART_RX:
		return 0;
	case UART_IIR:
		return UART_IIR_NO_INT | (serial.fifo & UART_FCR_ENABLE_FIFO ? 0xc0 : 0);
	case UART_LSR:
		return UART_LSR_TEMT | UART_LSR_THRE;
	case UART_MSR:
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	}
	return serial.reg[reg];
}

static FILE *open_tdxemu(const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), TDXEMU "%s", name);
	return fopen(path, "r");
}

/* Leaves of the S-EPT. */
static void report_sept(void)
{
	unsigned long long gpa;
	unsigned int level, state;
	u64 n[2] = {}, pending = 0;
	FILE *f = open_tdxemu("sept");
	char line[128];

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%llx level %u state %u", &gpa, &level, &state) != 3)
			continue;
		if (state == STATE_MAPPED)
			n[!!level]++;
		else
			pending++;
	}
	fclose(f);
	printf("  S-EPT: %lu leaves of 2 MiB, %lu of 4 KiB, %lu not accepted\n",
	       n[1], n[0], pending);
}

/* SEAMCALLs and what the engine has done, since the last call; shows them if asked to. */
static void report_calls(bool show)
{
	static struct {
		char name[32];
		u64 count;
	} before[MAX_CALLS];
	FILE *f = open_tdxemu("counters");
	unsigned long long count;
	char line[128], name[32];
	const char *comma = "";
	int i;

	if (!f)
		return;
	if (show)
		printf("  SEAMCALLs and TDCALLs:");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%31s %llu", name, &count) != 2)
			continue;
		if (!strstr(line, " failed ") && strcmp(name, "instructions") &&
		    strncmp(name, "exits", 5) && strcmp(name, "crowded"))
			continue;
		for (i = 0; i < MAX_CALLS - 1 && before[i].name[0]; i++)
			if (!strcmp(before[i].name, name))
				break;
		if (show && count > before[i].count) {
			printf("%s %s %llu", comma, name, count - before[i].count);
			comma = ",";
		}
		strcpy(before[i].name, name);
		before[i].count = count;
	}
	fclose(f);
	if (show)
		printf("\n");
}

/* Where the vCPUs are, and what interrupts they have. */
static void report_vcpus(void)
{
	FILE *f = open_tdxemu("vcpus");
	char line[512];

	if (!f)
		return;
	while (fgets(line, sizeof(line), f))
		printf("  %s", line);
	fclose(f);
}

/* Memory of the host that nobody uses, in KiB; with what its CPUs keep at hand. */
static long host_free(void)
{
	FILE *refresh = fopen("/proc/sys/vm/stat_refresh", "w");
	FILE *f = fopen("/proc/zoneinfo", "r");
	char line[128];
	long pages = 0, n;

	TEST_ASSERT(f, "/proc/zoneinfo: errno %d", errno);
	/* Else each CPU's changes are seen when there are many. */
	if (refresh) {
		fputs("1", refresh);
		fclose(refresh);
	}
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " pages free %ld", &n) == 1 ||
		    sscanf(line, " count: %ld", &n) == 1)
			pages += n;
	}
	fclose(f);
	return pages * (PAGE_SIZE / SZ_1K);
}

static long host_free_before;	/* there was a TD */
static struct timespec begin;

static pthread_mutex_t report_lock = PTHREAD_MUTEX_INITIALIZER;

/* What there is, and what has happened since the last report. */
static void report(const char *when)
{
	static struct counts before;
	static u64 faults_before;
	struct counts now = counts;
	u64 faults = 0;
	int i;

	pthread_mutex_lock(&report_lock);
	for (i = 0; i < nr_vcpus; i++)
		faults += vcpu_get_stat(vcpus[i], pf_taken);
	printf("\n%s:\n", when);
	printf("  after %.1f s\n", timespec_to_ns(timespec_elapsed(begin)) / 1e9);
	report_sept();
	report_calls(true);
	printf("  faults: %lu, port I/Os: %lu\n", faults - faults_before, now.io - before.io);
	printf("  MapGPA: %lu to shared with %lu pages, %lu to private with %lu pages, %lu to be repeated\n",
	       now.to_shared - before.to_shared, now.pages_to_shared - before.pages_to_shared,
	       now.to_private - before.to_private,
	       now.pages_to_private - before.pages_to_private, now.retries - before.retries);
	printf("  given to the host: %lu ranges with %lu pages\n", now.given - before.given,
	       now.pages_given - before.pages_given);
	printf("  the TD has %ld KiB of the host's memory\n", host_free_before - host_free());
	before = now;
	faults_before = faults;
	pthread_mutex_unlock(&report_lock);
}

/* A guest that says nothing may be slow, or dead: the reports of a while tell. */
static void *watch(void *unused)
{
	u64 before = 0, now;
	char when[64];
	int silent = 0;

	while (status < 0) {
		sleep(1);
		now = __atomic_load_n(&counts.io, __ATOMIC_RELAXED);
		silent = now == before ? silent + 1 : 0;
		before = now;
		if (silent < SILENCE || silent % SILENCE)
			continue;
		snprintf(when, sizeof(when), "Nothing from the guest for %d s", silent);
		report(when);
		report_vcpus();
	}
	return NULL;
}

static void inject(void)
{
	FILE *f = fopen(TDXEMU "faults", "w");

	TEST_ASSERT(f && fprintf(f, "%s\n", fault) > 0 && !fclose(f), "'%s': errno %d", fault,
		    errno);
}

static u8 rtc_reg;

/*
 * What is read of a device that is not there.  Linux asks timer and clock before it has
 * read in the ACPI tables that there are none: it would wait a hundred thousand reads for
 * a counter of all ones to change, and a second for a clock that is always about to.
 */
static u8 absent(u16 port)
{
	switch (port) {
	case PIT_PORT ... PIT_PORT + 3:
		return 0;
	case RTC_PORT + 1:
		/* The first day of the first month of 2000. */
		return rtc_reg == RTC_DAY || rtc_reg == RTC_MONTH;
	}
	return 0xff;
}

static const char * const marks[] = {
	"The guest has reached a point",
	[TDL_MARK_USER] = "User space has begun",
	[TDL_MARK_CONVERTED] = "Memory has been converted",
	[TDL_MARK_BALLOON] = "The host has the balloon",
	[TDL_MARK_TURN] = "Some of memory has been converted",
	[TDL_MARK_GIVES] = "The balloon is back",
	[TDL_MARK_GIVEN] = "User space has given pages away, and has them back",
};

static void do_io(struct kvm_run *run)
{
	static u64 balloon_page;	/* The guest writes to both ports under a lock. */
	u8 *data = (u8 *)run + run->io.data_offset;
	bool in = run->io.direction == KVM_EXIT_IO_IN;
	int reg = run->io.port - SERIAL_PORT;

	/* The boot code does no I/O. */
	if (!COUNT(io, 1))
		report("Linux begins");
	if (reg >= 0 && reg < 8 && run->io.size == 1) {
		if (in)
			*data = serial_read(reg);
		else
			serial_write(reg, *data);
	} else if (in) {
		memset(data, absent(run->io.port), run->io.size * run->io.count);
	} else if (run->io.port == RTC_PORT) {
		rtc_reg = *data & 0x7f;
	} else if (run->io.port == TDL_EXIT_PORT) {
		status = *data;
	} else if (run->io.port == TDL_MARK_PORT) {
		report(*data < ARRAY_SIZE(marks) ? marks[*data] : marks[0]);
		if (*data == TDL_MARK_GIVES && fault)
			inject();
	} else if (run->io.port == TDL_BALLOON_PAGE) {
		balloon_page = *(u32 *)data;
	} else if (run->io.port == TDL_BALLOON_NR) {
		TEST_ASSERT(balloon_page + *(u32 *)data <= ram_pages,
			    "%u pages from page %lu on, which are no memory", *(u32 *)data,
			    balloon_page);
		td_mem_punch(&ram, balloon_page,
			     min(*(u32 *)data + (u64)too_long, ram_pages - balloon_page));
		COUNT(given, 1);
		COUNT(pages_given, *(u32 *)data);
	}
}

/* Errors that pass: the guest is asked to call again. */
static void do_map_gpa(struct kvm_run *run)
{
	gpa_t gpa = run->hypercall.args[0];
	u64 first = gpa / PAGE_SIZE, nr = run->hypercall.args[1];
	bool shared = !(run->hypercall.args[2] & KVM_MAP_GPA_RANGE_ENCRYPTED);
	int r;

	TEST_ASSERT(first + nr <= ram_pages, "MapGPA of 0x%lx, which is no memory", gpa);
	r = __td_mem_convert(&ram, first, nr, shared);
	/* What it was before is free now. */
	if (!r && shared && !ram.in_place)
		r = __td_mem_punch(&ram, first, nr);
	else if (!r && !shared && !ram.in_place)
		r = madvise(ram.hva + first * PAGE_SIZE, nr * PAGE_SIZE, MADV_DONTNEED);
	if (r && (errno == EAGAIN || errno == EBUSY || errno == ENOMEM)) {
		COUNT(retries, 1);
		run->hypercall.ret = EAGAIN;
		return;
	}
	TEST_ASSERT(!r, "Converting %lu pages at 0x%lx to %s: errno %d", nr, gpa,
		    shared ? "shared" : "private", errno);
	if (shared) {
		COUNT(to_shared, 1);
		COUNT(pages_to_shared, nr);
	} else {
		COUNT(to_private, 1);
		COUNT(pages_to_private, nr);
	}
	run->hypercall.ret = 0;
}

/* Returns false if the machine is to end. */
static bool do_exit(struct kvm_vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		do_io(run);
		return status < 0;
	case KVM_EXIT_HYPERCALL:
		TEST_ASSERT(run->hypercall.nr == KVM_HC_MAP_GPA_RANGE, "Hypercall %llu",
			    run->hypercall.nr);
		do_map_gpa(run);
		return true;
	case KVM_EXIT_MMIO:
		if (!run->mmio.is_write)
			memset(run->mmio.data, 0xff, run->mmio.len);
		return true;
	case KVM_EXIT_SYSTEM_EVENT:
		printf("\nvCPU %u: system event %u:", vcpu->id, run->system_event.type);
		for (int i = 0; i < run->system_event.ndata; i++)
			printf(" %llx", run->system_event.data[i]);
		printf("\n");
		break;
	default:
		printf("\nvCPU %u: exit reason %u (%s)\n", vcpu->id, run->exit_reason,
		       exit_reason_str(run->exit_reason));
	}
	status = 1;
	return false;
}

static void *run_vcpu(void *arg)
{
	struct kvm_vcpu *vcpu = arg;
	int r;

	do {
		r = __vcpu_run(vcpu);
		if (r && (errno == EAGAIN || errno == EINTR))
			continue;
		if (r) {
			printf("\nvCPU %u: KVM_RUN: errno %d\n", vcpu->id, errno);
			status = 1;
			break;
		}
	} while (status < 0 && (r || do_exit(vcpu)));
	return NULL;
}

static void nothing(int sig)
{
}

static void run(void)
{
	pthread_t threads[MAX_VCPUS], watcher;
	struct sigaction sa = { .sa_handler = nothing };
	int i;

	sigaction(SIGUSR1, &sa, NULL);
	pthread_create(&watcher, NULL, watch, NULL);
	for (i = 1; i < nr_vcpus; i++)
		pthread_create(&threads[i], NULL, run_vcpu, vcpus[i]);
	run_vcpu(vcpus[0]);
	for (i = 1; i < nr_vcpus; i++) {
		while (pthread_tryjoin_np(threads[i], NULL)) {
			pthread_kill(threads[i], SIGUSR1);
			usleep(10000);
		}
	}
	pthread_join(watcher, NULL);
}

/* Can a file of huge folios be had, and does KVM map them as such? */
static bool has_huge_pages(void)
{
	return td_has_gmem_flags(GUEST_MEMFD_FLAG_HUGEPAGE) &&
	       !access("/sys/module/kvm_intel/parameters/tdx_huge_page", F_OK) &&
	       get_kvm_intel_param_bool("tdx_huge_page");
}

int main(int argc, char **argv)
{
	u64 mib = 256;
	int opt;

	while ((opt = getopt(argc, argv, "c:m:sa:xf:")) != -1) {
		switch (opt) {
		case 'c':
			nr_vcpus = atoi_positive("vCPUs", optarg);
			break;
		case 'm':
			mib = atoi_positive("MiB", optarg);
			break;
		case 's':
			huge = false;
			break;
		case 'a':
			append = optarg;
			break;
		case 'x':
			too_long = true;
			break;
		case 'f':
			fault = optarg;
			break;
		default:
			return 2;
		}
	}
	TEST_ASSERT(argc - optind == 2 && nr_vcpus <= MAX_VCPUS && mib >= 64 && mib <= 2048,
		    "Usage: td_linux [-c VCPUS] [-m MIB] [-s] [-a APPEND] [-x] [-f FAULT] BZIMAGE INITRD");
	TEST_REQUIRE(td_is_supported());
	setvbuf(stdout, NULL, _IOLBF, 0);

	ram_pages = round_up(mib * SZ_1M, SZ_2M) / PAGE_SIZE;
	huge = huge && has_huge_pages();
	report_calls(false);
	host_free_before = host_free();
	clock_gettime(CLOCK_MONOTONIC, &begin);
	create(argv[optind], argv[optind + 1]);
	printf("\nLinux in a TD: %lu MiB on a guest_memfd with %s pages%s, %d vCPUs\n", mib,
	       huge ? "huge" : "small", ram.in_place ? ", converted in place" : "", nr_vcpus);
	run();
	printf("\nLinux ended with status %d\n", status);
	report("At the end");
	kvm_vm_free(vm);
	td_mem_free(&ram);
	td_mem_free(&boot_page);
	return status;
}
