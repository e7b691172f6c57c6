# SPDX-License-Identifier: GPL-2.0
# The modes side by side, from what lab/qemu/job prints. Status: 0 if there are six of
# them, and all is well.

function row(name, cells,	m) {
	printf "%-25s", name
	for (m = 1; m <= modes; m++)
		printf "%9s", cells[m] + 0
	printf "\n"
}

/^report: mode .* ends with / { status[modes] = $NF; next }
/^report: mode / { mode[++modes] = $3; accepts = 0; next }
/^ok / { passed[modes]++ }
/^not ok / { failed[modes]++ }
/^1\.\./ { planned[modes] = substr($0, 4) }
/^# accepted: / && !accepts++ { first_2m[modes] = $3; first_4k[modes] = $7 }
/^# accepted: / { all_2m[modes] += $3; all_4k[modes] += $7 }
/^# MapGPA to be retried: / { retried[modes] = $NF }
/^report: violations / { violations[modes] = $3 }
/^report: calls / && $3 ~ /^MEM[.](PAGE[.](AUG|DEMOTE|REMOVE)|RANGE[.]BLOCK|TRACK)$/ {
	if (!($3 in seen)) {
		seen[$3] = 1
		call[++calls] = $3
	}
	n[$3, modes] = $4
}

END {
	printf "%-25s", ""
	for (m = 1; m <= modes; m++)
		printf "%9s", mode[m]
	printf "\n"
	row("16 MiB accepted by 2 MiB", first_2m)
	row("16 MiB accepted by 4 KiB", first_4k)
	row("in all, by 2 MiB", all_2m)
	row("in all, by 4 KiB", all_4k)
	row("MapGPA to be retried", retried)
	print "SEAMCALLs, those for the end of the TD included:"
	for (i = 1; i <= calls; i++) {
		for (m = 1; m <= modes; m++)
			cells[m] = n[call[i], m]
		row(call[i], cells)
	}
	print "Results:"
	row("violations", violations)
	row("tests passed", passed)
	row("tests failed", failed)
	good = modes == 6
	for (m = 1; m <= modes; m++)
		good = good && passed[m] && passed[m] == planned[m] && !failed[m] &&
			violations[m] == 0 && status[m] == 33
	print good ? "All tests passed in each mode." : "FAILED"
	exit !good
}
