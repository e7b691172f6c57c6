# SPDX-License-Identifier: GPL-2.0
# The program of lab/checks/check-pipes.

BEGIN {
	n = split("echo printf", a, " ")
	for (i = 1; i <= n; i++)
		harmless[a[i]] = 1
	n = split("awk cut grep head paste sed sort tail tee tr uniq", a, " ")
	for (i = 1; i <= n; i++)
		filter[a[i]] = 1
	n = split("! { do else if then until while elif time", a, " ")
	for (i = 1; i <= n; i++)
		prefix[a[i]] = 1
	for (f = 1; f < ARGC; f++)
		scan(ARGV[f])
	exit bad
}

# A word of a command has ended: the first one is the command's name.
function word_end() {
	if (word == "")
		return
	if (cmd[depth] == "" && word in prefix)
		;
	else if (cmd[depth] == "" && word ~ /^[A-Za-z_][A-Za-z_0-9]*=/)
		;
	else if (cmd[depth] == "")
		cmd[depth] = word
	word = ""
}

function command_end() {
	word_end()
	cmd[depth] = ""
	piped[depth] = 0
}

function push(kind) {
	depth++
	ctx[depth] = kind
	cmd[depth] = ""
	saved[depth] = word
	word = ""
	piped[depth] = 0
}

function pop() {
	word_end()
	word = saved[depth] "_"
	depth--
}

function complain(file, name) {
	if (lineno in reason || (lineno - 1) in reason)
		return
	printf "%s:%d: %s\n", file, lineno, name
	bad = 1
}

function pipe(file,   name) {
	word_end()
	name = cmd[depth]
	if (!(name in harmless) && !(piped[depth] && name in filter))
		complain(file, name)
	cmd[depth] = ""
	piped[depth] = 1
}

function scan(file,   text, line, r, i, c, d, len, delim, rest, quote) {
	text = ""
	lineno = 0
	split("", reason)
	while ((r = (getline line <file)) > 0) {
		lineno++
		text = text line "\n"
		if (line ~ /# pipe: ./)
			reason[lineno] = 1
		# A comment of several lines above the pipe is one.
		else if (line ~ /^[ \t]*#/ && (lineno - 1) in reason)
			reason[lineno] = 1
	}
	close(file)
	if (r < 0) {
		print file ": cannot be read" >"/dev/stderr"
		exit 2
	}
	depth = 0
	ctx[0] = "N"
	cmd[0] = word = delim = ""
	piped[0] = 0
	lineno = 1
	len = length(text)
	for (i = 1; i <= len; i++) {
		c = substr(text, i, 1)
		d = substr(text, i + 1, 1)
		if (c == "\n")
			lineno++
		if (c == "\\") {
			if (d == "\n")
				lineno++
			else
				word = word "\\" d
			i++
			continue
		}
		if (ctx[depth] == "D") {
			if (c == "\"")
				pop()
			else if (c == "$" && d == "(") { push("S"); i++ }
			else if (c == "$" && d == "{") { push("B"); i++ }
			continue
		}
		if (ctx[depth] == "B") {
			if (c == "}")
				pop()
			else if (c == "\"")
				push("D")
			else if (c == "$" && d == "(") { push("S"); i++ }
			else if (c == "$" && d == "{") { push("B"); i++ }
			continue
		}
		# Commands: at the top, or in parentheses.
		if (c == "'") {
			while (substr(text, ++i, 1) != "'" && i <= len)
				if (substr(text, i, 1) == "\n")
					lineno++
			word = word "_"
		} else if (c == "\"") {
			push("D")
		} else if (c == "$" && d == "(") {
			if (cmd[depth] == "for")
				complain(file, "for")
			push("S")
			i++
		} else if (c == "$" && d == "{") {
			push("B")
			i++
		} else if (c == "#" && word == "") {
			while (substr(text, i + 1, 1) != "\n")
				i++
		} else if (c == "<" && d == "<") {
			word_end()
			rest = substr(text, i + 2)
			sub(/^-/, "", rest)
			match(rest, /^['"]?[A-Za-z_]+/)
			delim = substr(rest, 1, RLENGTH)
			gsub(/['"]/, "", delim)
			i += 1 + RLENGTH
			word = "_"
		} else if (c == "\n" && delim != "") {
			command_end()
			rest = substr(text, i + 1)
			match(rest, "(^|\n)" delim "\n")
			quote = substr(rest, 1, RSTART + RLENGTH - 1)
			lineno += gsub(/\n/, "\n", quote)
			i += RSTART + RLENGTH - 1
			delim = ""
		} else if (c == "\n") {
			# A line that ends with "|" goes on.
			word_end()
			if (cmd[depth] != "" || !piped[depth])
				command_end()
		} else if (c == ";" || c == "&") {
			if (c == "&" && (d ~ /[0-9-]/ || substr(text, i - 1, 1) == ">"))
				word = word c
			else {
				command_end()
				if (c == d)
					i++
			}
		} else if (c == "|" && d == "|") {
			command_end()
			i++
		} else if (c == "|") {
			# At the top, what ends with a ")" is the pattern of a case.
			if (ctx[depth] == "N" && substr(text, i + 1) ~ /^[^\n()]*\)/)
				command_end()
			else
				pipe(file)
		} else if (c == "(") {
			push("P")
		} else if (c == ")") {
			if (depth)
				pop()
			else
				command_end()
		} else if (c == " " || c == "\t") {
			word_end()
		} else {
			word = word c
		}
	}
	if (depth) {
		print file ": quotes or parentheses do not match" >"/dev/stderr"
		bad = 1
	}
}
