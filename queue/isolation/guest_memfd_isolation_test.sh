#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Runs on a kernel with mutations.diff: MUTATION VARIANT TEST, a line of stdin each,
# has to fail. Beside the selftest in the machine, with the lines of list.inplace or
# list.attrs in place of those below.
mutation=/sys/module/kvm/parameters/gmem_mutation

run() {
	echo "$1" >$mutation
	rc=0
	out=$(./guest_memfd_isolation_test -r "isolation.$2.$3" 2>&1) || rc=$?
	echo 0 >$mutation
	why=$(printf '%s\n' "$out" | grep -A5 'Test Assert' | tail -n 1)
	case $rc in
	0) echo "mutation $1 $2 $3: survived" ;;
	*) echo "mutation $1 $2 $3: killed: $why" ;;
	esac
}

cd "$(dirname "$0")" || exit
while read -r m variant test; do
	run "$m" "$variant" "$test"
done <<EOF
1 huge_mmap fresh
EOF
