# SPDX-License-Identifier: GPL-2.0
# Sourced by the lab's own tests: a scratch build directory, patches/ and a base
# of a few files.

scratch=$(mktemp -d "$build/test.XXXXXX")
at_exit 'rm -rf "$scratch"'
export LAB_BUILD="$scratch/build" LAB_PATCHES="$scratch/patches"
export LINUX="$scratch/linux.tar" LAB_PIN="$scratch/pin"
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=gmem-exact \
	GIT_AUTHOR_EMAIL=gmem-exact@localhost GIT_COMMITTER_NAME=gmem-exact \
	GIT_COMMITTER_EMAIL=gmem-exact@localhost
unset ALL DROP CHECK_SINCE ONLY LIST LAB_TOTAL
tree=$LAB_BUILD/linux
mkdir -p "$LAB_BUILD" "$LAB_PATCHES"
cp base/pin "$LAB_PIN"

# base VERSION TARBALL: with Debian's .gitignore, which hides every file.
base() {
	rm -rf "$scratch/src"
	mkdir -p "$scratch/src/linux/mm"
	echo "$1" | awk -F. '{ print "VERSION = " $1 "\nPATCHLEVEL = " $2
		print "SUBLEVEL = " $3 "\nEXTRAVERSION =" }' \
		>"$scratch/src/linux/Makefile"
	seq 40 >"$scratch/src/linux/mm/a.c"
	echo '/*' >"$scratch/src/linux/.gitignore"
	tar -cf "$2" -C "$scratch/src" linux
}

sum() {
	sum=$(sha256sum <"$1") || return
	echo "${sum%% *}"
}

# index ARCHIVE SUITE: of the packages in ARCHIVE/pool, as apt wants it.
index() {
	dist=$1/dists/$2
	mkdir -p "$dist/main/binary-amd64"
	for f in "$1"/pool/*.deb; do
		dpkg-deb -f "$f"
		echo "Filename: pool/${f##*/}"
		echo "Size: $(stat -c %s "$f")"
		echo "SHA256: $(sum "$f")"
		echo
	done >"$dist/main/binary-amd64/Packages"
	{
		printf '%s\n' 'Origin: Debian' "Suite: $2" "Codename: $2" \
			'Components: main' 'Architectures: amd64' 'SHA256:'
		(cd "$dist" && f=main/binary-amd64/Packages &&
			echo " $(sum $f) $(stat -c %s $f) $f")
	} >"$dist/Release"
}

# sources LINE...: what the machine's own apt is configured with, after own_apt.
sources() {
	rm -rf "$scratch/parts"
	mkdir "$scratch/parts"
	printf '%s\n' "$@" >"$scratch/sources.list"
}

own_apt() {
	export APT_CONFIG="$scratch/apt.conf"
	printf 'Dir::Etc::%s "%s";\n' sourcelist "$scratch/sources.list" \
		sourceparts "$scratch/parts" >"$APT_CONFIG"
}

on_tree() {
	git -C "$tree" "$@"
}

# change LINE SUBJECT: a commit that changes one line.
change() {
	sed -i "$1s/.*/changed by $2/" "$tree/mm/a.c"
	on_tree commit -q -a -m "$2" -m 'A body.'
}

# refuses PATTERN COMMAND: fails, with one line on stderr that has PATTERN.
refuses() {
	pattern=$1
	shift
	if "$@" >"$scratch/out" 2>"$scratch/err"; then
		echo "did not refuse: $*"
		return 1
	fi
	cat "$scratch/err"
	[ "$(wc -l <"$scratch/err")" -eq 1 ] && grep -q -e "$pattern" "$scratch/err"
}

# Everything that must survive a refusal.
state() {
	on_tree for-each-ref || return
	on_tree symbolic-ref -q HEAD || on_tree rev-parse HEAD || return
	for dir in "$tree" "$LAB_PATCHES"; do
		files=$(cd "$dir" && find . -path ./.git -prune -o -type f -print) || return
		[ -z "$files" ] ||
			printf '%s\n' "$files" | sort | (cd "$dir" && xargs sha256sum) || return
	done
}

# refuses_untouched PATTERN COMMAND
refuses_untouched() {
	before=$(state)
	refuses "$@" || return
	[ "$before" = "$(state)" ] || {
		echo "the refusal changed something"
		return 1
	}
}

same() {
	[ "$1" = "$2" ] || {
		echo "'$1' is not '$2'"
		return 1
	}
}
