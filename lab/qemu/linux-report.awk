# SPDX-License-Identifier: GPL-2.0
# The modes side by side, from what lab/qemu/linux-job prints. Status: 0 if there are as
# many as -v modes says, and all is well; with -v convert=yes ranges have to be converted.

function row(name, what,	m) {
	printf "  %-30s", name
	for (m = 1; m <= n; m++)
		printf "%10s", (m, what) in value ? value[m, what] : 0
	printf "\n"
}

function set(what, v) { value[n, what] = v }

BEGIN {
	title["begin"] = "Until Linux begins:"
	title["user"] = "Until it is in user space:"
	title["worked"] = "Memory is tested, and a disk written and read:"
	stages = split("begin user worked", stage)
	calls = split("MEM.PAGE.AUG MEM.RANGE.BLOCK MEM.TRACK MEM.PAGE.DEMOTE MEM.PAGE.REMOVE VP.ENTER", call)
}

{ gsub(/\r/, "") }
/^report: mode .* ends with / {
	set("exit", $6 + 0)
	set("status", $8)
	next
}
/^report: mode / { mode[++n] = $3; next }
/^report: at / { at = $3 }
/^report: time / { set(at " time", sprintf("%.1f", $4 - $3)) }
/^report: leaves / {
	set(at " large", $3)
	set(at " small", $4)
	set(at " pending", $5)
}
/^report: calls / { set(at " " $3, $4) }
/^report: violations / { set("violations", $3) }
/^report: disk same/ { set("same", "yes") }
/^disk: .* words wrong/ { set("host", $(NF - 2)) }
/^  \| .*disk: .* words wrong/ {
	set("guest", $(NF - 2))
	for (i = 1; i <= NF; i++)
		if ($i == "times,")
			set("turns", $(i - 1))
}
/^  \| .*init: converted: / {
	for (i = 1; i < NF; i++)
		if ($i == "rounds" || $i == "shared" || $i == "failed" || $i == "wrong")
			set($i, $(i + 1))
}
/^  \| .*check: .* words wrong/ { set("check", value[n, "check"] + $(NF - 2)) }

END {
	printf "%-32s", ""
	for (m = 1; m <= n; m++)
		printf "%10s", mode[m]
	printf "\n"
	for (s = 1; s <= stages; s++) {
		print title[stage[s]]
		row("seconds since QEMU began", stage[s] " time")
		row("leaves of 2 MiB", stage[s] " large")
		row("leaves of 4 KiB", stage[s] " small")
		for (i = 1; i <= calls; i++)
			row(call[i], stage[s] " " call[i])
		if (stage[s] == "worked") {
			row("ranges to shared and back", "rounds")
			row("pages in them", "shared")
			row("disk written and read, times", "turns")
		}
	}
	print "Results:"
	row("memory: words wrong", "check")
	row("ranges: failed", "failed")
	row("ranges: words wrong", "wrong")
	row("disk: words wrong, guest", "guest")
	row("disk: words wrong, host", "host")
	row("disk: same checksum", "same")
	row("violations", "violations")
	row("status of init", "status")
	good = n == modes
	for (m = 1; m <= n; m++)
		good = good && value[m, "same"] == "yes" && value[m, "exit"] "" == "0" &&
			value[m, "status"] "" == "0" && value[m, "violations"] "" == "0" &&
			value[m, "check"] "" == "0" && value[m, "guest"] "" == "0" &&
			value[m, "host"] "" == "0" && value[m, "turns"] > 0 &&
			(convert != "yes" || value[m, "rounds"] > 0 &&
			 value[m, "failed"] "" == "0" && value[m, "wrong"] "" == "0")
	print good ? "All is well in each mode." : "FAILED"
	exit !good
}
