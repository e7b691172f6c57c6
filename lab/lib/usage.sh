# SPDX-License-Identifier: GPL-2.0
# Sourced by lib.sh, and first thing by the scripts that do without it.
#
# A first argument --help prints the comment at the script's head, from "Usage:" on,
# and nothing else is done.
#
#   die MESSAGE         one line on stderr, exit 1. The message names the cure.
#   arguments MIN MAX "$@"
#                       dies unless there are as many, and the first is no option;
#                       MAX any: there is no limit.

set -eu
case ${1-} in
-h | --help)
	sed -n '/^# Usage:/,/^[^#]*$/ s/^# \{0,1\}//p' "$0"
	exit
	;;
esac

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

arguments() {
	arguments_min=$1 arguments_max=$2
	shift 2
	case ${1-} in
	-) ;;
	-*) die "unknown option '$1': $0 --help" ;;
	esac
	[ $# -ge "$arguments_min" ] || die "too few arguments: $0 --help"
	[ "$arguments_max" = any ] || [ $# -le "$arguments_max" ] || {
		shift "$arguments_max"
		die "unknown argument '$1': $0 --help"
	}
}
