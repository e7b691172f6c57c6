# SPDX-License-Identifier: GPL-2.0
# Sourced by what builds from trees beside build/linux.
#
#   side_tree TREE COMMIT
#                       a worktree of build/linux at COMMIT, without changes. It lacks
#                       what no kernel of the lab is made of, more than half of 1.7 GB.

side_tree() {
	if [ ! -e "$1/.git" ]; then
		git -C "$build/linux" worktree prune || return
		git -C "$build/linux" worktree add -q --no-checkout --detach "$1" "$2" || return
	fi
	side_patterns >"$build/side.tmp" || return
	side_have=$(git -C "$1" rev-parse --path-format=absolute --git-path info/sparse-checkout) || return
	# It says how far it is, on stderr.
	cmp -s "$build/side.tmp" "$side_have" ||
		git -C "$1" sparse-checkout set --no-cone --stdin <"$build/side.tmp" || return
	rm "$build/side.tmp"
	git -C "$1" checkout -q -f --detach "$2" || return
	git -C "$1" clean -qfdx
}

# Kconfig and make read their files of each folder, wanted or not.
side_patterns() {
	printf '%s\n' '/*' '!/Documentation/' '/Documentation/Kconfig'
	for side_dir in 'arch/*' drivers/gpu drivers/infiniband drivers/media drivers/staging \
		sound; do
		printf '%s\n' "!/$side_dir/" "/$side_dir/**/Kconfig*" "/$side_dir/**/Kbuild*" \
			"/$side_dir/**/Makefile*"
	done
	# The selftests are built for arm64, too.
	printf '%s\n' /arch/x86/ /arch/arm64/ '!/arch/arm64/boot/dts/'
}
