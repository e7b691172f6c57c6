# SPDX-License-Identifier: GPL-2.0
# Sourced by checks and tests that print TAP. tap_run counts it.

ok() {
	echo "ok - $1"
}

# not_ok NAME [FILE]: FILE says why.
not_ok() {
	echo "not ok - $1"
	[ ! -s "${2-}" ] || sed 's/^/#   /; 20q' "$2"
}

skip() {
	echo "ok - $1 # SKIP $2"
}

# verdict NAME COMMAND...: quiet when it succeeds.
verdict() {
	verdict_name=$1
	shift
	verdict_log=$logs/verdict.$$
	if "$@" >"$verdict_log" 2>&1; then
		ok "$verdict_name"
	else
		not_ok "$verdict_name" "$verdict_log"
	fi
	rm -f "$verdict_log"
}

# tap_run SUITE SCRIPT...: runs them all, appends the suite's line to
# build/test-results, and fails if a check did.
tap_run() {
	tap_suite=$1
	tap_log=$logs/$1.tap
	shift
	: >"$tap_log"
	for tap_script in "$@"; do
		# pipe: its failure is said in the pipe.
		{ "$tap_script" || echo "not ok - $tap_script came to its end"; } |
			tee -a "$tap_log"
	done
	awk -v suite="$tap_suite" '
		/^ok .*# SKIP/ { s++; next }
		/^ok / { p++ }
		/^not ok / { f++ }
		END { print suite, p + 0, f + 0, s + 0 }' "$tap_log" \
		>"$logs/$tap_suite.sum"
	cat "$logs/$tap_suite.sum" >>"$build/test-results"
	read -r tap_suite tap_p tap_f tap_s <"$logs/$tap_suite.sum"
	note "# $tap_suite: $tap_p ok, $tap_f not ok, $tap_s skipped (build/log/$tap_suite.tap)"
	[ "$tap_f" -eq 0 ] && [ "$tap_p" -gt 0 ]
}
