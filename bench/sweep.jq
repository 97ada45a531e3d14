# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# Judges the figures of bench/sweep. Points of the kernel and of the process become alike:
# { part, gib, ..., unit, dmatrack, limit, peers: { name: cost } }.

# Above a peer by so much is not noise: counted instructions have none; in the process START
# and the wait after it leave caches cold, which costs the next harvest up to 30 us.
def allowed($peer): if .part == "kernel" then $peer * 1.01 else $peer * 1.1 + 30000 end;

# In the process memory that no longer fits a cache costs up to four times as much.
def growth_limit: if .part == "kernel" then 1.25 else 5 end;

def place: [.gib, .layout, .what, .log, .pages, .answer];
def container: [.part, .gib, .mappings, .log, .answer];
def series: container + [.layout, .what];

def by_place: map({ key: (place | tostring), value: . }) | from_entries;

def kernel:
	($stock | by_place) as $s |
	$dmatrack | map($s[place | tostring] as $other |
		{ part: "kernel", unit: "instructions" } + del(.cost) +
		{ dmatrack: .cost,
		  peers: (if $other then { stock: $other.cost } else {} end) });

def process:
	($peers | group_by(place | tostring) | map({
		key: (.[0] | place | tostring),
		value: (map({ key: .name, value: .cost }) | from_entries)
	 }) | from_entries) as $p |
	$process | map({ part: "process", unit: "ns" } + del(.cost, .one_bitmap) +
		{ dmatrack: .cost,
		  peers: ((if .one_bitmap then { "one bitmap": .one_bitmap } else {} end) +
			  ($p[place | tostring] // {})) });

def best: [.peers[]] | min;

def number:
	if . == null then "-"
	elif . >= 1e7 then "\(. / 1e6 | round) M"
	elif . >= 1e6 then "\(. / 1e5 | round | . / 10) M"
	else "\(. / 1000 | . * 10 | round | . / 10) k" end;

def name:
	"\(.part), \(.gib) GiB in \(.mappings): \(.pages) pages \(.what), \(.layout), " +
	"log \(.log), as \(.answer)";

# Above the best peer
def above: select(best != null and .dmatrack > allowed(best));

# What the pages cost beyond a harvest of clean memory, at least what can be measured
def found($clean): [.dmatrack - $clean, $clean * 0.05, 2000] | max;

# From one number of pages to the next: growth over the growth of the number
def growths:
	(map(select(.pages == 0)) | map({ key: (container | tostring), value: .dmatrack }) |
		from_entries) as $clean |
	map(select(.pages > 0)) | group_by(series) | .[] | sort_by(.pages) as $s |
	range(1; $s | length) | $s[.] as $b | $s[. - 1] as $a |
	($clean[$a | container | tostring] // $clean[$a + { log: "fresh" } | container | tostring]) as $c |
	select($c) |
	{ a: $a, b: $b,
	  growth: (($b | found($c)) / ($a | found($c)) / ($b.pages / $a.pages)) };

# What asking for so much costs: in the process caches have a part in it
def asked: if .part == "process" and .limit then .limit else .gib end;

# From one size to the next with no higher density: cost over the cost of the same density
def sizes:
	map(select(.mappings != 60000)) |
	group_by([.part, .layout, .what, .log, .answer])[] | . as $s | .[] as $b |
	[$s[] | select(.gib < $b.gib and
		.pages / .gib >= $b.pages / $b.gib)] | select(length > 0) |
	max_by([.gib, -.pages]) | . as $a |
	{ a: $a, b: $b, growth: ($b.dmatrack / $a.dmatrack / (($b | asked) / ($a | asked))) };

(kernel + process) as $points |
[$points | growths] as $growths |
[$points | sizes] as $sizes |
[$points[] | above] as $above |
[$growths[] | select(.growth > (.b | growth_limit))] as $steep |
[$sizes[] | select(.growth > (.b | growth_limit))] as $large |
{
	license: "SPDX-License-Identifier: GPL-2.0-only OR MIT",
	date: $date, machine: $machine, kernel: $kernel, qemu: $qemu, compiler: $compiler,
	points: $points,
	text: [
		(["part", "GiB", "mappings", "layout", "what", "log", "pages", "answer",
		  "dmatrack", "limit", "best peer", "of it"] | join("\t")),
		($points[] | [.part, .gib, .mappings, .layout, .what, .log, .pages, .answer,
			(.dmatrack | number), (.limit | number), (best | number),
			(if best then .dmatrack / best * 100 | round | . / 100 else "-" end)] |
			map(tostring) | join("\t"))
	],
	faults: (
		[$above[] | "above the best peer, \(.dmatrack / best * 100 | round | . / 100) times: \(name)"] +
		[($steep + $large)[] |
			"grows \(.growth * 100 | round | . / 100) times as much as what is asked for and found, " +
			"from \(.a.pages) pages of \(.a.gib) GiB: \(.b | name)"]
	),
	summary: [
		(["kernel", "process"][] as $part | [$points[] | select(.part == $part)] |
			select(length > 0) |
			map(select(best)) as $compared |
			"\($part): \(length) points, \($compared | map(above) | length) above the best peer" +
			(if $compared == [] then "" else
			 "; the worst is \($compared | max_by(.dmatrack / best) |
				"\(.dmatrack / best * 100 | round | . / 100) times: \(name)")" end)),
		(["kernel", "process"][] as $part |
			[($growths + $sizes)[] | select(.b.part == $part)] | select(length > 0) |
			max_by(.growth) |
			"\($part): the worst growth between neighbours is \(.growth * 100 | round | . / 100) " +
			"times linear: from \(.a.pages) pages of \(.a.gib) GiB to \(.b | name)")
	]
}
