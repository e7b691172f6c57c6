// SPDX-License-Identifier: GPL-2.0
/*
 * A firmware that starts Linux in a TD of QEMU: it accepts the memory that QEMU's list
 * names, takes kernel, initrd, command line and ACPI tables from QEMU by the DMA of its
 * fw_cfg device, and enters the kernel at its 64-bit entry.
 *
 * fw_cfg writes to shared memory alone: 2 MiB are converted for it, and back in the
 * end, before Linux runs. Nothing that comes from QEMU is measured, and a TD that is to
 * trust its kernel has to: this is a test.
 *
 *	0x10000		struct boot_params, the command line
 *	0x400000	2 MiB for fw_cfg
 *	0x800000	see start.S
 *	0x900000	ACPI tables
 *	0x1000000	the kernel
 *	end of memory	the initrd
 */
#include <asm/bootparam.h>

#define PORT_CONSOLE	0x3f8
#include "td.h"

#define PARAMS		((struct boot_params *)0x10000)
#define CMDLINE		0x11000ul
#define CMDLINE_SIZE	0x1000
#define LOW_END		0x9f000ul
#define HIGH_BEGIN	0x100000ul
#define BOUNCE		0x400000ul
#define HOB		0x820000ul
#define KEEP		0x800000ul
#define ACPI		0x900000ul
#define KEEP_END	0xa00000ul
#define KERNEL		0x1000000ul
#define MEMORY_MIN	0x4000000ul
#define MEMORY_MAX	0x40000000ul

/* fw_cfg */
#define KERNEL_SIZE	0x08
#define INITRD_SIZE	0x0b
#define KERNEL_DATA	0x11
#define INITRD_DATA	0x12
#define COMMAND_SIZE	0x14
#define COMMAND_DATA	0x15
#define SETUP_SIZE	0x17
#define SETUP_DATA	0x18
#define DIRECTORY	0x19
#define CHUNK		0x100000ul

/* PCI, by its ports: the LPC bridge of q35. */
#define PORT_PCI_ADDRESS 0xcf8
#define PORT_PCI_DATA	0xcfc
#define LPC(reg)	(0x80000000u | 31 << 11 | (reg))
#define LPC_PM_BASE	0x40
#define LPC_ACPI_CONTROL 0x44
#define LPC_ACPI_ENABLE	0x80
#define PM_BASE		0x600

#define E820_RAM	1
#define E820_ACPI	3

/* The list of memory: PI specification, "HOB". */
struct hob {
	unsigned short type, length;
	u32 reserved;
	unsigned char owner[16];
	u32 resource, attributes;
	u64 start, size;
};

#define HOB_RESOURCE	3
#define HOB_END		0xffff
#define RESOURCE_MEMORY	0
#define RESOURCE_UNACCEPTED 7

struct file {
	u32 size;	/* big endian */
	unsigned short select, reserved;
	char name[56];
};

/* What is to be done with the ACPI tables: a list of these. */
struct loader_entry {
	u32 command;
	union {
		struct {
			char file[56];
			u32 align;
			unsigned char zone;
		} allocate;
		struct {
			char file[56], source[56];
			u32 offset;
			unsigned char size;
		} pointer;
		struct {
			char file[56];
			u32 offset, start, length;
		} checksum;
		unsigned char pad[124];
	};
} __attribute__((packed));

#define ALLOCATE	1
#define ADD_POINTER	2
#define ADD_CHECKSUM	3

/* ACPI: MADT, the structure that names the mailbox. */
struct acpi_header {
	u32 signature, length;
	unsigned char revision, checksum;
	char oem[26];
} __attribute__((packed));

struct wakeup {
	unsigned char type, length;
	unsigned short version;
	u32 reserved;
	u64 mailbox;
};

#define MADT		0x43495041	/* "APIC" */
#define WAKEUP		16
#define MAILBOX		0x81b000ul	/* of start.S */

#define MAX_FILES	64
#define MAX_ENTRIES	128
#define MAX_TABLES	8

static u64 shared_bit;
static u64 accepted_2m, accepted_4k, memory_end;
static struct file files[MAX_FILES];
static u32 nr_files;
static struct loader_entry loader[MAX_ENTRIES];
static struct {
	const char *name;
	u64 at, size;
} tables[MAX_TABLES];
static u32 nr_tables;
static u64 acpi_at = ACPI;

static void __attribute__((noreturn)) die(const char *what, u64 value)
{
	put("firmware: ");
	put(what);
	put(": ");
	put_hex(value);
	put("\n");
	for (;;)
		out(PORT_EXIT, 1, EXIT_FAILED);
}

static u32 in(u64 port, u64 size)
{
	u64 value;

	if (vmcall(VMCALL_IO, size, 0, port, 0, &value))
		die("IN", port);
	return value;
}

static void copy(void *to, const void *from, u64 size)
{
	u64 words = size / 8, rest = size % 8;

	asm volatile("rep movsq; movq %3, %%rcx; rep movsb"
		     : "+&D" (to), "+&S" (from), "+&c" (words) : "r" (rest) : "memory");
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* What has been accepted is zero. */
static void accept(u64 gpa, u64 end)
{
	u64 status;

	while ((status = accept_range(&gpa, end, &accepted_2m, &accepted_4k)))
		if (STATUS(status) != OPERAND_BUSY)
			die("ACCEPT", gpa);
}

static void convert(u64 gpa, u64 size, int shared)
{
	u64 bit = shared ? shared_bit : 0, end = (gpa | bit) + size, next, status;
	u32 i;

	gpa |= bit;
	for (i = 0; i < MAX_RETRIES; i++) {
		status = vmcall(VMCALL_MAP_GPA, gpa, end - gpa, 0, 0, &next);
		if (!status)
			return;
		if (status != VMCALL_RETRY || next < gpa || next >= end)
			break;
		gpa = next;
	}
	die("MapGPA", gpa);
}

/* In chunks, by way of shared memory. */
static void fw_cfg_read(u32 select, void *to, u64 size)
{
	volatile u32 *c = (volatile u32 *)(BOUNCE + SHARED_WINDOW);
	u32 command = FW_CFG_SELECT | select << 16;
	u64 n;

	for (; size; size -= n, to += n) {
		n = size < CHUNK ? size : CHUNK;
		c[0] = swap32(FW_CFG_READ | command);
		c[1] = swap32(n);
		c[2] = 0;
		c[3] = swap32(BOUNCE + PAGE);
		out(PORT_FW_CFG_DMA, 4, 0);
		out(PORT_FW_CFG_DMA + 4, 4, swap32(BOUNCE));
		if (c[0])
			die("fw_cfg", select);
		copy(to, (void *)(BOUNCE + PAGE + SHARED_WINDOW), n);
		command = 0;
	}
}

static u32 fw_cfg_u32(u32 select)
{
	u32 value;

	fw_cfg_read(select, &value, sizeof(value));
	return value;
}

static void read_directory(void)
{
	u32 n;

	fw_cfg_read(DIRECTORY, &n, sizeof(n));
	nr_files = swap32(n);
	if (nr_files > MAX_FILES)
		die("files of fw_cfg", nr_files);
	/* It begins with their number. */
	static char all[sizeof(n) + sizeof(files)];

	fw_cfg_read(DIRECTORY, all, sizeof(n) + nr_files * sizeof(files[0]));
	copy(files, all + sizeof(n), nr_files * sizeof(files[0]));
}

static u32 find_file(const char *name, u64 *size)
{
	u32 i;

	for (i = 0; i < nr_files; i++) {
		if (same(files[i].name, name)) {
			*size = swap32(files[i].size);
			return swap32(files[i].select) >> 16;
		}
	}
	put(name);
	die(" is not in fw_cfg", nr_files);
}

static u64 accept_all(void)
{
	const struct hob *h = (const struct hob *)HOB;
	u64 end;

	for (; h->type != HOB_END; h = (const void *)h + h->length) {
		if (h->type != HOB_RESOURCE ||
		    (h->resource != RESOURCE_UNACCEPTED && h->resource != RESOURCE_MEMORY))
			continue;
		end = h->start + h->size;
		if (end > memory_end)
			memory_end = end;
		if (h->resource != RESOURCE_UNACCEPTED)
			continue;
		accept(h->start, end);
	}
	if (memory_end < MEMORY_MIN || memory_end > MEMORY_MAX)
		die("end of memory", memory_end);
	return memory_end;
}

static u64 table_at(const char *name, u64 offset, u64 size)
{
	u32 i;

	for (i = 0; i < nr_tables; i++) {
		if (!same(tables[i].name, name))
			continue;
		if (offset + size > tables[i].size)
			die("outside of a table", offset);
		return tables[i].at + offset;
	}
	die("no such table", nr_tables);
}

static void load_table(const struct loader_entry *e)
{
	u64 size, align = e->allocate.align;
	u32 select = find_file(e->allocate.file, &size);

	if (!align || align & (align - 1) || nr_tables == MAX_TABLES)
		die("a table", align);
	acpi_at = (acpi_at + align - 1) & -align;
	if (acpi_at + size > KEEP_END)
		die("no room for a table", size);
	fw_cfg_read(select, (void *)acpi_at, size);
	tables[nr_tables].name = e->allocate.file;
	tables[nr_tables].at = acpi_at;
	tables[nr_tables++].size = size;
	acpi_at += size;
}

static void add_pointer(const struct loader_entry *e)
{
	u64 value = 0, base = table_at(e->pointer.source, 0, 0);
	void *p = (void *)table_at(e->pointer.file, e->pointer.offset, e->pointer.size);

	if (e->pointer.size > sizeof(value))
		die("size of a pointer", e->pointer.size);
	copy(&value, p, e->pointer.size);
	value += base;
	copy(p, &value, e->pointer.size);
}

static void add_checksum(const struct loader_entry *e)
{
	const unsigned char *p = (void *)table_at(e->checksum.file, e->checksum.start,
						  e->checksum.length);
	unsigned char *sum = (void *)table_at(e->checksum.file, e->checksum.offset, 1);
	unsigned char all = 0;
	u32 i;

	/* Its own byte is one of them. */
	for (i = 0; i < e->checksum.length; i++)
		all += p[i];
	*sum -= all;
}

static void sum_up(struct acpi_header *h)
{
	const unsigned char *p = (const void *)h;
	u32 i;

	h->checksum = 0;
	for (i = 0; i < h->length; i++)
		h->checksum -= p[i];
}

/* The other vCPUs are in start.S. QEMU leaves it to the firmware to say where. */
static void add_mailbox(u64 rsdp)
{
	struct acpi_header *rsdt = (void *)(u64)*(u32 *)(rsdp + 16), *madt;
	struct wakeup w = { .type = WAKEUP, .length = sizeof(w), .mailbox = MAILBOX };
	u32 *table = (u32 *)(rsdt + 1), length;

	while ((void *)table < (void *)rsdt + rsdt->length &&
	       *(u32 *)(u64)*table != MADT)
		table++;
	if ((void *)table >= (void *)rsdt + rsdt->length)
		die("no MADT", rsdp);
	length = ((struct acpi_header *)(u64)*table)->length;
	acpi_at = (acpi_at + 63) & -64;
	if (acpi_at + length + sizeof(w) > KEEP_END)
		die("no room for the MADT", length);
	madt = (void *)acpi_at;
	copy(madt, (void *)(u64)*table, length);
	copy((void *)madt + length, &w, sizeof(w));
	madt->length += sizeof(w);
	sum_up(madt);
	*table = acpi_at;
	sum_up(rsdt);
}

/* Returns the address of the RSDP. QEMU makes the tables when they are first asked for. */
static u64 load_acpi(void)
{
	struct regs info = {};
	u64 size, rsdp;
	u32 i, select;

	/* A firmware decides where these ports are, and QEMU tells it in the tables. */
	out(PORT_PCI_ADDRESS, 4, LPC(LPC_PM_BASE));
	out(PORT_PCI_DATA, 4, PM_BASE | 1);
	out(PORT_PCI_ADDRESS, 4, LPC(LPC_ACPI_CONTROL));
	out(PORT_PCI_DATA, 1, LPC_ACPI_ENABLE);
	if (in(PORT_PCI_DATA, 1) != LPC_ACPI_ENABLE)
		die("no LPC bridge", in(PORT_PCI_DATA, 1));

	select = find_file("etc/table-loader", &size);
	if (size > sizeof(loader))
		die("entries of the loader", size);
	fw_cfg_read(select, loader, size);
	for (i = 0; i < size / sizeof(loader[0]); i++) {
		switch (loader[i].command) {
		case 0:
			break;
		case ALLOCATE:
			load_table(&loader[i]);
			break;
		case ADD_POINTER:
			add_pointer(&loader[i]);
			break;
		case ADD_CHECKSUM:
			add_checksum(&loader[i]);
			break;
		default:
			die("command of the loader", loader[i].command);
		}
	}
	rsdp = table_at("etc/acpi/rsdp", 0, 20);
	tdcall(TDG_INFO, &info);
	if ((u32)info.r8 > 1)
		add_mailbox(rsdp);
	return rsdp;
}

static void add_e820(u64 begin, u64 end, u32 type)
{
	struct boot_e820_entry *e = &PARAMS->e820_table[PARAMS->e820_entries++];

	e->addr = begin;
	e->size = end - begin;
	e->type = type;
}

/* Returns the address of the kernel's 64-bit entry. */
static u64 load_linux(void)
{
	static unsigned char setup[0x8000];
	u64 setup_size = fw_cfg_u32(SETUP_SIZE), size = fw_cfg_u32(KERNEL_SIZE), initrd;
	u64 initrd_size = fw_cfg_u32(INITRD_SIZE), cmdline_size = fw_cfg_u32(COMMAND_SIZE);
	struct setup_header *hdr = &PARAMS->hdr;

	if (setup_size < 0x400 || setup_size > sizeof(setup))
		die("size of the kernel's set-up code", setup_size);
	fw_cfg_read(SETUP_DATA, setup, setup_size);
	/* The header ends 2 bytes and the displacement of a jump at 0x200 later. */
	copy(hdr, setup + 0x1f1, setup[0x201] + 0x202 - 0x1f1);
	if (hdr->header != 0x53726448 /* HdrS */ || hdr->version < 0x20c ||
	    !(hdr->xloadflags & XLF_KERNEL_64))
		die("no bzImage with a 64-bit entry, version", hdr->version);
	initrd = (memory_end - initrd_size) & -LEAF;
	if (KERNEL + size > initrd || KERNEL + hdr->init_size > initrd)
		die("no room for the kernel", hdr->init_size);
	if (cmdline_size > CMDLINE_SIZE)
		die("size of the command line", cmdline_size);
	fw_cfg_read(KERNEL_DATA, (void *)KERNEL, size);
	fw_cfg_read(INITRD_DATA, (void *)initrd, initrd_size);
	fw_cfg_read(COMMAND_DATA, (void *)CMDLINE, cmdline_size);
	hdr->type_of_loader = 0xff;
	hdr->cmd_line_ptr = CMDLINE;
	hdr->ramdisk_image = initrd;
	hdr->ramdisk_size = initrd_size;
	/* Reserved memory of other types would be mapped as shared. */
	add_e820(0, LOW_END, E820_RAM);
	add_e820(HIGH_BEGIN, KEEP, E820_RAM);
	add_e820(KEEP, KEEP_END, E820_ACPI);
	add_e820(KEEP_END, memory_end, E820_RAM);
	return KERNEL + 0x200;
}

void firmware(void)
{
	u64 entry;

	shared_bit = map_shared();
	accept_all();
	convert(BOUNCE, LEAF, 1);
	read_directory();
	PARAMS->acpi_rsdp_addr = load_acpi();
	entry = load_linux();
	convert(BOUNCE, LEAF, 0);
	accept(BOUNCE, BOUNCE + LEAF);
	put("firmware: accepted ");
	put_number(accepted_2m, 10);
	put(" x 2 MiB, ");
	put_number(accepted_4k, 10);
	put(" x 4 KiB\n");
	asm volatile("jmp *%0" : : "a" (entry), "S" (PARAMS) : "memory");
	__builtin_unreachable();
}
