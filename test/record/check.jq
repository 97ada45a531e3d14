# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# jq -r --slurpfile record RECORD --argjson at I -f check.jq: compare the values that
# probe.js read from a page with the record of its figure I. Prints each difference;
# prints nothing if there is none.

# Convert figures to numbers: "1.5 GiB/s", "1,234", "2 min 05 s"
def unit: {"B": 1, "KiB": 1024, "MiB": 1048576, "GiB": 1073741824, "TiB": 1099511627776,
	"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9, "min": 6e10, "h": 3.6e12, "%": 0.01}[.] // 1;
def number: gsub(","; "") | [scan("([0-9.e+-]+) ?([A-Za-zµ%]*)") | (.[0] | tonumber) * (.[1] | unit)] | add // 0;
def near($other): (. - $other | fabs) <= 0.006 * ([. , $other | fabs] | max) + 0.5;
def differs($what; $shown; $true):
	if $shown | type != "string" then "\($what): not shown, should be \($true)"
	elif $shown | number | near($true) then empty
	else "\($what): \($shown), should be \($true)" end;
def is($what; $shown; $true): if $shown == $true then empty else "\($what): \($shown), should be \($true)" end;

# A value's place on a logarithmic axis, computed from two of its ticks
def place($ticks; $value): $ticks[0] as $a | $ticks[-1] as $b |
	$a.y + ($b.y - $a.y) * (($value / ($a.text | number)) | log) / ((($b.text | number) / ($a.text | number)) | log);
# A short text of a tick, such as "512 KiB", stands for the exact value
def placed($what; $ticks; $y; $value): if ($ticks | length) < 2 then empty
	else place($ticks; $value) as $true | if ($y - $true | fabs) < 1.5 then empty else "\($what): at \($y), should be at \($true)" end end;

# A round's bins, unpacked
def bins($n): if .heat then [.heat[] | if type == "array" then range(.[0]) as $i | .[1] else . end] | . + [range($n - length) | 0]
	else null end;

def hex: reduce (.[2:] | explode[]) as $c (0; . * 16 + (if $c > 96 then $c - 87 else $c - 48 end));

. as $page | $record[0] as $run | [$record[] | select(has("kind"))] as $rounds |
([$record[] | select(has("result"))] | last) as $close | $page.figures[$at] as $figure |
$page.facts[$at] as $facts | ([$run.regions[].size] | add) as $memory | ($memory / $run.page_size) as $pages |
(($pages / 2048) | ceil) as $binpages | (($pages / $binpages) | ceil) as $nbins |
([$rounds[] | select(.kind != "last")] | last) as $running |
[$run.regions[] | {from: (.iova | hex), size}] as $regions | ((($rounds | length) - 1) / 512 | ceil) as $group |
($rounds | to_entries | map({key: (if .value.kind == "round" then "\(.value.round)" else .value.kind end), value: .key})
	| from_entries) as $index |

# facts and downtimes
differs("memory"; $facts.Memory; $memory),
is("host"; $facts.Host; $run.host), is("date"; $facts.Started; $run.date), is("version"; $facts.Version; $run.version),
differs("rounds"; $facts.Rounds; $rounds | length),
differs("time"; $facts.Time; [$rounds[-1].end_ns // 0, $close.time_ns // 0] | max),
differs("sent"; $facts.Sent | split(", ")[0]; $close.bytes // ([$rounds[].bytes] | add) // 0),
is("converged"; $facts.Converged; {fits: "yes", asked: "stopped when asked", diverges: "no", rounds: "no"}[
	if $close.reason == "asked" and ($running.pages_dirty // 0) * $run.page_size <= ($run.left_limit // -1) then "fits"
	else $close.reason // "" end] // "not known"),
([["Downtime allowed", $run.downtime_limit_ns], ["Downtime predicted", $running.downtime_ns], ["Downtime, real", $close.downtime_ns],
  (["to stop", "stop_ns"], ["the last harvest", "last_harvest_ns"], ["to copy the rest", "last_copy_ns"], ["to finish", "finish_ns"] |
   ["… \(.[0])", $close[.[1]] | select(. == null or . > ($close.downtime_ns // 0) / 20)])][] | select(.[1] != null) | . as [$name, $ns] |
	[$page.downtimes[$at][] | select(.name == $name)][0] as $bar |
	differs($name; $bar.text; $ns),
	is("\($name) over"; $bar.over; if $name | startswith("Down") then if $run.downtime_limit_ns and $ns > $run.downtime_limit_ns then 1 else 0 end else 0 end)),
([$page.downtimes[][] | select(.width > 10) | .width / (.text | number)] |
	if length < 2 or (max - min) / max < 0.03 then empty else "bars of downtime are on different scales: \(.)" end),

# the table
(if ($rounds | length) > 600 then $rounds[:300] + $rounds[-300:] else $rounds end) as $shown |
is("rows"; $page.tables[$at] | length; $shown | length),
(range($shown | length) as $i | $shown[$i] as $o | $page.tables[$at][$i] as $row | "row \($i)" as $r |
	is($r; $row.Round; if $o.kind == "round" then "\($o.round)" else $o.kind end),
	differs("\($r) begin"; $row["Began at"]; $o.begin_ns),
	differs("\($r) took"; $row.Took; $o.end_ns - $o.begin_ns),
	(if $o.kind == "full" then empty else is("\($r) dirty"; $row["Dirty pages"] | number; $o.pages_dirty) end),
	is("\($r) sent pages"; $row["Sent pages"] | number; $o.pages_sent),
	is("\($r) zero"; $row.Zero // "0" | number; $o.pages_zero // 0),
	is("\($r) same"; $row.Unchanged // "0" | number; $o.pages_same // 0),
	differs("\($r) sent"; $row.Sent; $o.bytes),
	(if $o.rate then differs("\($r) rate"; $row.Bandwidth; $o.rate) else empty end),
	(if $o.downtime_ns and $o.kind != "last" then differs("\($r) downtime"; $row["Predicted downtime"]; $o.downtime_ns) else empty end)),

# no power of ten is left out between two ticks
($figure.downtimes.ticks // [] | map(.text | number) | select(length == 2 and all(. > 0)) | select(max / min > 11) |
	"ticks of downtime: only \(.)"),

# the chart of bytes, where each round has a column of its own: a bar's top, or a line's middle
(if $figure.bytes == null or ($figure.note | test("A column stands")) then empty else
	["sent", "zero", "same"][] as $part | [$rounds[] | .["pages_" + $part] // 0 | select(. > 0) | . * $run.page_size] as $true |
	[$figure.bytes.bars[] | select(.part == $part) | if $part == "sent" then .top else (.top + .bottom) / 2 end] as $tops |
	is("bars of \($part)"; $tops | length; $true | length),
	(range($true | length) as $i | placed("bar \($i) of \($part)"; $figure.bytes.ticks; $tops[$i]; $true[$i])),
	(if $close.downtime_ns then $figure.downtimes.real[0] | placed("real downtime"; $figure.downtimes.ticks; (.top + .bottom) / 2; $close.downtime_ns)
	 else empty end),
	(if $run.downtime_limit_ns then placed("allowed downtime"; $figure.downtimes.ticks; $figure.downtimes.limit[0].top; $run.downtime_limit_ns)
	 else empty end),
	(if $run.bandwidth_limit then placed("limit"; $figure.rates.ticks; $figure.rates.limit[0].top; $run.bandwidth_limit) else empty end) end),

# texts at points of the map: about the round, and about the cell
($figure.pointed // [] | to_entries[] | select($group == 1 or .key % 5 == 0) | .value | select(.text != "") | .text as $text |
	($text | capture("^Round (?<name>\\w+), ") | .name) as $name | $index[$name] as $i |
	if $i == null then "told of a round that is not there: \($text)" else
	$rounds[$i + 1] as $next |
	differs("told of round \($name)"; $text | capture("sent (?<x>[^;\n]*)").x | split(" at ")[0]; $rounds[$i].bytes),
	(if $next then is("told of what was written in round \($name)"; $text | capture("written in this time: (?<x>[0-9,]+)").x | number; $next.pages_dirty) else empty end),
	(if $next == null or $next.heat == null then empty else
		($text | capture("From (?<iova>0x[0-9a-f]+), .*: (?<n>[0-9,]+) of (?<of>[0-9,]+) page")) as $cell |
		($cell.iova | hex) as $iova |
		([$regions | foreach .[] as $g ({before: 0}; .here = .before | .before += $g.size; {g: $g, here})
			| select($iova >= .g.from and $iova < .g.from + .g.size)
			| (.here + $iova - .g.from) / $run.page_size / $binpages | floor][0]) as $bin |
		(($cell.of | number) / $binpages | ceil) as $merged | ($i - $i % $group + 1) as $first |
		is("told of pages at \($cell.iova) in round \($name)"; $cell.n | number;
			[$rounds[$first:$first + $group][] | bins($nbins)[$bin:$bin + $merged] | add] | max)
	 end) end),

# colours, where a few stretches of bins are alike: the page's or the level's
(if $group != 1 or $figure.pointed == null or any($rounds[]; .heat | length > 8) then empty else
	$figure.pointed[] | select(.text | test("From 0x.* of ")) | (.text | capture(": (?<n>[0-9,]+) of (?<of>[0-9,]+) page")) as $cell |
	(($cell.n | number) / ($cell.of | number)) as $share |
	[0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1] as $shares |
	(if $share == 0 then [246, 247, 248] else $figure.swatches[[$shares[] | select(. < $share)] | length] end) as $true |
	is("colour of \($cell)"; .colour; $true) end)
