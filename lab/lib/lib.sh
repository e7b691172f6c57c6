# SPDX-License-Identifier: GPL-2.0
# Sourced by the lab's scripts. Leaves the shell at the top of the project.
#
#   at_exit COMMAND     is run when the script ends, whatever the reason, the last
#                       one first and after what step runs has been stopped. The only
#                       way to add to the EXIT trap.
#   need_disk [GB]      dies unless there is room for a build.
#   note MESSAGE        one line of progress on stdout.
#   step NAME LOG CMD   runs CMD with its output in LOG, shows that it lives, and
#                       returns its status; the end of LOG is shown if it failed.
#   result NAME PASSED FAILED SKIPPED
#                       a line of the sum, for lab/test.
#   chosen SUITE TEST [ARGUMENT...]
#                       whether that is to run: all is, if there is no ONLY.
#   tree_state DIR [PATH...]
#                       what a build of these parts of a git tree depends on:
#                       the commit and all that is not committed.
#   tests_of CONFIG [MACHINE]
#                       the selftests that go with a kernel (lab/build/kselftest-build).
#   machine_chosen DEFAULT
#                       sets machine and config to MACHINE and CONFIG, or to DEFAULT
#                       and fast. What they were called before is taken, with a warning.
#   machine_named NAME CONFIG
#                       the same, of these.
#   machine_check NAME  dies unless there is such a machine.
#   variant_append MACHINE[+VARIANT...]
#                       prints what variants of a machine have on the kernel's command line.
#   machine_kernel MACHINE CONFIG
#                       the kernel of that configuration for the machine.

# Wherever the script is: a sourced file cannot ask for its own name.
top=$(cd "$(dirname "$0")" && until [ -f lab/lib/lib.sh ]; do cd ..; done && pwd)
. "$top/lab/lib/usage.sh"
case ${LAB_BUILD-} in
'' | /*) ;;
*) export LAB_BUILD="$PWD/$LAB_BUILD" ;;
esac
cd "$top" || exit
build=${LAB_BUILD:-$top/build}
logs=$build/log
results=$build/test-results
# Clones of the project share what ccache keeps: paths below $build are hashed as seen
# from the objects, and the one option that names the tree by its whole path is not.
export CCACHE_BASEDIR="$build" CCACHE_NOHASHDIR=1 CCACHE_IGNOREOPTIONS='-fmacro-prefix-map=*'
step_pid=
nl='
'

# make clean removes all of it, so it is never a directory with things of others.
if [ -n "${LAB_BUILD-}" ] && [ ! -e "$build/.lab" ]; then
	[ -z "$(ls -A "$build" 2>/dev/null)" ] ||
		die "LAB_BUILD=$build has other files: name a directory that is new or empty"
	mkdir -p "$build"
	: >"$build/.lab"
fi
mkdir -p "$logs"

# The tree, two kernels, and the selftests need about 8 GB, one more kernel with a
# tree of its own less than 3.
need_disk() {
	free=$(df -Pk "$build")
	free=$(printf '%s\n' "$free" | awk 'NR == 2 { print int($4 / 1000000) }')
	[ "$free" -ge "${1:-8}" ] ||
		die "only $free GB of disk free, ${1:-8} needed: free some, or point LAB_BUILD at a larger disk"
}

note() {
	printf '%s\n' "$*"
}

# A step runs in a session of its own, so that one signal ends all of it.
step_stop() {
	if [ -n "$step_pid" ]; then
		kill -s TERM -- "-$step_pid" 2>/dev/null || :
		wait "$step_pid" 2>/dev/null || :
		step_pid=
	fi
}

at_exit_commands=
at_exit() {
	at_exit_commands="$1$nl$at_exit_commands"
}

# All of it is done, also if some of it fails.
at_exit_run() {
	at_exit_rc=$?
	set +e
	step_stop
	eval "$at_exit_commands"
	exit "$at_exit_rc"
}
trap at_exit_run EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

step() {
	step_name=$1 step_log=$2
	shift 2
	step_t0=$(date +%s)
	note "$step_name (log: ${step_log#"$top"/})"
	setsid "$@" >"$step_log" 2>&1 </dev/null &
	step_pid=$!
	if [ -t 1 ]; then tick=1; else tick=60; fi
	step_n=0
	while kill -0 "$step_pid" 2>/dev/null; do
		sleep 0.2
		step_n=$((step_n + 1))
		[ $((step_n % (tick * 5))) -eq 0 ] || continue
		if [ -t 1 ]; then
			printf '\r  %ds ' $(($(date +%s) - step_t0))
		else
			note "  $step_name: $(($(date +%s) - step_t0))s"
		fi
	done
	step_rc=0
	wait "$step_pid" || step_rc=$?
	step_pid=
	[ ! -t 1 ] || printf '\r'
	if [ "$step_rc" -ne 0 ]; then
		tail -n 20 "$step_log" >&2
		printf '%s failed (status %d), all of its output: %s\n' \
			"$step_name" "$step_rc" "${step_log#"$top"/}" >&2
	fi
	return "$step_rc"
}

results_dir() {
	# A file in earlier states of the lab.
	[ ! -f "$results" ] || rm "$results"
	mkdir -p "$results"
}

result() {
	results_dir
	echo "$*" >>"$results/sum"
}

chosen() {
	[ -z "${ONLY-}" ] || printf '%s\n' "$*" | grep -qE -e "$ONLY" # pipe: of text
}

tree_state() {
	tree_dir=$1
	shift
	git -C "$tree_dir" rev-parse 'HEAD^{tree}' || return
	git -C "$tree_dir" diff HEAD -- "$@" || return
	# Not --exclude-standard: Debian's .gitignore hides every new file. A name
	# with a line feed in it comes in quotes, and sha256sum then fails.
	tree_new=$(git -C "$tree_dir" -c core.quotePath=false ls-files -o -x '*.pyc' -x '.#*' -- "$@") ||
		return
	[ -z "$tree_new" ] || printf '%s\n' "$tree_new" | (cd "$tree_dir" && xargs -d '\n' sha256sum)
}

tests_of() {
	case ${2-}:$1 in
	qemu-arm64:base) echo arm64-base ;;
	qemu-arm64:*) echo arm64-series ;;
	*:base | *:testonly) echo "$1" ;;
	*:holdsbase) echo base ;;
	*) echo series ;;
	esac
}

renamed() {
	printf '%s: WARNING: %s is now %s\n' "${0##*/}" "$1" "$2" >&2
}

machine_chosen() {
	[ -z "${VM-}" ] || [ -n "${MACHINE-}" ] || renamed VM= MACHINE=
	machine_named "${MACHINE:-${VM:-$1}}" "${CONFIG:-fast}"
}

machine_named() {
	machine=$1 config=$2
	case $machine in
	svm) machine=qemu-svm ;;
	vmx | tdx) machine=bochs-$machine ;;
	esac
	[ "$machine" = "$1" ] || renamed "machine $1" "$machine"
	[ "$config" != lab ] || {
		config=fast
		renamed "configuration lab" fast
	}
	machine_check "$machine"
}

variant_append() {
	case $1 in *+inplace*) printf ' kvm.gmem_in_place_conversion=1' ;; esac
	case $1 in *+vmx*) printf ' tdxemu_engine=vmx' ;; esac
	case $1 in *+module2*) printf ' tdxemu_module=2.0' ;; esac
}

machine_check() {
	case $1 in
	qemu-svm | qemu-arm64 | bochs-vmx | bochs-tdx) ;;
	*) die "unknown machine '$1': qemu-svm, qemu-arm64, bochs-vmx or bochs-tdx (the software TDX module)" ;;
	esac
}

machine_kernel() {
	case $1-$2 in
	bochs-tdx-fast) echo tdx ;;
	bochs-tdx-debug) echo tdxdebug ;;
	bochs-tdx-base) echo tdxbase ;;
	bochs-tdx-mutations) echo mutationstdx ;;
	bochs-tdx-*) die "no kernel '$2' with the software TDX module: CONFIG=fast, debug or base" ;;
	qemu-arm64-fast) echo arm64 ;;
	qemu-arm64-16k) echo arm64-16k ;;
	qemu-arm64-*) die "no kernel '$2' for arm64: CONFIG=fast or 16k" ;;
	*) echo "$2" ;;
	esac
}

# plan_lines: what is to run; with ALL=1 the long tests as well.
plan_lines() {
	set --
	[ "${ALL-}" != 1 ] || set -- tests/plan-all
	grep -h -v -e '^#' -e '^$' tests/plan "$@"
}
