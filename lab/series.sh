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
	git_linux for-each-ref --format='%(refname:short)' \
		'refs/heads/[0-9][0-9]-*' | sort
}

folders() {
	find "$patches" -mindepth 2 -maxdepth 2 -name '*.patch' -printf '%h\n' \
		2>/dev/null | sed 's,.*/,,' | grep '^[0-9][0-9]-' | sort -u || :
}

# apply TREE: puts patches/ on top of HEAD of TREE, and notes "COMMIT TOPIC" in
# $tips. On failure prints the patch, and leaves TREE as it was after the topics
# before. git am takes no fuzz.
apply() {
	: >"$tips"
	for t in $(folders); do
		if ! git -C "$1" -c core.hooksPath=/dev/null am -q \
			--keep-non-patch --no-3way --committer-date-is-author-date \
			"$patches/$t"/*.patch >"$logs/am.log" 2>&1; then
			n=$(cat "$(git -C "$1" rev-parse --absolute-git-dir)/rebase-apply/next" \
				2>/dev/null || echo 1)
			git -C "$1" am --abort >/dev/null 2>&1 || :
			set -- "$patches/$t"/*.patch
			shift "$((n - 1))"
			echo "$t/${1##*/}"
			return 1
		fi
		echo "$(git -C "$1" rev-parse HEAD) $t" >>"$tips"
	done
}

# format TREE BASE DIR: reads "COMMIT TOPIC" lines and writes their patches to
# DIR. Nothing in them depends on the repository's size or the user's settings.
format() {
	rm -rf "$3"
	mkdir -p "$3"
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
	for t in $(topics); do
		echo "$(git_linux rev-parse "$t") $t"
	done | format "$linux" base "$1"
}

# What tree and export leave behind, and what must be so for nothing to be lost.
stamp() {
	git_linux for-each-ref --format='%(objectname) %(refname)' \
		refs/heads/base 'refs/heads/[0-9][0-9]-*'
	(cd "$patches" 2>/dev/null && find . -name '*.patch' | sort |
		xargs -r sha256sum)
}

write_stamp() {
	stamp >"$(git_linux rev-parse --absolute-git-dir)/lab-stamp"
}

as_stamped() {
	stamp | grep "$1" >"$build/stamp.tmp" || :
	grep -s "$1" "$(git_linux rev-parse --absolute-git-dir)/lab-stamp" |
		cmp -s - "$build/stamp.tmp"
}

# as_patches DIR: whether the topics, exported to DIR, are what patches/ holds.
as_patches() {
	export_to "$1" && diff -rq -x 'README*' "$1" "$patches" >/dev/null 2>&1
}

# Debian's .gitignore hides everything, so git status tells nothing of new files.
# Builds leave none here: they are made outside.
uncommitted() {
	git_linux status --porcelain
	git_linux ls-files -o -x '*~' -x '.*.sw?' -x '*.orig' -x '*.rej' \
		-x '*.pyc' -x tags -x 'cscope.*' -x compile_commands.json
}

# In one line why build/linux must not be touched; nothing if it may.
busy() {
	gitdir=$(git_linux rev-parse --absolute-git-dir)
	if [ -d "$gitdir/rebase-merge" ] || [ -d "$gitdir/rebase-apply" ]; then
		echo "a rebase or am is under way in build/linux: finish or abort it there"
		return
	fi
	changed=$(uncommitted | head -n 1)
	[ -z "$changed" ] ||
		echo "uncommitted work in build/linux ($changed): commit it there first (new files: git add -f)"
}

# In one line what keeps the topics from being exported.
unfit() {
	prev=base
	for t in $(topics); do
		git_linux merge-base --is-ancestor "$prev" "$t" || {
			echo "branch $t is not based on $prev: git -C build/linux rebase --update-refs"
			return
		}
		prev=$t
	done
	[ -z "$(git_linux rev-list --merges -n 1 "base..$prev")" ] ||
		echo "merge commits in build/linux: rebase them away"
	bad=$(git_linux log --format=%s "base..$prev" |
		grep -E -m 1 '^(fixup|squash|amend)! |^WIP\b') || :
	[ -z "$bad" ] || echo "commit '$bad' is not squashed: git -C build/linux rebase -i --autosquash --update-refs base"
	git_linux merge-base --is-ancestor HEAD "$prev" ||
		echo "HEAD of build/linux is not in the last topic, $prev: git -C build/linux branch -f NN-TOPIC HEAD"
}
