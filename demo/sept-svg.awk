# SPDX-License-Identifier: GPL-2.0
# The program of demo/sept-svg.

BEGIN {
	how = ARGV[1]
	ARGC = 1
	px = 0.5		# width of a page
	row = 14; bar = 10	# height of a line, of its bar
	left = 20; gap = 40
	panel = 8 * row + 62	# height of an operation
	fill["2M"] = "#2b6cb0"; fill["4K"] = "#90cdf4"
	fill["gone"] = "#ffffff"; fill["pending"] = "#faf089"
	if (how == "convert")
		fill["gone"] = "#ed8936"
}

function rect(x, y, w, h, style) {
	body = body sprintf("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" %s/>\n",
			    x, y, w, h, style)
}

function text(x, y, s, style) {
	gsub(/&/, "\\&amp;", s); gsub(/</, "\\&lt;", s)
	body = body sprintf("<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y, style, s)
}

$1 == "report:" && $2 == "map" && $3 == how {
	x = left + ($5 == "after" ? 512 * px + gap : 0)
	y = 60 + $4 * panel + 26 + $6 * row
	top = $4 > top ? $4 : top
	page = 0
	# What is gone comes last, and is never too narrow to be seen.
	for (pass = 0; pass < 2; pass++) {
		page = 0
		for (i = 7; i <= NF; i++) {
			split($i, run, ":")
			narrow = run[1] == "gone"
			w = run[2] * px
			if (narrow == pass)
				rect(x + (narrow && w < 4 && page ? page * px - 4 + w : page * px),
				     y, narrow && w < 4 ? 4 : w, bar,
				     "fill=\"" fill[run[1]] "\" stroke=\"#1a365d\" stroke-width=\"0.5\"" \
				     (run[1] == "gone" ? " stroke-dasharray=\"2 1\"" : ""))
			page += run[2]
		}
	}
	seen = 1
}

$1 == "report:" && $2 == "calls" && $3 == how {
	s = $0
	sub(/^report: calls [a-z]+ [0-9]+ /, "", s)
	name = s
	sub(/: .*/, "", name)
	sub(/^[^:]*: /, "", s)
	y = 60 + $4 * panel + 18
	text(left, y, (how == "punch" ? "Hole of " : "To shared: ") name, "font-weight=\"bold\"")
	text(left, y + 8 * row + 24, "SEAMCALLs: " s, "font-size=\"9\"")
}

END {
	if (!seen) {
		print "no map of the S-EPT in the console" >"/dev/stderr"
		exit 1
	}
	width = 2 * left + 1024 * px + gap + 30
	text(left, 20, "S-EPT of a TD before (left) and after (right), 16 MiB, a line for 2 MiB", "font-weight=\"bold\"")
	n = split("2M 4K gone", kinds, " ")
	label["2M"] = "a leaf of 2 MiB"; label["4K"] = "leaves of 4 KiB"
	label["gone"] = how == "punch" ? "punched (drawn as 32 KiB at least)" : "shared (drawn as 32 KiB at least)"
	x = left
	for (i = 1; i <= n; i++) {
		rect(x, 32, 12, bar, "fill=\"" fill[kinds[i]] "\" stroke=\"#1a365d\" stroke-width=\"0.5\"")
		text(x + 18, 41, label[kinds[i]], "")
		x += 130
	}
	height = 60 + (top + 1) * panel
	print "<!-- SPDX-License-Identifier: GPL-2.0 -->"
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" font-family=\"sans-serif\" font-size=\"11\">\n", width, height, width
	printf "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n%s</svg>\n", body
}
