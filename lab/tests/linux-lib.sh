# SPDX-License-Identifier: GPL-2.0
# Sourced by tests that boot Linux in a TD, after lab.sh and tap.sh.

# Not more than one line of those after "WHEN:" in what td_linux.c has printed.
figure() {
	sed -n "/^$1:\$/,/^\$/s/$2/\\1/p" "$log" # pipe: of a file
}

more_than() {
	echo "$1: ${3:-nothing}, not more than $2"
	[ "${3:-0}" -gt "$2" ]
}

exactly() {
	echo "$1: ${3:-nothing}, not $2"
	[ "${3:-nothing}" = "$2" ]
}

printed() {
	grep -q "$@" "$log"
}

balloon=256 # pages: of 1 MiB in all

# mapped WHEN: pages of 4 KiB that the TD has
mapped() {
	large=$(figure "$1" '.*S-EPT: \([0-9]*\) leaves of 2 MiB.*')
	small=$(figure "$1" '.*S-EPT: .*, \([0-9]*\) of 4 KiB.*')
	echo $((${large:-0} * 512 + ${small:-0}))
}

# A balloon, page by page: the TD does without these pages and no others, and the host has three
# quarters of their memory at least. Tables for the leaves that had to be split take some, and
# what else the host does is measured with it.
balloon_is_free() {
	before=$(figure 'Memory has been converted' '.*the TD has \([0-9]*\) KiB.*')
	with=$(figure 'The host has the balloon' '.*the TD has \([0-9]*\) KiB.*')
	exactly ranges "$balloon" "$(figure 'The host has the balloon' '.*given to the host: \([0-9]*\) ranges.*')" &&
		exactly pages "$balloon" \
			$(($(mapped 'Memory has been converted') - $(mapped 'The host has the balloon'))) &&
		more_than KiB $((balloon * 3)) $((${before:-0} - ${with:-0}))
}

# What the guest's kernel has to say, but for what demo/README.md explains. The guest has
# loglevel=5: warnings and worse; "[U]" is from user space.
no_warnings() {
	sed -n -e '/\[U\] /d' \
		-e '/firmware: accepted/d' \
		-e '/PCI: Fatal: No config space access function found/d' \
		-e '/PCI: System does not support PCI/d' \
		-e '/ACPI: Failed to create genetlink family for ACPI event/d' \
		-e '/ACPI: IRQ 4 override to edge(!), high(!)/d' \
		-e '/software IO TLB: Memory encryption is active/d' \
		-e '/ACPI: PM: Preparing to enter system sleep state S5/d' \
		-e '/reboot: Power down/d' \
		-e '/tdx: VMM did not configure X2APIC_IDs properly/d' \
		-e '/ACPI: No IOAPIC entries present/d' \
		-e '/ACPI: setting ELCR to 0001 (from ffff)/d' \
		-e '/ACPI BIOS Warning (bug): Incorrect checksum in table \[APIC\]/d' \
		-e 's/^  | //p' "$log" >"$log.warnings"
	cat "$log.warnings"
	[ ! -s "$log.warnings" ]
}

# boot NAME VARIABLE=VALUE... MODE: demo/run-linux; its status is in $rc.
boot() {
	log=$logs/test-linux-$1.log
	shift
	rc=0
	env "$@" >"$log" 2>&1 || rc=$?
}

# passes NAME CPUS ROUNDS VARIABLE=VALUE... MODE: it boots, converts, gives memory away and
# takes it back, and nobody complains.
passes() {
	name=$1 cpus=$2 rounds=$3
	shift 3
	mode=
	for mode; do :; done
	boot "$name" GUEST_APPEND="loglevel=5 rounds=$rounds balloon=$balloon" VCPUS="$cpus" MIB=128 \
		"$@"
	if [ "$rc" -eq 0 ]; then
		ok "$name: demo/run-linux $mode"
	else
		tail -n 20 "$log" >"$log.end"
		not_ok "$name: demo/run-linux $mode" "$log.end"
	fi
	verdict "$name: user space of a TDX guest" \
		printed "init: user space after .* $cpus CPUs (tdx_guest)"
	leaves=$(figure 'Linux begins' '.*S-EPT: \([0-9]*\) leaves of 2 MiB.*')
	if [ "$mode" = huge ]; then
		verdict "$name: its memory was accepted by 2 MiB" more_than leaves 50 "$leaves"
		verdict "$name: leaves were split" more_than DEMOTE 0 \
			"$(figure 'Memory has been converted' '.* MEM.PAGE.DEMOTE \([0-9]*\).*')"
	else
		verdict "$name: its memory was accepted by 4 KiB" exactly leaves 0 "$leaves"
	fi
	verdict "$name: ranges were converted" more_than ranges 3 \
		"$(figure 'Memory has been converted' '.*MapGPA: \([0-9]*\) to shared.*')"
	verdict "$name: others were given to the host" more_than ranges 3 \
		"$(figure 'Memory has been converted' '.*given to the host: \([0-9]*\) ranges.*')"
	verdict "$name: what came back was zero, and what was near it as before" \
		printed "init: converted: rounds $rounds .* failed 0 wrong 0"
	verdict "$name: and all other memory" printed 'check: .* MiB read [0-9]* times, 0 words wrong'
	verdict "$name: the host has the memory of a balloon" balloon_is_free
	verdict "$name: user space has given pages away, and has read the rest" \
		printed 'check: [1-9][0-9]* pages were given away'
	verdict "$name: no warning of the guest's kernel" no_warnings
}
