# SPDX-License-Identifier: GPL-2.0
# Sourced by what fetches from Debian's archive: packages of suites that the machine's
# own apt does not use. The mirrors are those of its apt, with another suite. Nothing
# of it is changed: lists and cache are private.
#
#   apt                 the private directory
#   package             what tells whether a mirror has the suites
#   suites, options     as in base/pin
#
#   apt_mirrors         finds the mirrors; fails if there is none.
#   apt_update          fetches the lists of a mirror that has the package; or fails.
#   apt_versions        those that are there, in no order.
#   newest VERSION...   the newest of them.
#   apt_download DIR PACKAGE=VERSION...
#                       puts them into DIR. Their signature is checked.

apt_private() {
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
	apt_options="-o Dir::Etc::sourcelist=$apt/sources.list
		-o Dir::Etc::sourceparts=/dev/null
		-o Dir::State::Lists=$apt/lists
		-o Dir::Cache=$apt/cache
		-o APT::Sandbox::User=root
		-o Acquire::Retries=2
		-o Acquire::http::Timeout=20
		-o Acquire::https::Timeout=20"
}

# What apt would read, also before the machine's first 'apt-get update'. Other
# archives have a component main as well: those named debian come first, and in
# the end the signature decides.
apt_uris() {
	uris=$(apt-get --print-uris update) || return
	printf '%s\n' "$uris" |
	sed -n "s,^'\(.*\)/dists/\([^/]*\)/main/binary-[^/]*/Packages.*,\1 \2,p" |
	awk '$2 !~ /-security$/ && !seen[$1]++ {
		print ($1 ~ /\/debian$/ ? 0 : 1), $1 }' |
	sort -s -n -k1,1 | cut -d' ' -f2
}

apt_mirrors() {
	apt_private
	mirrors=$(apt_uris) || die "apt does not say what its sources are: apt-get --print-uris update shows why"
	[ -n "$mirrors" ]
}

apt_versions() {
	madison=$(apt-cache $apt_options madison "$package") || return
	printf '%s\n' "$madison" |
		awk -F' *[|] *' '$3 !~ /Sources$/ { print $2 }' | sort -u
}

apt_update() {
	for mirror in $mirrors; do
		for suite in $suites; do
			echo "deb [$options] $mirror $suite main"
		done >"$apt/sources.list"
		step "package lists" "$logs/fetch-lists.log" \
			apt-get $apt_options -q update 2>/dev/null || :
		[ -z "$(apt_versions)" ] || return 0
	done
	return 1
}

newest() {
	best=
	for v; do
		if [ -z "$best" ] || dpkg --compare-versions "$v" gt "$best"; then
			best=$v
		fi
	done
	echo "$best"
}

# apt-get download writes to its working directory.
apt_download() {
	apt_dir=$1
	shift
	case $# in 1) apt_what="${1%%=*} ${1#*=}" ;; *) apt_what="$# packages" ;; esac
	step "$apt_what" "$logs/fetch.log" \
		env -C "$apt_dir" apt-get $apt_options -q download "$@" \
		2>/dev/null
}
