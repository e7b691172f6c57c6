# SPDX-License-Identifier: GPL-2.0
# Sourced by the checks that compile: lab/checks/check-compile and lab/checks/check-builds.

check=$build/check
tree=$check/linux
obj=$check/obj
export PYTHONDONTWRITEBYTECODE=1

# Objects that stand for the users of KVM's and mm's headers.
users="arch/x86/kvm/../../../virt/kvm/guest_memfd.o
	arch/x86/kvm/../../../virt/kvm/kvm_main.o
	arch/x86/kvm/mmu/mmu.o arch/x86/kvm/mmu/tdp_mmu.o arch/x86/kvm/x86.o
	arch/x86/kvm/vmx/tdx.o arch/x86/kvm/svm/sev.o"

# One kernel build at a time, here and in lab/build/kernel.
kernel_lock() {
	exec 9>"$build/kernel.lock"
	flock -n 9 || { note "# waiting for another kernel build"; flock 9; }
}

# build WHAT LOG ARGUMENTS: a step that may fail without more ado.
build() {
	build_name=$1 build_log=$2
	shift 2
	step "# $build_name" "$build_log" lab/checks/check-make "$obj" "$@" 2>/dev/null
}

# configure FRAGMENT...
configure() {
	mkdir -p "$obj"
	checkout base
	rm -f "$obj/.config"
	lab/checks/check-make "$obj" tinyconfig >"$logs/check-config.log" 2>&1
	cat "$@" >>"$obj/.config"
	lab/checks/check-make "$obj" olddefconfig >"$logs/check-config.log" 2>&1
	build "preparing to compile" "$logs/check-prepare.log" prepare ||
		die "nothing can be compiled, see build/log/check-prepare.log"
}

checkout() {
	git -C "$tree" -c advice.detachedHead=false checkout -q -f "$1"
}

# touched FROM TO
touched() {
	git -C "$tree" diff --name-only --no-renames --diff-filter=AM "$1" "$2"
}

# Touched files to the objects of x86.
objects() {
	objects_unsorted=$(objects_of) || return
	[ -z "$objects_unsorted" ] || printf '%s\n' "$objects_unsorted" | sort -u
}

objects_of() {
	while read -r f; do
		case $f in
		tools/* | Documentation/* | samples/*) ;;
		arch/x86/*.c | mm/*.c | kernel/*.c | fs/*.c | lib/*.c) echo "${f%.c}.o" ;;
		virt/kvm/*.c) echo "arch/x86/kvm/../../../${f%.c}.o" ;;
		arch/x86/*.[hS] | include/* | virt/*.h | mm/*.h | */Kconfig | */Makefile*)
			printf '%s\n' $users
			;;
		esac
	done
}

# Diagnostics without what moves with every patch, and without what Debian's sparse
# says of every module_param().
warnings() {
	warnings_all=$(sed -E -n -e '/error: bad constant expression$/d' \
		-e '/(warning|error): /I!d' -e "s,$tree/,,g" -e 's,(\.\./)+,,g' -e 's,^linux/,,' \
		-e 's/:[0-9]+(:[0-9]+)?:/:/g' -e 's/\.(c|h):[0-9]+ /.\1: /' -e p) || return
	[ -z "$warnings_all" ] || printf '%s\n' "$warnings_all" | sort -u
}
