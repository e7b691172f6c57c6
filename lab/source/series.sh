# SPDX-License-Identifier: GPL-2.0
# Sourced after lib.sh by the scripts that move patches between patches/ and
# the branches of build/linux.
#
# Topic: a branch NN-name, and the folder of that name in patches/. Each topic
# is based on the one before; the first on the branch base.

patches=${LAB_PATCHES:-$top/patches}
linux=$build/linux

# The same commits and the same patches for everybody.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1 LC_ALL=C TZ=UTC
export GIT_COMMITTER_NAME=gmem-exact GIT_COMMITTER_EMAIL=gmem-exact@localhost

git_linux() {
	git -C "$linux" "$@"
}

topics() {
	git_linux for-each-ref --format='%(refname:short)' 'refs/heads/[0-9][0-9]-*'
}

folders() {
	[ -d "$patches" ] || return 0
	folders=$(find "$patches" -mindepth 2 -maxdepth 2 -name '*.patch' -printf '%h\n') ||
		return
	printf '%s\n' "$folders" | sed -n 's,.*/\([0-9][0-9]-\),\1,p' | sort -u
}

# apply TREE: puts patches/ on top of HEAD of TREE, and notes "COMMIT TOPIC" in
# $tips. On failure prints the patch, and leaves TREE as it was after the topics
# before. git am takes no fuzz.
apply() {
	: >"$tips"
	topics=$(folders) || return
	for t in $topics; do
		if ! git -C "$1" -c core.hooksPath=/dev/null am -q \
			--keep-non-patch --no-3way --committer-date-is-author-date \
			"$patches/$t"/*.patch >"$logs/am.log" 2>&1; then
			n=$(git -C "$1" rev-parse --absolute-git-dir)
			n=$(cat "$n/rebase-apply/next" 2>/dev/null || echo 1)
			git -C "$1" am --abort >/dev/null 2>&1 || :
			set -- "$patches/$t"/*.patch
			shift "$((n - 1))"
			echo "$t/${1##*/}"
			return 1
		fi
		tip=$(git -C "$1" rev-parse HEAD) || return
		echo "$tip $t" >>"$tips"
	done
}

# format TREE BASE DIR: reads "COMMIT TOPIC" lines and writes their patches to
# DIR. Nothing in them depends on the repository's size or the user's settings.
format() {
	rm -rf "$3" && mkdir -p "$3" || return
	from=$2
	while read -r tip t; do
		git -C "$1" format-patch -q --zero-commit --no-signature \
			--no-numbered --full-index --stat=72 --stat-graph-width=40 \
			-o "$3/$t" "$from..$tip" || return
		rmdir "$3/$t" 2>/dev/null || :
		from=$tip
	done
}

export_to() {
	topics=$(topics) || return
	lines=
	for t in $topics; do
		tip=$(git_linux rev-parse "$t") || return
		lines="$lines$tip $t$nl"
	done
	printf '%s' "$lines" | format "$linux" base "$1"
}

# sums DIR: of the patches below it. A folder with README and COVER alone has none.
sums() {
	[ -d "$1" ] || return 0
	sums=$(cd "$1" && find . -name '*.patch') || return
	[ -z "$sums" ] || printf '%s\n' "$sums" | sort | (cd "$1" && xargs -d '\n' sha256sum)
}

# What tree and export leave behind, and what must be so for nothing to be lost.
# Whatever fails here has to end as "not as stamped".
stamp() {
	git_linux for-each-ref --format='%(objectname) %(refname)' \
		refs/heads/base 'refs/heads/[0-9][0-9]-*' || return
	sums "$patches"
}

stamp_file() {
	gitdir=$(git_linux rev-parse --absolute-git-dir) || return
	echo "$gitdir/lab-stamp"
}

remove_stamp() {
	stamp_file=$(stamp_file) || return
	rm -f "$stamp_file"
}

write_stamp() {
	stamp_file=$(stamp_file) || return
	stamp >"$stamp_file.tmp" || return
	mv "$stamp_file.tmp" "$stamp_file"
}

as_stamped() {
	stamp_file=$(stamp_file) && [ -f "$stamp_file" ] || return
	stamp_now=$(stamp) || return
	stamp_now=$(printf '%s\n' "$stamp_now" | grep "$1") || :
	stamp_then=$(grep "$1" "$stamp_file") || :
	[ "$stamp_now" = "$stamp_then" ]
}

# is_exported DIR: whether patches/ holds what was exported to DIR.
is_exported() {
	exported=$(sums "$1") && in_patches=$(sums "$patches") &&
		[ "$exported" = "$in_patches" ]
}

# as_patches DIR: whether the topics, exported to DIR, are what patches/ holds.
as_patches() {
	export_to "$1" && is_exported "$1"
}

# Debian's .gitignore hides everything, so git status tells nothing of new files.
# Builds leave none here: they are made outside.
uncommitted() {
	git_linux status --porcelain || return
	git_linux ls-files -o -x '*~' -x '.*.sw?' -x '*.orig' -x '*.rej' \
		-x '*.pyc' -x tags -x 'cscope.*' -x compile_commands.json
}

# obstacle CHECK...: in one line what the first of the checks below that has anything
# to say says. One that could not find out is an obstacle, too.
obstacle() {
	for obstacle_check; do
		obstacle_why=$("$obstacle_check") ||
			obstacle_why=${obstacle_why:-git fails in build/linux ($obstacle_check)}
		[ -z "$obstacle_why" ] || {
			printf '%s\n' "${obstacle_why%%"$nl"*}"
			return
		}
	done
}

# Why build/linux must not be touched; nothing if it may.
busy() {
	gitdir=$(git_linux rev-parse --absolute-git-dir) || return
	if [ -d "$gitdir/rebase-merge" ] || [ -d "$gitdir/rebase-apply" ]; then
		echo "a rebase or am is under way in build/linux: finish or abort it there"
		return
	fi
	changed=$(uncommitted) || return
	[ -z "$changed" ] ||
		echo "uncommitted work in build/linux (${changed%%"$nl"*}): commit it there first (new files: git add -f)"
}

# What keeps the topics from being exported.
unfit() {
	prev=base
	topics=$(topics) || return
	for t in $topics; do
		git_linux merge-base --is-ancestor "$prev" "$t" || {
			echo "branch $t is not based on $prev: git -C build/linux rebase --update-refs"
			return
		}
		prev=$t
	done
	merge=$(git_linux rev-list --merges -n 1 "base..$prev") || return
	[ -z "$merge" ] ||
		echo "merge commits in build/linux: rebase them away"
	bad=$(git_linux log --format=%s "base..$prev") || return
	bad=$(printf '%s\n' "$bad" | grep -E -m 1 '^(fixup|squash|amend)! |^WIP\b') || :
	[ -z "$bad" ] || echo "commit '$bad' is not squashed: git -C build/linux rebase -i --autosquash --update-refs base"
	git_linux merge-base --is-ancestor HEAD "$prev" ||
		echo "HEAD of build/linux is not in the last topic, $prev: git -C build/linux branch -f NN-TOPIC HEAD"
}
