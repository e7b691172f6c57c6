/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the guests of this directory have in common: TDCALLs, ports, text, and the layout
 * that start.S makes. Whoever includes it says which port PORT_CONSOLE is.
 */
typedef unsigned int u32;
typedef unsigned long u64;

#define PAGE		0x1000ul
#define LEAF		0x200000ul
#define LEAF_PAGES	(LEAF / PAGE)

/* The first GiB once more, as shared memory: see start.S. */
#define SHARED_WINDOW	0x40000000ul
#define SHARED_PD	((volatile u64 *)0x803000ul)

#define PORT_EXIT	0xf4
#define PORT_FW_CFG_DMA	0x514
#define EXIT_PASSED	0x10
#define EXIT_FAILED	0x11

#define FW_CFG_ERROR	1u
#define FW_CFG_READ	2u
#define FW_CFG_SELECT	8u
#define FW_CFG_SIGNATURE 0

#define TDG_VMCALL	0
#define TDG_INFO	1
#define TDG_ACCEPT	6
#define STATUS(r)	((r) >> 32)
#define OPERAND_BUSY	0x80000200
#define SIZE_MISMATCH	0xc0000b0b
#define VMCALL_IO	30
#define VMCALL_MAP_GPA	0x10001
#define VMCALL_RETRY	1
/* In a row. A VMM may ask for some, and not for ever. */
#define MAX_RETRIES	1000

struct regs {
	u64 rcx, rdx, r8, r9, r10, r11, r12, r13, r14, r15;
};

static inline u64 tdcall(u64 leaf, struct regs *r)
{
	register u64 r8 asm("r8") = r->r8;
	register u64 r9 asm("r9") = r->r9;
	register u64 r10 asm("r10") = r->r10;
	register u64 r11 asm("r11") = r->r11;
	register u64 r12 asm("r12") = r->r12;
	register u64 r13 asm("r13") = r->r13;
	register u64 r14 asm("r14") = r->r14;
	register u64 r15 asm("r15") = r->r15;

	asm volatile(".byte 0x66, 0x0f, 0x01, 0xcc"
		     : "+a" (leaf), "+c" (r->rcx), "+d" (r->rdx), "+r" (r8),
		       "+r" (r9), "+r" (r10), "+r" (r11), "+r" (r12), "+r" (r13),
		       "+r" (r14), "+r" (r15) : : "memory");
	r->r8 = r8;
	r->r10 = r10;
	r->r11 = r11;
	return leaf;
}

/* R10 to R15 are what the VMM gets to see. Returns the VMM's status. */
static inline u64 vmcall(u64 nr, u64 r12, u64 r13, u64 r14, u64 r15, u64 *out)
{
	struct regs r = {
		.rcx = 0xfc00, .r11 = nr, .r12 = r12, .r13 = r13, .r14 = r14, .r15 = r15,
	};

	if (tdcall(TDG_VMCALL, &r))
		asm volatile("ud2");
	if (out)
		*out = r.r11;
	return r.r10;
}

static inline void out(u64 port, u64 size, u32 value)
{
	vmcall(VMCALL_IO, size, 1, port, value, 0);
}

static inline void put(const char *s)
{
	while (*s)
		out(PORT_CONSOLE, 1, *s++);
}

static inline void put_number(u64 v, u64 base)
{
	char s[24], *p = s + sizeof(s);

	*--p = 0;
	do {
		*--p = "0123456789abcdef"[v % base];
		v /= base;
	} while (v);
	put(p);
}

static inline void put_hex(u64 v)
{
	put("0x");
	put_number(v, 16);
}

static inline u64 accept_one(u64 gpa, u64 level)
{
	struct regs r = { .rcx = gpa | level };

	return tdcall(TDG_ACCEPT, &r);
}

/*
 * Accepts from *gpa to end, by 2 MiB where the VMM lets it, counts the pages of each size, and
 * leaves in *gpa how far it has come. Returns the status of what could not be accepted.
 */
static inline u64 accept_range(u64 *gpa, u64 end, u64 *nr_2m, u64 *nr_4k)
{
	u64 status;

	while (*gpa < end) {
		if (!(*gpa % LEAF) && *gpa + LEAF <= end) {
			status = accept_one(*gpa, 1);
			if (!status) {
				++*nr_2m;
				*gpa += LEAF;
				continue;
			}
			if (STATUS(status) != SIZE_MISMATCH)
				return status;
		}
		status = accept_one(*gpa, 0);
		if (status)
			return status;
		++*nr_4k;
		*gpa += PAGE;
	}
	return 0;
}

static inline u32 swap32(u32 v)
{
	return v << 24 | (v & 0xff00) << 8 | (v >> 8 & 0xff00) | v >> 24;
}

/* Fills the page table of the window. Returns the bit of shared addresses. */
static inline u64 map_shared(void)
{
	struct regs r = {};
	u64 i, bit;

	if (tdcall(TDG_INFO, &r))
		asm volatile("ud2");
	bit = 1ul << ((r.rcx & 0x3f) - 1);
	for (i = 0; i < 512; i++)
		SHARED_PD[i] = i * LEAF | bit | 0x83;
	return bit;
}
