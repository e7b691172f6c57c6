// SPDX-License-Identifier: GPL-2.0
/*
 * What the core needs of the kernel (struct tdxemu_platform), and what a tester
 * sees of it in debugfs, /sys/kernel/debug/tdxemu:
 *
 *	trace		the last SEAMCALLs and TDCALLs, oldest first
 *	counters	calls of each leaf, and how often which status came of it; requests
 *			of vCPUs, how many of those were to leave the guest at once, and
 *			the interrupts that were sent for any
 *	violations	broken rules; the run has failed if there is one
 *	faults		faults to order; written: "clear", or a line of key=value
 *	check		written: compare all TDs with KVM's page tables now
 *	touch		written: the host reads a byte at this physical address
 *	owned		pages that the module owns, as ranges of physical addresses; with
 *			"mapped" behind those that the host could touch unnoticed
 */
#include <linux/cpu.h>
#include <linux/debugfs.h>
#include <linux/kdebug.h>
#include <linux/kernel.h>
#include <linux/parser.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/topology.h>
#include <linux/uaccess.h>
#include <asm/cpuid/api.h>
#include <asm/fpu/xstate.h>
#include <asm/insn.h>
#include <asm/tdx.h>
#include <asm/tsc.h>
#include <asm/vmx.h>

#include "emu.h"

/* Traces of the first few: the rest mostly follows from them. */
#define VIOLATIONS_TRACED	3
#define VIOLATIONS_PRINTED	30
#define TRACE_PRINTED		64

static DEFINE_RAW_SPINLOCK(core_lock);
static atomic_t violations = ATOMIC_INIT(0);

static unsigned long platform_lock(void)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&core_lock, flags);
	return flags;
}

static void platform_unlock(unsigned long flags)
{
	raw_spin_unlock_irqrestore(&core_lock, flags);
}

static unsigned int platform_cpu(void)
{
	return raw_smp_processor_id();
}

static unsigned int platform_package(unsigned int cpu)
{
	return topology_physical_package_id(cpu);
}

static u64 platform_tsc(void)
{
	return rdtsc();
}

static void print_trace(unsigned int n)
{
	struct tdxemu_trace t;
	char line[160];

	while (n--) {
		if (!tdxemu_trace_get(n, &t))
			continue;
		tdxemu_trace_line(&t, line, sizeof(line));
		pr_err("tdxemu: %s\n", line);
	}
}

/**
 * emu_violation() - a rule is broken: the run fails
 * @fmt: what is wrong
 *
 * Any context. The lab looks for the word in the console.
 */
void emu_violation(const char *fmt, ...)
{
	int n = atomic_inc_return(&violations);
	struct va_format vaf;
	va_list args;

	if (n > VIOLATIONS_PRINTED)
		return;
	va_start(args, fmt);
	vaf.fmt = fmt;
	vaf.va = &args;
	pr_err("tdxemu: VIOLATION: %pV\n", &vaf);
	va_end(args);
	if (n > VIOLATIONS_TRACED)
		return;
	print_trace(TRACE_PRINTED);
	dump_stack();
}

static void platform_violation(const struct tdxemu_violation *v)
{
	char line[200];

	tdxemu_violation_line(v, line, sizeof(line));
	emu_violation("%s", line);
}

static LIST_HEAD(vcpus);
static DEFINE_RAW_SPINLOCK(vcpus_lock);

static bool platform_vp_init(struct tdxemu_vp *vp, const struct tdxemu_vp_init *init)
{
	struct emu_vcpu *v;
	unsigned long flags;

	if (!emu_engine_ready())
		return false;
	v = kzalloc(sizeof(*v), GFP_ATOMIC);
	if (!v)
		return false;
	emu_vcpu_reset(v, init->rcx, init->index, init->gpaw);
	if (emu_engine->vcpu_init && !emu_engine->vcpu_init(v)) {
		kfree(v);
		return false;
	}
	v->vp = vp;
	v->td = tdxemu_vp_td(vp);
	v->sept_ve_disable = init->sept_ve_disable;
	v->xfam = init->xfam;
	v->apic_id = init->apic_id;
	v->index = init->index;
	tdxemu_vp_set_priv(vp, v);
	raw_spin_lock_irqsave(&vcpus_lock, flags);
	list_add_tail(&v->all, &vcpus);
	raw_spin_unlock_irqrestore(&vcpus_lock, flags);
	return true;
}

static void platform_vp_free(struct tdxemu_vp *vp)
{
	struct emu_vcpu *v = tdxemu_vp_priv(vp);
	unsigned long flags;

	if (v) {
		raw_spin_lock_irqsave(&vcpus_lock, flags);
		list_del(&v->all);
		raw_spin_unlock_irqrestore(&vcpus_lock, flags);
	}
	if (v && emu_engine->vcpu_free)
		emu_engine->vcpu_free(v);
	kfree(v);
	tdxemu_vp_set_priv(vp, NULL);
}

static bool platform_vp_read(struct tdxemu_vp *vp, u64 field, u64 *value)
{
	struct emu_vcpu *v = tdxemu_vp_priv(vp);

	if (TDXEMU_FIELD_KEY(field) != TDXEMU_F_STATE_DETAILS || !v)
		return false;
	*value = emu_irq_pending(v);
	return true;
}

/* Of leaf 1, what a TD has if its CPU has it: without an FPU, and what an FPU adds. */
#define EDX_1_BASE	(BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) |	\
			 BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(15) | BIT(16) |	\
			 BIT(17) | BIT(19))
#define EDX_1_FPU	(BIT(0) | BIT(23) | BIT(24) | BIT(25) | BIT(26))
/* SSE3, PCLMULQDQ, SSSE3, SSE4, MOVBE, POPCNT, AES, XSAVE, RDRAND */
#define ECX_1_FPU	(BIT(0) | BIT(1) | BIT(9) | BIT(19) | BIT(20) | BIT(22) | BIT(23) | \
			 BIT(25) | BIT(26) | BIT(30))
#define ECX_1_OSXSAVE	BIT(27)
/* FMA, AVX, F16C: for a TD whose XFAM has AVX. */
#define ECX_1_AVX	(BIT(12) | BIT(28) | BIT(29))
/* FSGSBASE, SMEP, ERMS, INVPCID, RDSEED, ADX, SMAP */
#define EBX_7_FPU	(BIT(0) | BIT(7) | BIT(9) | BIT(10) | BIT(18) | BIT(19) | BIT(20))
/* BMI1, AVX2, BMI2 */
#define EBX_7_AVX	(BIT(3) | BIT(5) | BIT(8))

/*
 * CPUID of a TD before it is configured. It has what the CPU has, as far as the engine can
 * execute it; what XFAM allows is seen to by emu_cpuid().
 */
static bool platform_cpuid(u32 leaf, u32 sub, u32 out[4])
{
	const bool fpu = emu_engine->fpu;
	u32 cpu[4];

	memset(out, 0, 4 * sizeof(*out));
	switch (leaf) {
	case 7:
	case 0x21:
		if (sub)
			return false;
		break;
	case 0xd:
		if (!fpu || sub > 2)
			return false;
		break;
	default:
		if (sub != ~0u)
			return false;
	}
	cpuid_count(leaf, sub, &cpu[0], &cpu[1], &cpu[2], &cpu[3]);
	switch (leaf) {
	case 0:
		memcpy(out, cpu, sizeof(cpu));
		out[0] = 0x21;
		return true;
	case 1:
		out[0] = cpu[0];
		out[1] = cpu[1] & 0x0000ffff;
		/* CMPXCHG16B, x2APIC, and that there is a hypervisor. */
		out[2] = BIT(13) | BIT(21) | BIT(31);
		out[3] = cpu[3] & EDX_1_BASE;
		if (fpu) {
			out[2] |= cpu[2] & (ECX_1_FPU | ECX_1_AVX);
			out[3] |= cpu[3] & EDX_1_FPU;
		}
		return true;
	case 7:
		/* SMEP, SMAP; the interpreter does both by itself. */
		out[1] = fpu ? cpu[1] & (EBX_7_FPU | EBX_7_AVX) : BIT(7) | BIT(20);
		return true;
	case 0xd:
		/* The parts, their places, and XSAVEOPT. */
		if (sub == 1)
			out[0] = cpu[0] & BIT(0);
		else
			memcpy(out, cpu, sizeof(cpu));
		return true;
	case 0x15:
		/*
		 * The crystal has 25 MHz, and drives the APIC timer as well. A TD's TSC
		 * is not scaled here: its ratio is what the CPU's TSC has, and no integer.
		 */
		out[0] = 2500;
		out[1] = DIV_ROUND_CLOSEST(tsc_khz, 10);
		out[2] = 25000000;
		return true;
	case 0x21:
		memcpy(&out[1], "Inte    lTDX", 12);
		return true;
	case 0x80000000:
		out[0] = 0x80000008;
		return true;
	case 0x80000001:
		out[2] = BIT(0);
		out[3] = BIT(11) | BIT(20) | BIT(26) | BIT(27) | BIT(29);
		return true;
	case 0x80000007:
		out[3] = BIT(8);	/* The TSC is invariant. */
		return true;
	case 0x80000008:
		out[0] = 52 | 48 << 8;
		return true;
	}
	return false;
}

/* What depends on the vCPU, and on its XFAM. */
static void vcpu_cpuid(struct emu_vcpu *v, u32 leaf, u32 sub, u32 *out)
{
	const bool avx = v->xfam & XFEATURE_MASK_YMM;
	u32 size = XSAVE_HDR_OFFSET + XSAVE_HDR_SIZE, cpu[4];

	switch (leaf) {
	case 1:
		out[1] |= v->apic_id << 24;
		if (!avx)
			out[2] &= ~ECX_1_AVX;
		if (out[2] & BIT(26) && v->cr4 & X86_CR4_OSXSAVE)
			out[2] |= ECX_1_OSXSAVE;
		break;
	case 7:
		if (!avx)
			out[1] &= ~EBX_7_AVX;
		break;
	case 0xd:
		cpuid_count(0xd, 2, &cpu[0], &cpu[1], &cpu[2], &cpu[3]);
		if (!sub) {
			out[0] &= v->xfam;
			out[1] = v->xcr0 & XFEATURE_MASK_YMM ? cpu[0] + cpu[1] : size;
			out[2] = avx ? cpu[0] + cpu[1] : size;
			out[3] &= v->xfam >> 32;
		} else if (sub == 2 && !avx) {
			memset(out, 0, 4 * sizeof(*out));
		}
		break;
	}
}

/**
 * emu_cpuid() - the guest executes CPUID
 * @v: the vCPU
 * @leaf: EAX
 * @sub: ECX
 * @out: EAX, EBX, ECX, EDX
 *
 * Return: false if the module leaves that to the guest (#VE).
 */
bool emu_cpuid(struct emu_vcpu *v, u32 leaf, u32 sub, u32 *out)
{
	if (!platform_cpuid(leaf, ~0u, out) && !platform_cpuid(leaf, sub, out)) {
		/* There are no more subleaves: nothing, and nothing to ask for. */
		if (leaf != 7 && (leaf != 0xd || !emu_engine->fpu))
			return false;
		memset(out, 0, 4 * sizeof(*out));
		return true;
	}
	vcpu_cpuid(v, leaf, sub, out);
	return true;
}

static u64 platform_rip(struct tdxemu_vp *vp)
{
	struct emu_vcpu *v = tdxemu_vp_priv(vp);

	return v->rip;
}

static const struct tdxemu_cpuid_config cpuid_config[] = {
	{ .leaf = 1, .subleaf = ~0u, .mask = { 0x0fff3fff, 0x00ff0000 } },
	{ .leaf = 0x80000008, .subleaf = ~0u, .mask = { 0x00ff0000 } },
};

static struct tdxemu_platform platform __ro_after_init = {
	.page = emu_va,
	.owned = emu_page_owned,
	.cpu = platform_cpu,
	.package = platform_package,
	.lock = platform_lock,
	.unlock = platform_unlock,
	.irq_pending = emu_host_interrupt,
	.tsc = platform_tsc,
	.rip = platform_rip,
	.run = emu_run,
	.vp_init = platform_vp_init,
	.vp_free = platform_vp_free,
	.vp_read = platform_vp_read,
	.violation = platform_violation,
	.cpuid = platform_cpuid,
	.cpuid_config = cpuid_config,
	.nr_cpuid_config = ARRAY_SIZE(cpuid_config),
	.features0 = TDXEMU_F0_DEFAULT | TDXEMU_F0_ENHANCED_DEMOTE,
	.strict = true,
};

/* "tdxemu_features0=": to take features away, or to add some. */
static int __init set_features0(char *s)
{
	return kstrtou64(s, 0, &platform.features0) ? 0 : 1;
}
__setup("tdxemu_features0=", set_features0);

/* "tdxemu_module=": "1.5" or "2.0". */
static int __init set_module(char *s)
{
	if (!strcmp(s, "2.0"))
		platform.module = TDXEMU_MODULE_2_0;
	else if (strcmp(s, "1.5"))
		return 0;
	return 1;
}
__setup("tdxemu_module=", set_module);

static unsigned int present_cpus;

/* "tdxemu_cpus=": how many vCPUs a TD can have, if more than there are CPUs. */
static int __init set_cpus(char *s)
{
	return kstrtouint(s, 0, &present_cpus) ? 0 : 1;
}
__setup("tdxemu_cpus=", set_cpus);

/**
 * tdxemu_present_cpus() - the number of CPUs that KVM takes this machine to have
 */
unsigned int tdxemu_present_cpus(void)
{
	return max(present_cpus, cpumask_weight(cpu_present_mask));
}

static int __init platform_init(void)
{
	u64 keyids;

	BUILD_BUG_ON(sizeof(struct tdxemu_args) != sizeof(struct tdx_module_args));
	BUILD_BUG_ON(offsetof(struct tdxemu_args, rsi) != offsetof(struct tdx_module_args, rsi));
	if (rdmsrq_safe(MSR_IA32_MKTME_KEYID_PARTITIONING, &keyids))
		return 0;
	platform.nr_cpus = nr_cpu_ids;
	platform.nr_packages = topology_max_packages();
	platform.phys_bits = boot_cpu_data.x86_phys_bits;
	platform.first_keyid = (u32)keyids + 1;
	platform.nr_keyids = keyids >> 32;
	/* A second. */
	platform.host_priority_ticks = 1000ull * tsc_khz;
	tdxemu_init(&platform);
	return 0;
}
/* tdx.c makes the first call at subsys_initcall(). */
arch_initcall(platform_init);

static int trace_show(struct seq_file *m, void *unused)
{
	unsigned int n = TDXEMU_TRACE;
	struct tdxemu_trace t;
	char line[160];

	while (n--) {
		if (!tdxemu_trace_get(n, &t))
			continue;
		tdxemu_trace_line(&t, line, sizeof(line));
		seq_printf(m, "%s\n", line);
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(trace);

static atomic64_t requests, leaves, ipis;

/**
 * tdxemu_count_request() - KVM makes a request of a vCPU
 * @leave: to leave the guest, if it is there, and nothing else
 */
void tdxemu_count_request(bool leave)
{
	atomic64_inc(&requests);
	if (leave)
		atomic64_inc(&leaves);
}

/**
 * tdxemu_count_ipis() - KVM interrupts CPUs on which vCPUs run
 * @nr: how many
 */
void tdxemu_count_ipis(unsigned int nr)
{
	atomic64_add(nr, &ipis);
}

static int counters_show(struct seq_file *m, void *unused)
{
	u64 status, count, failed;
	unsigned int i;
	u16 leaf;

	for (i = 0; i < TDXEMU_NR_LEAVES; i++) {
		count = tdxemu_count(i, &failed);
		if (count)
			seq_printf(m, "%s %llu failed %llu\n", tdxemu_leaf_name(i),
				   count, failed);
	}
	for (i = 0; !tdxemu_count_status(i, &leaf, &status, &count); i++)
		seq_printf(m, "%s %s %016llx %llu\n", tdxemu_leaf_name(leaf),
			   tdxemu_status_name(status), status, count);
	seq_printf(m, "features0 0x%llx\n", tdxemu_features0());
	seq_printf(m, "engine %s\n", emu_engine->name);
	seq_printf(m, "requests %llu leave %llu ipis %llu\n",
		   atomic64_read(&requests), atomic64_read(&leaves),
		   atomic64_read(&ipis));
	seq_printf(m, "instructions %llu\n", emu_instructions());
	for (i = 0, count = 0; i < EMU_VMX_REASONS; i++)
		count += emu_vmx_exits(i);
	seq_printf(m, "exits %llu\n", count);
	for (i = 0; i < EMU_VMX_REASONS; i++) {
		count = emu_vmx_exits(i);
		if (count)
			seq_printf(m, "exits-%u %llu\n", i, count);
	}
	seq_printf(m, "crowded %llu\n", emu_vmx_exits(EMU_VMX_REASONS));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(counters);

static void show_vectors(struct seq_file *m, const char *name, const void *map)
{
	unsigned int vector;

	for_each_set_bit(vector, (unsigned long *)map, 256)
		seq_printf(m, " %s-0x%x", name, vector);
}

/* As they were when they left their TD last, or in the middle of a stay. */
static int vcpus_show(struct seq_file *m, void *unused)
{
	struct emu_vcpu *v;
	unsigned long flags;

	raw_spin_lock_irqsave(&vcpus_lock, flags);
	list_for_each_entry(v, &vcpus, all) {
		seq_printf(m, "vCPU %u rip 0x%llx cs 0x%x rsp 0x%llx rflags 0x%llx cr2 0x%llx cr3 0x%llx tpr %llu",
			   v->index, v->rip, v->seg[VCPU_SREG_CS].sel, v->regs[VCPU_REGS_RSP],
			   v->rflags, v->cr2, v->cr3, v->cr8);
		show_vectors(m, "irr", v->irr);
		show_vectors(m, "isr", v->isr);
		if (v->pi) {
			seq_printf(m, " notification %d", pi_test_on(v->pi));
			show_vectors(m, "posted", v->pi->pir);
		}
		seq_puts(m, "\n");
	}
	raw_spin_unlock_irqrestore(&vcpus_lock, flags);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vcpus);

static int violations_show(struct seq_file *m, void *unused)
{
	unsigned int i;

	seq_printf(m, "%d\n", atomic_read(&violations));
	for (i = 0; i < TDXEMU_NR_RULES; i++)
		if (tdxemu_violations(i))
			seq_printf(m, "rule %u: %llu\n", i, tdxemu_violations(i));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(violations);

static const char * const kinds[] = {
	[TDXEMU_FAULT_NONE] = "none",
	[TDXEMU_FAULT_BUSY] = "busy",
	[TDXEMU_FAULT_STATUS] = "status",
	[TDXEMU_FAULT_EPOCH_BUSY] = "epoch-busy",
	[TDXEMU_FAULT_RESTARTABLE] = "restartable",
	[TDXEMU_FAULT_RESUMABLE] = "resumable",
	[TDXEMU_FAULT_R8] = "r8",
	[TDXEMU_FAULT_ENTROPY] = "entropy",
	[TDXEMU_FAULT_ZERO_STEP] = "zero-step",
	[TDXEMU_FAULT_MACHINE_CHECK] = "machine-check",
	[TDXEMU_FAULT_SKIP_TRACKING] = "skip-tracking",
	[TDXEMU_FAULT_CHILD_STATE] = "child-state",
	[TDXEMU_FAULT_CHILD_HPA] = "child-hpa",
	[TDXEMU_FAULT_SKIP_FLUSH] = "skip-flush",
	[TDXEMU_FAULT_ALIAS] = "alias",
	[TDXEMU_FAULT_CHLDCNT] = "chldcnt",
	[TDXEMU_FAULT_SKIP_WB] = "skip-wb",
};

/* Faults of their own: the host believes that it made a call, and it did not. */
static atomic_t drops[TDXEMU_NR_LEAVES];

/**
 * emu_drop() - is this SEAMCALL to be lost, with success as its status
 * @fn: its number
 */
bool emu_drop(u64 fn)
{
	return (u16)fn < TDXEMU_NR_LEAVES &&
	       atomic_dec_if_positive(&drops[(u16)fn]) >= 0;
}

static int faults_show(struct seq_file *m, void *unused)
{
	struct tdxemu_fault f;
	int id;

	for (id = 0; tdxemu_fault_get(id, &f); id++)
		seq_printf(m, "%d kind=%s leaf=%d level=%d gpa=0x%llx size=0x%llx skip=%llu times=%lld until_out=%d operand=0x%x status=0x%llx hits=%llu\n",
			   id, kinds[f.kind], f.leaf, f.level, f.gpa, f.size,
			   f.skip, f.times, f.until_out, f.operand, f.status, f.hits);
	return 0;
}

static int fault_key(struct tdxemu_fault *f, bool *drop, const char *key,
		     const char *value)
{
	u64 n;

	if (!strcmp(key, "kind")) {
		int kind = match_string(kinds, ARRAY_SIZE(kinds), value);

		*drop = !strcmp(value, "drop");
		if (kind < 0 && !*drop)
			return -EINVAL;
		f->kind = max(kind, 0);
		return 0;
	}
	if (kstrtou64(value, 0, &n))
		return -EINVAL;
	if (!strcmp(key, "leaf"))
		f->leaf = n;
	else if (!strcmp(key, "level"))
		f->level = n;
	else if (!strcmp(key, "gpa"))
		f->gpa = n;
	else if (!strcmp(key, "size"))
		f->size = n;
	else if (!strcmp(key, "skip"))
		f->skip = n;
	else if (!strcmp(key, "times"))
		f->times = n;
	else if (!strcmp(key, "until_out"))
		f->until_out = n;
	else if (!strcmp(key, "operand"))
		f->operand = n;
	else if (!strcmp(key, "status"))
		f->status = n;
	else
		return -EINVAL;
	return 0;
}

static ssize_t faults_write(struct file *file, const char __user *ubuf,
			    size_t len, loff_t *pos)
{
	struct tdxemu_fault f = {
		.leaf = ~0u, .level = ~0u, .operand = ~0u, .times = 1,
	};
	char *buf, *s, *word, *value;
	bool drop = false;
	int r = 0, i;

	buf = memdup_user_nul(ubuf, len);
	if (IS_ERR(buf))
		return PTR_ERR(buf);
	s = strim(buf);
	if (!strcmp(s, "clear")) {
		tdxemu_fault_clear();
		for (i = 0; i < TDXEMU_NR_LEAVES; i++)
			atomic_set(&drops[i], 0);
		goto out;
	}
	while (!r && (word = strsep(&s, " \t\n"))) {
		if (!*word)
			continue;
		value = strchr(word, '=');
		if (!value) {
			r = -EINVAL;
			break;
		}
		*value++ = '\0';
		r = fault_key(&f, &drop, word, value);
	}
	if (!r && drop) {
		if (f.leaf < TDXEMU_NR_LEAVES)
			atomic_set(&drops[f.leaf], f.times);
		else
			r = -EINVAL;
		goto out;
	}
	if (!r && f.kind == TDXEMU_FAULT_NONE)
		r = -EINVAL;
	if (!r && tdxemu_fault_add(&f) < 0)
		r = -ENOSPC;
out:
	kfree(buf);
	return r ?: len;
}

static int faults_open(struct inode *inode, struct file *file)
{
	return single_open(file, faults_show, NULL);
}

static const struct file_operations faults_fops = {
	.open = faults_open,
	.read = seq_read,
	.write = faults_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static ssize_t check_write(struct file *file, const char __user *ubuf,
			   size_t len, loff_t *pos)
{
	emu_oracle_check_all();
	return len;
}

static const struct file_operations check_fops = {
	.write = check_write,
	.open = simple_open,
};

/* What a host must not do, if the page is the module's. */
static int touch(void *unused, u64 pa)
{
	if (!pfn_valid(PHYS_PFN(pa)))
		return -EINVAL;
	READ_ONCE(*(u8 *)__va(pa));
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(touch_fops, NULL, touch, "%llu\n");

static int sept_show(struct seq_file *m, void *unused)
{
	emu_oracle_show(m);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sept);

static int owned_show(struct seq_file *m, void *unused)
{
	unsigned long pfn, start = 0, nr = 0;
	bool mapped = false, was = false;
	u8 byte;

	/* One more turn, for the last range. */
	for (pfn = 0; pfn <= max_pfn; pfn++) {
		bool owned = pfn < max_pfn && pfn_valid(pfn) &&
			     tdxemu_page_owned(PFN_PHYS(pfn));

		if (owned)
			mapped = !copy_from_kernel_nofault(&byte, pfn_to_kaddr(pfn), 1);
		if (nr && (!owned || mapped != was)) {
			seq_printf(m, "%lx-%lx%s\n", start << PAGE_SHIFT,
				   (start + nr) << PAGE_SHIFT, was ? " mapped" : "");
			nr = 0;
		}
		if (owned) {
			if (!nr++)
				start = pfn;
			was = mapped;
		}
		if (!(pfn % 1024))
			cond_resched();
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(owned);

/**
 * tdxemu_host_flush() - does the host flush a line of one of the module's pages?
 * @regs: where it faulted, with debug_pagealloc=on; behind the instruction if it does
 * @address: of the line, in the direct map
 *
 * CLFLUSH by an address without a key moves no data of the module's: what was written
 * with a key is in other lines.  The kernel does so before each DEMOTE, and the second
 * one may find a page that the first has filled before it was BUSY.  It is the page table
 * of the emulated CPU alone that is in the way.
 *
 * Return: true if it does, and may go on.
 */
bool tdxemu_host_flush(struct pt_regs *regs, unsigned long address)
{
	struct insn insn;

	if (!virt_addr_valid((void *)address) || !tdxemu_page_owned(__pa(address) & PAGE_MASK) ||
	    insn_decode_kernel(&insn, (void *)regs->ip))
		return false;
	/* Also CLFLUSHOPT, which has one more prefix.  A register operand is SFENCE. */
	if (insn.opcode.bytes[0] != 0x0f || insn.opcode.bytes[1] != 0xae ||
	    X86_MODRM_REG(insn.modrm.value) != 7 || X86_MODRM_MOD(insn.modrm.value) == 3)
		return false;
	regs->ip += insn.length;
	return true;
}

/* An oops of the direct map: was it a page of the module? */
static int on_die(struct notifier_block *nb, unsigned long reason, void *data)
{
	u64 address = native_read_cr2();

	if (reason == DIE_OOPS && virt_addr_valid((void *)address) &&
	    tdxemu_page_owned(__pa(address) & PAGE_MASK)) {
		tdxemu_host_touched(__pa(address) & PAGE_MASK);
		pr_err("tdxemu: VIOLATION: the host touched page 0x%lx, and it is the module's\n",
		       __pa(address) & PAGE_MASK);
	}
	return NOTIFY_DONE;
}

static struct notifier_block die_block = { .notifier_call = on_die };

static int __init emu_debugfs_init(void)
{
	struct dentry *dir = debugfs_create_dir("tdxemu", NULL);

	debugfs_create_file("trace", 0400, dir, NULL, &trace_fops);
	debugfs_create_file("counters", 0400, dir, NULL, &counters_fops);
	debugfs_create_file("vcpus", 0400, dir, NULL, &vcpus_fops);
	debugfs_create_file("violations", 0400, dir, NULL, &violations_fops);
	debugfs_create_file("faults", 0600, dir, NULL, &faults_fops);
	debugfs_create_file("owned", 0400, dir, NULL, &owned_fops);
	debugfs_create_file("sept", 0400, dir, NULL, &sept_fops);
	debugfs_create_file("check", 0200, dir, NULL, &check_fops);
	debugfs_create_file_unsafe("touch", 0200, dir, NULL, &touch_fops);
	return register_die_notifier(&die_block);
}
late_initcall(emu_debugfs_init);
