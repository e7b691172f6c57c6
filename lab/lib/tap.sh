# SPDX-License-Identifier: GPL-2.0
# Sourced by checks and tests that print TAP. tap_run counts it; prove -e '' SCRIPT reads
# it as well. The plan comes last, so that a script that ended early has none.

tap_n=0

ok() {
	tap_n=$((tap_n + 1))
	echo "ok - $1"
}

# not_ok NAME [FILE]: FILE says why.
not_ok() {
	tap_n=$((tap_n + 1))
	echo "not ok - $1"
	[ ! -s "${2-}" ] || sed 's/^/#   /; 20q' "$2"
}

skip() {
	tap_n=$((tap_n + 1))
	echo "ok - $1 # SKIP $2"
}

# tap_of FILE: results that are in there already, without their numbers.
tap_of() {
	tap_more=$(sed -n 's/^\(ok\|not ok\) \([0-9]* \)*- /\1 - /p; /^#/p' "$1")
	tap_n=$((tap_n + $(printf '%s\n' "$tap_more" | grep -c '^\(not \)\{0,1\}ok ' || :))) # pipe: of text
	printf '%s\n' "$tap_more"
}

# tap_end: the plan, and the end of the script. Nothing that fails keeps it from it.
tap_end() {
	echo "1..$tap_n"
	exit 0
}

# tap_whole FILE: whether it has a plan, and as many results.
tap_whole() {
	awk '/^(not )?ok / { n++ }
		/^1\.\./ { plan = substr($0, 4) }
		END { exit plan == "" || plan + 0 != n + 0 }' "$1"
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

# tap_show: TAP as it comes, on a terminal in colour.
tap_show() {
	if [ ! -t 1 ] || [ -n "${NO_COLOR-}" ]; then
		sed -u '/^1\.\./d'
		return
	fi
	tap_esc=$(printf '\033')
	sed -u "/^1\.\./d
		s/^\(([0-9/]*) \)\{0,1\}\(ok .*# SKIP.*\)/\1${tap_esc}[33m\2${tap_esc}[m/
		t
		s/^\(([0-9/]*) \)\{0,1\}\(ok \)/\1${tap_esc}[32m\2${tap_esc}[m/
		s/^\(([0-9/]*) \)\{0,1\}\(not ok .*\)/\1${tap_esc}[31m\2${tap_esc}[m/"
}

# tap_done SUITE TEST: one more has ended. Prints "(37/59) ", if lab/test has counted.
tap_done() {
	[ -n "${LAB_TOTAL-}" ] || return 0
	echo "$*" >>"$results/done"
	printf '(%d/%d) ' "$(wc -l <"$results/done")" "$LAB_TOTAL"
}

# tap_run SUITE SCRIPT...: runs those that are chosen, appends the suite's line to the
# sum, writes build/test-results/SUITE.xml, and fails if a check did. With LIST=1 it
# prints SUITE SCRIPT for each instead.
tap_run() {
	tap_suite=$1
	tap_log=$logs/$1.tap
	shift
	tap_scripts=
	for tap_script; do
		chosen "$tap_suite ${tap_script##*/}" || continue
		[ "${LIST-}" != 1 ] || echo "$tap_suite ${tap_script##*/}"
		tap_scripts="$tap_scripts $tap_script"
	done
	[ "${LIST-}" != 1 ] || return 0
	[ -n "$tap_scripts" ] || {
		note "# $tap_suite: no test matches ONLY='${ONLY-}'"
		return 1
	}
	: >"$tap_log"
	results_dir
	for tap_script in $tap_scripts; do
		# pipe: a script that fails has no plan.
		"$tap_script" | tee "$tap_log.one" | tap_show
		tap_whole "$tap_log.one" ||
			echo "not ok - $tap_script came to its end" | tee -a "$tap_log.one" | tap_show
		sed '/^1\.\./d' "$tap_log.one" >>"$tap_log"
		[ -z "${LAB_TOTAL-}" ] ||
			note "# $(tap_done "$tap_suite" "$tap_script")$tap_suite: ${tap_script##*/} has ended"
	done
	awk -v suite="$tap_suite" '
		/^ok .*# SKIP/ { s++; next }
		/^ok / { p++ }
		/^not ok / { f++ }
		END { print suite, p + 0, f + 0, s + 0 }' "$tap_log" \
		>"$logs/$tap_suite.sum"
	read -r tap_suite tap_p tap_f tap_s <"$logs/$tap_suite.sum"
	result "$tap_suite" "$tap_p" "$tap_f" "$tap_s"
	lab/suites/junit "$tap_suite" "$tap_log" >"$results/$tap_suite.xml"
	note "# $tap_suite: $tap_p ok, $tap_f not ok, $tap_s skipped (build/log/$tap_suite.tap)"
	[ "$tap_f" -eq 0 ] && [ "$tap_p" -gt 0 ]
}
