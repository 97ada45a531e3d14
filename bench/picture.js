// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Draws the part of the sweep named by part: a row for each kind of harvest, a column for
 * each layout, in each panel cost over number of pages, both logarithmic. Leaves the
 * drawing in the document, as base64.
 */
'use strict';
(() => {
const kernel = part === 'kernel';
const points = sweep.points.filter(p => p.part === part && p.mappings);
const layouts = [
	['random', 'at random'], ['spread', 'evenly spread'],
	['clustered', 'in runs of 256'], ['chunks', 'one in each chunk'],
];
const rows = kernel ? [
	{ title: '64 GiB, dirty', gib: 64, what: 'dirty' },
	{ title: '64 GiB, pinned', gib: 64, what: 'pinned' },
	{ title: '64 GiB, as many dirty as pinned', gib: 64, what: 'both' },
	{ title: '1 TiB, dirty', gib: 1024, what: 'dirty' },
	{ title: '1 TiB, pinned', gib: 1024, what: 'pinned' },
	{ title: '60,000 mappings of 1 MiB, dirty', gib: 58, what: 'dirty' },
] : [
	{ title: '64 GiB, dirty, as a bitmap', gib: 64, what: 'dirty', answer: 'bitmap' },
	{ title: '64 GiB, dirty, as ranges', gib: 64, what: 'dirty', answer: 'ranges' },
	{ title: '1 TiB, dirty, as a bitmap', gib: 1024, what: 'dirty', answer: 'bitmap' },
	{ title: '1 TiB, dirty, as ranges', gib: 1024, what: 'dirty', answer: 'ranges' },
	{ title: '64 GiB, pinned, as a bitmap', gib: 64, what: 'pinned', answer: 'bitmap' },
	{ title: '64 GiB, pinned, as ranges', gib: 64, what: 'pinned', answer: 'ranges' },
];
const dmatrack = '#0072b2', other = '#c04f00';
const lines = [
	{ name: kernel ? 'limit: clear_user() of the answer' : 'limit: memset() of the answer',
	  color: '#8f99a3', dash: '2 3', cost: p => p.limit },
	kernel ?
	{ name: 'stock type1', color: other, cost: p => p.peers.stock } :
	{ name: 'one bitmap, harvested as QEMU does', color: other, cost: p => p.peers['one bitmap'] },
	{ name: 'CRoaring (one thread only)', color: '#007a5a', cost: p => p.peers.CRoaring },
	{ name: 'dmatrack, log used before', color: dmatrack, dash: '5 3', log: 'used', cost: p => p.dmatrack },
	{ name: 'dmatrack', color: dmatrack, width: 2.2, log: 'fresh', cost: p => p.dmatrack },
].filter(l => points.some(p => p.pages && l.cost(p)));

const panel = { width: 190, height: 118 };
const left = 62, top = 132, gapX = 14, gapY = 64;
const width = left + layouts.length * (panel.width + gapX) + 6;
const height = top + rows.length * (panel.height + gapY) - gapY + 26;

const svg = d3.select('body').append('svg')
	.attr('xmlns', 'http://www.w3.org/2000/svg')
	.attr('viewBox', `0 0 ${width} ${height}`)
	.attr('font-family', 'DejaVu Sans, Helvetica, Arial, sans-serif').attr('font-size', 11);
svg.append(() => document.createComment(' SPDX-License-Identifier: GPL-2.0-only OR MIT '));
svg.append('rect').attr('width', width).attr('height', height).attr('fill', '#ffffff');

function text(to, x, y, words, color) {
	return to.append('text').attr('x', x).attr('y', y).attr('fill', color || '#1c2126').text(words);
}

text(svg, 12, 24, kernel ?
	'Instructions of GET_BITMAP by the number of pages that it finds' :
	'Time of a harvest in the process by the number of pages that it finds')
	.attr('font-size', 16).attr('font-weight', 'bold');
text(svg, 12, 42, kernel ?
	`counted in a virtual machine on ${sweep.date}, Linux ${sweep.kernel}; across: pages; a chunk is 32,768 pages; lower is better` :
	`one thread, ${sweep.machine}, gcc ${sweep.compiler}, ${sweep.date}; across: pages; a chunk is 32,768 pages; lower is better`,
	'#565f69');

/* Legend */
[...lines].reverse().forEach((l, i) => {
	const x = 12 + i % 3 * 270, y = 62 + Math.floor(i / 3) * 17;

	svg.append('line').attr('x1', x).attr('x2', x + 26).attr('y1', y).attr('y2', y)
		.attr('stroke', l.color).attr('stroke-width', l.width || 1.5).attr('stroke-dasharray', l.dash);
	text(svg, x + 31, y + 4, l.name);
});

const pages = n => n >= 1e6 ? `${n / 1e6} M` : n >= 1000 ? `${n / 1000} k` : String(n);
const cost = kernel ?
	n => `${d3.format(',')(n / 1e6)} M` :
	n => n >= 1e6 ? `${n / 1e6} ms` : n >= 1e3 ? `${n / 1e3} µs` : `${n} ns`;
const powers = ([a, b]) => d3.range(Math.ceil(Math.log10(a) - 1e-9), Math.floor(Math.log10(b) + 1e-9) + 1).map(e => 10 ** e);

/* Powers of ten, or if they are too few also twice and five times those */
function ticks(scale) {
	const tens = powers(scale.domain());

	return tens.length > 2 ? tens : scale.ticks(20).filter(t => /^[125]/.test(t.toExponential()));
}


function grid(to, scale, ticks, vertical, label) {
	for (const t of ticks) {
		const at = scale(t);

		to.append('line').attr('stroke', '#e3e6e9')
			.attr('x1', vertical ? at : 0).attr('x2', vertical ? at : panel.width)
			.attr('y1', vertical ? 0 : at).attr('y2', vertical ? panel.height : at);
		if (label)
			text(to, vertical ? at : -5, vertical ? panel.height + 14 : at + 4, label(t), '#565f69')
				.attr('text-anchor', vertical ? 'middle' : 'end');
	}
}

rows.forEach((row, i) => {
	const found = points.filter(p => p.gib === row.gib && p.what === row.what && p.pages &&
		(!row.answer || p.answer === row.answer));
	const costs = found.flatMap(p => lines.map(l => l.cost(p))).filter(c => c);
	const scaleX = d3.scaleLog().domain([1, d3.max(found, p => p.pages)]).range([6, panel.width - 6]);
	const scaleY = d3.scaleLog().domain([d3.min(costs) * 0.7, d3.max(costs) * 1.4]).range([panel.height, 0]);
	const y = top + i * (panel.height + gapY);
	let first = true;

	text(svg, 12, y - 22, row.title).attr('font-weight', 'bold').attr('font-size', 12);
	layouts.forEach(([layout, title], j) => {
		const here = found.filter(p => p.layout === layout);
		const at = left + j * (panel.width + gapX);
		const to = svg.append('g').attr('transform', `translate(${at},${y})`);

		if (!here.length)
			return;
		text(svg, at + panel.width, y - 6, title, '#565f69').attr('text-anchor', 'end');
		grid(to, scaleY, ticks(scaleY), false, first && cost);
		grid(to, scaleX, powers(scaleX.domain()).filter((t, k) => k % 2 === 0), true, pages);
		to.append('rect').attr('width', panel.width).attr('height', panel.height)
			.attr('fill', 'none').attr('stroke', '#d5dade');
		first = false;
		for (const l of lines) {
			const log = l.log || (here.some(p => p.log === 'fresh') ? 'fresh' : 'used');
			const line = here.filter(p => p.log === log && l.cost(p));

			line.sort((a, b) => a.pages - b.pages);
			to.append('path').attr('fill', 'none').attr('stroke', l.color)
				.attr('stroke-width', l.width || 1.5).attr('stroke-dasharray', l.dash)
				.attr('d', d3.line().x(p => scaleX(p.pages).toFixed(1)).y(p => scaleY(l.cost(p)).toFixed(1))(line));
		}
	});
});

const out = new XMLSerializer().serializeToString(svg.node()).replace(/></g, '>\n<') + '\n';
d3.select('body').append('pre').text(btoa(unescape(encodeURIComponent(out))));
})();
