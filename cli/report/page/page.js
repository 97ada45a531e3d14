// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The report of one or two runs, from the records in #data. 'dmatrack report' has checked
 * that they are as man/dmatrack-record.5 says; their texts are not trusted.
 *
 * A column is the time from one harvest to the next: round i is sent in it, and the pages
 * written in it are reported by the harvest of round i + 1. So a column shows the bytes
 * sent in round i and the pages of round i + 1. In the last column devices stand still.
 * A column's width is proportional to its time, but wide enough to be seen.
 */
'use strict';
(() => {
const data = JSON.parse(d3.select('#data').text());
const dark = matchMedia('screen and (prefers-color-scheme: dark)');

/* Figures */

const short = x => String(Number(x.toPrecision(3)));
const count = n => n.toLocaleString('en');
const plural = (n, what) => `${count(n)} ${what}${n === 1 ? '' : 's'}`;

function time(ns) {
	const s = Math.round(ns / 1e9), two = n => String(n).padStart(2, '0');

	if (ns < 0.5) return '0';
	if (ns < 999.5) return `${short(ns)} ns`;
	if (ns < 999.5e3) return `${short(ns / 1e3)} µs`;
	if (ns < 999.5e6) return `${short(ns / 1e6)} ms`;
	if (ns < 99.95e9) return `${short(ns / 1e9)} s`;
	if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
	return `${count(Math.floor(s / 3600))} h ${two(Math.floor(s / 60) % 60)} min`;
}

function bytes(n) {
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
	let i = 0;

	for (; n >= 999.5 && i + 1 < units.length; i++)
		n /= 1024;
	return n > 0 ? `${short(n)} ${units[i]}` : '0';
}

const rate = n => n > 0 ? `${bytes(n)}/s` : '0';
const percent = share => `${short(100 * share)} %`;

/* Text of a record, without characters that control or redirect the text around it */
function clean(text, most) {
	text = Array.from(String(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '\ufffd'));
	return text.length > most ? text.slice(0, most).join('') + '…' : text.join('');
}

const quote = word => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, "'\\''")}'`;

/* A run */

function load(record) {
	const run = record.line[0], rounds = record.line.slice(1);
	const end = rounds.length && 'result' in rounds[rounds.length - 1] ? rounds.pop() : null;
	const r = {run, rounds, end, heat: record.heat, name: clean(record.name, 60)};

	r.regions = run.regions.map(g => ({iova: BigInt(g.iova), pages: g.size / run.page_size}));
	r.pages = d3.sum(r.regions, g => g.pages);
	r.memory = r.pages * run.page_size;
	/* a record of watch: its rounds are intervals, in which nothing was sent */
	r.watched = run.command === 'watch';
	rounds.forEach((o, i) => {
		o.name = o.kind === 'round' || r.watched ? String(o.round) : o.kind;
		o.changed = Math.max(o.pages_dirty - (o.pages_same || 0), 0) * run.page_size;
		if (!o.dirty_rate && i && o.begin_ns > rounds[i - 1].begin_ns)
			o.dirty_rate = o.changed * 1e9 / (o.begin_ns - rounds[i - 1].begin_ns);
	});
	r.last = rounds[rounds.length - 1];
	r.time = Math.max(r.last ? r.last.end_ns : 0, end ? end.time_ns : 0);
	r.sent = end ? end.bytes : d3.sum(rounds, o => o.bytes);
	r.running = rounds.filter(o => o.kind !== 'last').pop();
	r.allowed = run.downtime_limit_ns;
	r.predicted = r.running ? r.running.downtime_ns : undefined;
	r.real = end ? end.downtime_ns : undefined;
	r.late = r.real > r.allowed;
	r.parts = !end ? [] : [
		{act: 'stopping the devices', short: 'to stop', ns: end.stop_ns},
		{act: 'the last harvest', short: 'the last harvest', ns: end.last_harvest_ns},
		{act: 'copying what was left', short: 'to copy the rest',
		 ns: end.last_copy_ns || (r.last && r.last.kind === 'last' ? r.last.end_ns - r.last.begin_ns : 0)},
		{act: 'finishing', short: 'to finish', ns: end.finish_ns}];
	r.cause = r.late ? d3.greatest(r.parts, part => part.ns || 0) : undefined;
	/* a program that asks to stop at its own limit has converged, too */
	r.reason = !end ? 'none' : end.reason === 'asked' && r.running &&
		r.running.pages_dirty * run.page_size <= run.left_limit ? 'fits' : end.reason;
	r.missed = r.reason === 'diverges' || r.reason === 'rounds';
	r.hopeless = r.watched && r.predicted > r.allowed;
	r.bad = r.watched ? r.hopeless : !end || end.result === 'failed' || end.result === 'differs';
	r.fits = r.allowed && !r.watched ? rounds.find(o => o.kind !== 'last' && o.downtime_ns <= r.allowed) : undefined;
	return r;
}

/* Words */

function headline(r) {
	const results = {copied: 'everything was copied', exact: 'the copy is exact: every byte was compared',
			 differs: 'THE COPY DIFFERS from the memory'};

	if (r.watched)
		return `${time(r.time)}${r.end ? '' : ', so far'}; ` + (r.predicted === undefined ? 'nothing is known yet' :
			`a migration ${r.hopeless ? 'would not end' : `would stop it for ${time(r.predicted)}`}`);
	if (!r.end)
		return `KILLED, or still running, after ${plural(r.rounds.length, 'round')}: the record has no end`;
	if (r.end.result === 'failed')
		return `FAILED: ${clean(r.end.error || 'the record does not say why', 200)}`;
	return results[r.end.result] + (r.missed ? ', but it did not converge' : '') +
		(r.late ? `; devices stood still for ${time(r.real)}, ${time(r.allowed)} allowed` : '') +
		(r.cause && r.cause.ns ? `: ${r.cause.act} took ${time(r.cause.ns)}` : '');
}

function describe(r) {
	const drivers = {engine: "dmatrack's engine in the process", dmatrack: 'dmatrack in the kernel',
			 stock: 'the stock driver in the kernel'};
	const driver = clean(r.run.driver, 60);

	return `${bytes(r.memory)} of memory in ${plural(r.regions.length, 'region')}, tracked by ${
		drivers[driver] || `driver ${driver}`} in pages of ${bytes(r.run.page_size)}` +
		(r.run.refine === true ? ', compared by content before they are sent again.' : '.') +
		(r.run.target ? ` ${r.watched ? 'Program' : 'Target'}: ${clean(r.run.target, 200)}` : '');
}

function reason(r) {
	const o = r.running, where = !o ? '' : o.kind === 'full' ? 'the full copy' : `round ${o.name}`;
	const rates = o && o.rate && o.dirty_rate ?
		` Memory was written at ${rate(o.dirty_rate)} and sent at ${rate(o.rate)}.` : '';
	const expected = r.predicted !== undefined && r.allowed ?
		` Predicted downtime after ${where}: ${time(r.predicted)}; allowed: ${time(r.allowed)}.` : '';

	if (r.watched)
		return `Nothing was copied: devices' writes were watched. A migration as it would be at the end, at ${
			rate(r.run.bandwidth_limit)}: ${r.hopeless ? 'it would not end' :
			`a downtime of ${r.predicted === undefined ? 'a length that is not known' : time(r.predicted)}`}; ${
			time(r.allowed)} are allowed.`;
	if (!r.end)
		return `The record ends after ${where || 'the start'}.`;
	switch (r.reason) {
	case 'fits':
		return 'It converged: ' + (r.allowed ? `what was left fitted the allowed downtime of ${time(r.allowed)}` :
			r.run.left_limit ? `no more than ${bytes(r.run.left_limit)} was left` : 'little enough was left') +
			(where ? ` after ${where}.` : '.');
	case 'diverges':
		return `It did not converge: rounds no longer got smaller.${expected}${rates}`;
	case 'rounds':
		return `It did not converge within ${plural(r.run.rounds_limit || r.rounds.length, 'round')}.` +
			expected + rates;
	case 'asked':
		return 'The devices were stopped because the program asked for it.';
	}
	return 'The devices were not stopped.';
}

/* Advice, a sentence each */
function advise(r) {
	const o = r.running, list = [], demo = r.run.command === 'demo', limit = r.run.bandwidth_limit;
	const slow = o && o.rate && o.dirty_rate >= o.rate, needed = Math.max(r.predicted || 0, r.real || 0);

	if (r.missed && o && o.dirty_rate > limit / 2)
		list.push(`Raise --bandwidth: it allowed ${rate(limit)}, and ${rate(o.dirty_rate)} were written.`);
	else if (r.missed && slow && !demo)
		list.push(`Send faster than the ${rate(o.dirty_rate)} that were written.`);
	if (r.missed && slow)
		list.push(demo ? 'Write less: a lower --rate.' : 'Let devices write less while memory is copied.');
	if (r.missed && !slow && r.reason === 'rounds')
		list.push(`Allow more rounds: --rounds ${2 * (r.run.rounds_limit || r.rounds.length)}.`);
	if (r.missed && needed > r.allowed)
		list.push(`Allow the downtime that it takes: --downtime ${Math.ceil(needed / 1e6)} (milliseconds).`);
	if (r.missed && demo && o)
		list.push(`Accept what is left: --until ${o.pages_dirty} (pages).`);
	if (r.missed && !demo && r.run.refine !== true)
		list.push('If devices write the same content again, or the driver reports more than was written: --refine.');
	if (r.cause && r.cause.short === 'to finish')
		list.push(`Finishing took ${time(r.cause.ns)} of the downtime: use a faster disk at the destination.`);
	else if (r.cause && r.cause.short === 'to copy the rest' && !r.missed)
		list.push(`Copying what was left took ${time(r.cause.ns)} of the downtime: ` +
			  'more was written, or it was sent slower, than predicted.');
	return list;
}

/* Pairs of a name and a text; '': not known */
function facts(r) {
	const converged = {fits: 'yes', asked: 'stopped when asked', diverges: 'no', rounds: 'no'};
	const words = Array.isArray(r.run.arguments) ? r.run.arguments.map(w => quote(String(w))).join(' ') : '';

	return [['Memory', bytes(r.memory)], ['Time', time(r.time)],
		[r.watched ? 'Intervals' : 'Rounds', count(r.rounds.length)],
		['Sent', r.watched ? '' : `${bytes(r.sent)}, ${short(r.sent / r.memory)} × memory`],
		['Converged', r.watched ? '' : converged[r.reason] || 'not known'],
		...[['Host', r.run.host], ['Started', r.run.date], ['Version', r.run.version], ['Command line', words]]
			.map(([name, text]) => [name, clean(text || '', 500)])];
}

const downtimes = r => [['Downtime allowed', r.allowed], ['Downtime predicted', r.predicted],
	['Downtime, real', r.real],
	...['to stop', 'the last harvest', 'to copy the rest', 'to finish'].map(name => [`… ${name}`,
		(r.parts.find(part => part.short === name && part.ns > r.real / 20) || {}).ns])];

/* @runs: all runs of the page; their bars have the same scale */
function showFacts(parent, r, runs) {
	const box = parent.append('div'), most = d3.max(runs.flatMap(downtimes), d => d[1]);
	const shown = facts(r).filter((f, i) => runs.some(o => facts(o)[i][1]));
	const tiles = box.append('dl').attr('class', 'facts').selectAll('div').data(shown).join('div');
	const bars = box.append('div').attr('class', 'compare').selectAll('div')
		.data(downtimes(r).filter((d, i) => runs.some(o => downtimes(o)[i][1] !== undefined))).join('div');

	tiles.append('dt').text(f => f[0]);
	tiles.append('dd').text(f => f[1] || 'not known');
	bars.append('span').text(d => d[0]);
	bars.append('b').text(d => d[1] === undefined ? 'not known' : time(d[1]));
	bars.append('i').style('width', d => `${100 * (d[1] || 0) / most}%`)
		.style('visibility', d => d[1] ? null : 'hidden')
		.classed('over', d => d[1] > r.allowed && d[0].startsWith('Downtime'));
}

/* The table of rounds. Columns without a value in any round are left out. */

const MOST_ROWS = 600;

function showTable(parent, r) {
	const some = name => r.rounds.some(o => o[name]), running = o => o.kind !== 'last';
	const found = f => o => o.kind === 'full' ? '' : f(o);
	const columns = [
		[r.watched ? 'Interval' : 'Round', o => o.name],
		[r.watched ? 'Ended at' : 'Began at', o => time(o.begin_ns)],
		!r.watched && ['Took', o => time(o.end_ns - o.begin_ns)],
		['Dirty pages', o => o.kind === 'full' && !r.watched ? 'all' : count(o.pages_dirty)],
		['of all', found(o => percent(o.pages_dirty / r.pages))],
		...(r.run.sources || []).map((name, i) => [`by the ${clean(name, 20)}`,
			found(o => o.pages_reported && o.pages_reported[i] !== undefined ? count(o.pages_reported[i]) : '')]),
		['Dirty rate', found(o => rate(o.dirty_rate || 0))],
		!r.watched && ['Sent pages', o => count(o.pages_sent)],
		some('pages_zero') && ['Zero', o => count(o.pages_zero || 0)],
		some('pages_same') && ['Unchanged', o => count(o.pages_same || 0)],
		!r.watched && ['Sent', o => bytes(o.bytes)],
		!r.watched && ['Bandwidth', o => o.rate ? rate(o.rate) : ''],
		some('bytes_left') && ['Left', o => running(o) && o.bytes_left !== undefined ? bytes(o.bytes_left) : ''],
		some('downtime_ns') && ['Predicted downtime',
			o => running(o) && o.downtime_ns !== undefined ? time(o.downtime_ns) : ''],
	].filter(c => c);
	const n = r.rounds.length, half = MOST_ROWS / 2;
	const shown = n > MOST_ROWS ? [...r.rounds.slice(0, half), ...r.rounds.slice(n - half)] : r.rounds;
	const box = parent.append('details').attr('open', n > 40 ? null : '');
	const table = box.append('table').attr('class', 'rounds');

	box.insert('summary', 'table').text(plural(n, r.watched ? 'interval' : 'round') +
		(n > MOST_ROWS ? `, of which the first and the last ${half} are here` : ''));
	table.append('thead').append('tr').selectAll('th').data(columns).join('th').text(c => c[0]);
	table.append('tbody').selectAll('tr').data(shown).join('tr')
		.selectAll('td').data(o => columns.map(c => [c[0], c[1](o)])).join('td')
		.attr('data-name', d => d[0]).text(d => d[1]);
}

/* Colours of heat: viridis. Level i stands for up to SHARES[i] of a cell's pages; level 0
 * is closest to the background */

const SHARES = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];
const VIRIDIS = ['440154', '482173', '433e85', '38598c', '2d708e', '25858e',
		 '1e9b8a', '2bb07f', '51c56a', '85d54a', 'c2df23', 'fde725'];

const level = share => Math.min(d3.bisectLeft(SHARES, share), SHARES.length - 1);
const colour = i => `#${VIRIDIS[dark.matches ? i : VIRIDIS.length - 1 - i]}`;

/* Unpack the numbers of a column: see 'heat' in dmatrack-record(5) */
function unpack(list, n) {
	const row = new Float64Array(n);
	let at = 0;

	for (const part of list) {
		const [times, value] = Array.isArray(part) ? part : [1, part];

		row.fill(value, at, at += times);
	}
	return row;
}

/* A picture with a pixel for @merge rows of each column */
function heatImage(r, heat, merge) {
	const rows = Math.ceil(r.heat.rows / merge), canvas = document.createElement('canvas');

	canvas.width = heat.length;
	canvas.height = rows;
	const context = canvas.getContext('2d');

	heat.forEach((column, x) => {
		for (let y = 0; column && y < rows; y++) {
			const sum = d3.sum(column.subarray(y * merge, (y + 1) * merge));
			const first = y * merge * r.heat.pages, pages = Math.min(merge * r.heat.pages, r.pages - first);

			if (sum) {
				context.fillStyle = colour(level(sum / pages));
				context.fillRect(x, y, 1, 1);
			}
		}
	});
	return canvas;
}

/* The figure: heat map and charts on one time axis */

const NARROW = 12, GAP = 60, CHART = 130, FOOT = 22;

/* Left edges of rounds and the end, from 0 to @width */
function layOut(r, width) {
	const n = r.rounds.length, least = Math.min(NARROW, width / 3 / n);
	const took = r.rounds.map((o, i) => (i + 1 < n ? r.rounds[i + 1].begin_ns : r.time) - o.begin_ns);
	const sorted = took.slice().sort(d3.ascending);
	let rest = d3.sum(took), i = 0;

	/* the scale with which all fit, when the i shortest are widened */
	while (i < n && sorted[i] * (width - i * least) < least * rest)
		rest -= sorted[i++];
	const scale = rest > 0 ? (width - i * least) / rest : 0, edges = [0];

	took.forEach(t => edges.push(edges[edges.length - 1] + (scale ? Math.max(t * scale, least) : width / n)));
	return {edges, stretched: scale > 0 && i > 0};
}

/* Logarithmic, with room for all of @values */
function logScale(values, base, height) {
	const [least = 1, most = base] = d3.extent(values.filter(v => v > 0));

	return d3.scaleLog().base(base).domain([least / 1.6, most * 1.6]).range([height, 0]);
}

class Figure {
	constructor(parent, r, scales) {
		Object.assign(this, {r, scales, chosen: null, images: {}, transform: d3.zoomIdentity});
		this.box = parent.append('div').attr('class', 'figure').attr('tabindex', 0);
		if (!r.rounds.length) {
			this.box.append('p').text('No round had ended: there is nothing to draw.');
			return;
		}
		this.heat = r.heat.column.map(c => c && unpack(c, r.heat.rows));
		this.zoom = d3.zoom().filter(() => this.wanted(d3.event)).on('zoom', () => {
			this.transform = d3.event.transform;
			this.draw();
		});
		this.addTools();
		this.addCharts();
		this.listen();
		this.resize();
	}

	/* One finger scrolls the page, unless the figure is zoomed */
	wanted(event) {
		if (!event.target.closest('svg'))
			return false;
		if (event.type === 'wheel')
			return event.ctrlKey || event.metaKey;
		return event.touches ? event.touches.length > 1 || this.transform.k > 1 : !event.button;
	}

	addTools() {
		const tools = this.box.append('div').attr('class', 'tools');
		const add = (text, name, act) => tools.append('button').text(text)
			.attr('aria-label', name).on('click', act);

		add('+', 'zoom in', () => this.box.call(this.zoom.scaleBy, 2));
		add('−', 'zoom out', () => this.box.call(this.zoom.scaleBy, 0.5));
		add('All', 'show all', () => this.box.call(this.zoom.transform, d3.zoomIdentity));
		tools.append('span').attr('class', 'soft').text('Pinch, or Ctrl and wheel, to zoom; drag to move.');
		this.output = this.box.append('output')
			.text('Point at a column, touch it, or use the arrow keys: its figures appear here.');
	}

	addChart(title, name, legend) {
		this.box.append('h2').text(title);
		this.box.append('div').attr('class', 'legend').selectAll('span').data(legend.filter(l => l)).join('span')
			.html('<i></i>').each(function (l) {
				d3.select(this).append('span').text(l[1]).style('color', 'var(--text)');
			}).attr('class', l => l[0]);
		const svg = this.box.append('div').attr('class', name).append('svg');

		svg.append('g').attr('class', 'axis');
		svg.append('svg').attr('class', 'plot');
		svg.append('g').attr('class', 'labels').attr('text-anchor', 'middle');
		svg.append('rect').attr('class', 'cursor');
		return svg;
	}

	addCharts() {
		const {r} = this, some = name => r.rounds.some(o => o[name]);
		const pages = r.run.refine === true ? 'Pages that had changed' : 'Pages written';

		this.map = this.addChart(`${pages}, by time and address`, 'heat', []);
		this.addScale();
		this.map.select('.axis').attr('class', 'address');
		this.canvas = d3.select(this.map.node().parentNode).insert('canvas', 'svg');
		this.charts = {
			bytes: !r.watched && this.addChart('Bytes a round (logarithmic)', 'bytes', [['sent', 'sent'],
				some('pages_zero') && ['zero', 'zero, not sent'],
				some('pages_same') && ['same', 'unchanged, not sent']]),
			rates: this.addChart(`How fast memory was written${r.watched ? '' : ', and could be sent'} (logarithmic)`, 'rates',
				[!r.watched && ['rate', 'bandwidth measured'], ['dirty', 'dirty rate'],
				 r.run.bandwidth_limit && ['limit', `limit ${rate(r.run.bandwidth_limit)}`]]),
			downtimes: this.addChart(r.watched ? 'Downtime of a migration that began then (logarithmic)' :
				'Downtime, if devices had been stopped then (logarithmic)', 'downtimes',
				[some('downtime_ns') && ['predicted', 'predicted'],
				 r.allowed && ['allowed', `allowed ${time(r.allowed)}`],
				 r.fits && ['fits', `fits after ${r.fits.kind === 'full' ? 'the full copy' : `round ${r.fits.name}`}`],
				 r.real && ['real', `real ${time(r.real)}`]]),
		};
		this.note = this.box.append('p').attr('class', 'soft');
	}

	/* The legend of heat */
	addScale() {
		const holes = this.r.regions.filter((g, i, all) => this.hole(i)).length;
		const scale = this.box.select('.legend').classed('scale', true);
		const swatches = scale.append('span');

		swatches.append('span').text('0 ');
		swatches.selectAll('i').data(SHARES).join('i').attr('title', s => `up to ${percent(s)}`);
		swatches.append('span').text(' 100 %');
		scale.append('span').text(`of a cell's pages, in steps of 1, 2, 5; a cell is ${
			bytes(this.r.heat.pages * this.r.run.page_size)}`);
		if (holes)
			scale.append('span').text(`${plural(holes, 'hole')}, dashed where there is room`);
		if (this.r.last.kind === 'last')
			scale.append('span').text('last column: devices stand still');
	}

	listen() {
		const pick = () => this.pick(d3.event), drawAll = () => { this.images = {}; this.draw(); };

		this.box.call(this.zoom).style('touch-action', null)
			.on('pointermove', pick).on('pointerdown', pick)
			.on('keydown', () => this.step({ArrowLeft: -1, ArrowRight: 1}[d3.event.key]));
		dark.addListener(drawAll);
		new ResizeObserver(() => {
			if (this.box.node().clientWidth !== this.width)
				this.resize();
		}).observe(this.box.node());
	}

	/* Sizes that follow the window's */
	resize() {
		const {r} = this, last = r.regions[r.regions.length - 1];
		const digits = (last.iova + BigInt(last.pages) * BigInt(r.run.page_size)).toString(16).length;

		this.width = this.box.node().clientWidth;
		this.left = Math.max(62, 7 * (digits + 2) + 8);
		this.plot = Math.max(this.width - this.left - 8, 60);
		this.height = Math.max(Math.min(400, 0.8 * this.plot), 200);
		Object.assign(this, layOut(r, this.plot));
		this.box.selectAll('.plot').attr('x', this.left).attr('width', this.plot);
		this.map.attr('height', this.height + FOOT).selectAll('.plot, .cursor').attr('height', this.height);
		Object.values(this.charts).filter(svg => svg).forEach(svg => svg.attr('height', CHART + FOOT + 6)
			.selectAll('.plot, .cursor').attr('y', 6).attr('height', CHART));
		const ratio = devicePixelRatio || 1;

		this.canvas.attr('width', Math.round(this.plot * ratio)).attr('height', Math.round(this.height * ratio))
			.style('left', `${this.left}px`).style('width', `${this.plot}px`).style('height', `${this.height}px`);
		const top = this.canvas.node().parentNode.offsetTop;
		const extent = [[this.left, top], [this.left + this.plot, top + this.height]];

		this.top = top;
		this.zoom.extent(extent).translateExtent(extent)
			.scaleExtent([1, Math.max(8, r.rounds.length, this.heat.length && r.heat.rows / 16)]);
		this.box.call(this.zoom.transform, d3.zoomIdentity);
	}

	/* From a position in the unzoomed plot to the zoomed one */
	x(at) { return this.transform.applyX(at + this.left) - this.left; }
	y(page) { return this.transform.applyY(page / this.r.pages * this.height + this.top) - this.top; }

	/* The visible rounds, merged until columns are wide enough */
	columns() {
		const {edges, r} = this, n = r.rounds.length, back = x => this.transform.invertX(x + this.left) - this.left;
		const first = Math.max(d3.bisectRight(edges, back(0)) - 1, 0);
		const last = Math.min(d3.bisectLeft(edges, back(this.plot)), n) - 1;
		const each = Math.ceil((last - first + 1) / Math.max(this.plot / 3, 1)), list = [];

		for (let i = first; i <= last; i += each)
			list.push(this.column(i, Math.min(i + each, last + 1)));
		this.each = each;
		return list;
	}

	/* Rounds from @first to before @end: means of bytes and bandwidth, maxima of the others */
	column(first, end) {
		const {r} = this, rounds = r.rounds.slice(first, end), page = r.run.page_size;
		const mean = name => d3.mean(rounds, o => (o[name] || 0) * page);

		return {first, x: this.x(this.edges[first]), width: this.x(this.edges[end]) - this.x(this.edges[first]),
			sent: mean('pages_sent'), zero: mean('pages_zero'), same: mean('pages_same'),
			rate: d3.mean(rounds, o => o.rate || 0),
			dirty: d3.max(r.rounds.slice(first + 1, end + 1), o => o.dirty_rate || 0) || 0,
			predicted: d3.max(rounds, o => o.kind === 'last' ? undefined : o.downtime_ns)};
	}

	draw() {
		const columns = this.columns();

		this.drawHeat();
		this.drawAddresses();
		if (this.charts.bytes)
			this.drawBytes(this.charts.bytes, columns);
		this.drawRates(this.charts.rates, columns);
		this.drawDowntimes(this.charts.downtimes, columns);
		[[this.map, this.height], [this.charts.rates, CHART + 6]].forEach(([svg, y]) => this.drawTimes(svg, y));
		[this.charts.bytes, this.charts.downtimes].filter(svg => svg).forEach(svg => this.drawNames(svg, columns));
		this.note.text(this.notes().filter(n => n).join(' '));
		this.box.selectAll('.scale i').style('color', (s, i) => colour(i));
		this.drawCursor();
	}

	notes() {
		return [this.stretched && 'The shortest rounds are drawn wider than their time.',
			this.each > 1 && `A column stands for ${count(this.each)} rounds until you zoom in: ` +
				'means of bytes and bandwidth, the most of the others.',
			this.r.heat.rounds > 1 && 'A column of the map shows the most that was written in any of ' +
				`${count(this.r.heat.rounds)} rounds.`];
	}

	drawHeat() {
		const {r, transform} = this, ratio = devicePixelRatio || 1, n = r.rounds.length;
		const context = this.canvas.node().getContext('2d'), end = r.last.kind === 'last' ? n - 1 : n;
		const merge = Math.max(Math.floor(r.heat.rows / (this.height * ratio * transform.k)), 1);
		const image = this.images[merge] = this.images[merge] || heatImage(r, this.heat, merge);
		const px = at => Math.round(this.x(at) * ratio), top = this.y(0) * ratio;
		const scale = this.height * transform.k * ratio * r.heat.pages * merge / r.pages;
		const style = getComputedStyle(document.body);

		context.imageSmoothingEnabled = false;
		context.fillStyle = style.getPropertyValue('--empty');
		context.fillRect(0, 0, this.plot * ratio, this.height * ratio);
		this.heat.forEach((column, j) => {
			const from = px(this.edges[j * r.heat.rounds]);
			const to = px(this.edges[Math.min((j + 1) * r.heat.rounds, n - 1)]);

			if (column && to > 0 && from < this.plot * ratio)
				context.drawImage(image, j, 0, 1, image.height, from, top,
						  Math.max(to - from - (to - from > 4), 1), image.height * scale);
		});
		context.fillStyle = style.getPropertyValue('--line');
		if (end < n || n === 1)		/* not known what was written in it */
			context.fillRect(px(this.edges[n - 1]), 0, this.plot * ratio, this.height * ratio);
	}

	/* The hole before region @i, in pages of IOVA; 0: none */
	hole(i) {
		const {regions, run} = this.r, before = regions[i - 1];

		return before ? Number((regions[i].iova - before.iova) / BigInt(run.page_size)) - before.pages : 0;
	}

	iova(page) {
		for (const g of this.r.regions) {
			if (page < g.pages)
				return `0x${(g.iova + BigInt(Math.floor(page)) * BigInt(this.r.run.page_size)).toString(16)}`;
			page -= g.pages;
		}
		return 'end';
	}

	/* Pages to label: beginnings of regions first, then powers of two */
	places() {
		const {r} = this, list = [0], share = r.pages / 8 / this.transform.k;
		const step = Math.max(2 ** Math.ceil(Math.log2(share)), 1);
		let page = 0;

		r.regions.forEach((g, i) => {
			if (this.hole(i))
				list.push(page);
			page += g.pages;
		});
		const holes = list.length;

		list.push(r.pages - 1);
		const at = y => (this.transform.invertY(y + this.top) - this.top) / this.height * r.pages;

		for (let p = Math.ceil(Math.max(at(0), 0) / step) * step; p < r.pages && p <= at(this.height); p += step)
			list.push(p);
		return list.map((p, i) => ({page: p, y: this.y(p), hole: i > 0 && i < holes}))
			.map(p => ({...p, label: Math.min(Math.max(p.y + 4, 10), this.height)}));
	}

	drawAddresses() {
		const kept = [];

		for (const p of this.places()) {
			if (p.y >= -0.5 && p.y <= this.height + 0.5 && kept.every(k => Math.abs(k.label - p.label) >= 13))
				kept.push(p);
		}
		this.map.select('.address').attr('text-anchor', 'end').selectAll('text').data(kept).join('text')
			.attr('x', this.left - 6).attr('y', p => p.label).text(p => this.iova(p.page));
		this.map.select('.plot').selectAll('path').data([null, ...kept.filter(p => p.hole)]).join('path')
			.attr('class', p => p ? 'hole' : 'frame')
			.attr('d', p => p ? `M0 ${p.y}H${this.plot}` : `M.5 .5H${this.plot - .5}V${this.height - .5}H.5z`);
	}

	/* Draw labels below a plot, as many as there is room for. */
	drawLabels(svg, y, list) {
		const kept = [];

		for (const {x, text} of [...list.slice(-1), ...list]) {
			const half = text.length * 3.3 + 4, at = Math.min(x, this.plot + 8 - half);

			if (x >= 0 && x <= this.plot + 1 && kept.every(k => Math.abs(k.x - at) >= k.half + half))
				kept.push({x: at, text, half});
		}
		svg.select('.labels').selectAll('text').data(kept).join('text')
			.attr('x', l => this.left + l.x).attr('y', y + 15).text(l => l.text);
	}

	drawTimes(svg, y) {
		const begins = this.r.rounds.slice(1).map(o => o.begin_ns);
		const axis = d3.scaleLinear([0, ...begins, this.r.time], this.edges);
		const at = x => axis.invert(this.transform.invertX(x + this.left) - this.left);
		const ticks = d3.ticks(at(0), at(this.plot), Math.max(this.plot / GAP, 2));

		this.drawLabels(svg, y, ticks.map(t => ({x: this.x(axis(t)), text: time(t)})));
	}

	drawNames(svg, columns) {
		this.drawLabels(svg, CHART + 6, columns.map(c =>
			({x: c.x + c.width / 2, text: this.r.rounds[c.first].name})));
	}

	drawAxis(svg, scale, format) {
		const all = scale.ticks(5), power = t => Math.log(t) / Math.log(scale.base());
		const powers = all.filter(t => Math.abs(power(t) - Math.round(power(t))) < 1e-9);
		const ticks = powers.length > 1 ? powers : all.filter(t => /^[125]/.test(t.toExponential()));

		svg.select('.axis').attr('transform', `translate(${this.left} 6)`)
			.call(d3.axisLeft(scale).tickValues(ticks).tickFormat(format).tickSize(-this.plot).tickPadding(6));
	}

	drawBytes(svg, columns) {
		const scale = this.scales.bytes, bars = [];

		for (const c of columns) {
			for (const part of ['sent', 'zero', 'same']) {
				if (c[part] > 0)
					bars.push({part, c, y: scale(c[part])});
			}
		}
		this.drawAxis(svg, scale, bytes);
		svg.select('.plot').selectAll('rect').data(bars).join('rect').attr('class', b => b.part)
			.attr('x', b => b.c.x).attr('width', b => Math.max(b.c.width - (b.c.width > 4), 0.5))
			.attr('y', b => b.part === 'sent' ? b.y : b.y - 1.5)
			.attr('height', b => b.part === 'sent' ? CHART - b.y : 3);
	}

	drawRates(svg, columns) {
		const scale = this.scales.rates, limit = this.r.run.bandwidth_limit;
		const steps = name => columns.filter(c => c[name] > 0)
			.map((c, i) => `${i ? 'L' : 'M'}${c.x} ${scale(c[name])}h${c.width}`).join('');

		this.drawAxis(svg, scale, rate);
		svg.select('.plot').selectAll('path').data(['rate', 'dirty', 'limit']).join('path').attr('class', d => d)
			.attr('d', d => d !== 'limit' ? steps(d) : limit ? `M0 ${scale(limit)}H${this.plot}` : '');
	}

	drawDowntimes(svg, columns) {
		const {r} = this, scale = this.scales.downtimes, plot = svg.select('.plot');
		const points = columns.filter(c => c.predicted > 0)
			.map(c => ({x: c.x + c.width, y: scale(c.predicted), wide: c.width >= 6}));
		const end = this.x((this.edges[r.rounds.length - 1] + this.edges[r.rounds.length]) / 2);
		const fits = r.fits && r.fits.downtime_ns > 0 ? [r.rounds.indexOf(r.fits)] : [];

		this.drawAxis(svg, scale, time);
		const paths = {predicted: points.map((p, i) => `${i ? 'L' : 'M'}${p.x} ${p.y}`).join(''),
			allowed: r.allowed ? `M0 ${scale(r.allowed)}H${this.plot}` : '',
			real: r.real ? `M${end} ${scale(r.real) - 6}l6 6-6 6-6-6z` : ''};

		plot.selectAll('path').data(Object.entries(paths)).join('path').attr('class', d => d[0]).attr('d', d => d[1]);
		plot.selectAll('circle.predicted').data(points.filter(p => p.wide)).join('circle')
			.attr('class', 'predicted').attr('cx', p => p.x).attr('cy', p => p.y).attr('r', 3);
		plot.selectAll('circle.fits').data(fits).join('circle').attr('class', 'fits')
			.attr('cx', i => this.x(this.edges[i + 1])).attr('cy', i => scale(r.rounds[i].downtime_ns)).attr('r', 7);
	}

	/* The chosen round */

	pick(event) {
		const [x, y] = d3.clientPoint(this.box.node(), event);
		const at = this.transform.invertX(x) - this.left;
		const page = (this.transform.invertY(y) - this.top) / this.height;

		if (!event.target.closest('svg') || at < 0 || at > this.plot)
			return;
		this.choose(Math.min(d3.bisectRight(this.edges, at) - 1, this.r.rounds.length - 1),
			    event.target.closest('.heat') && page >= 0 && page < 1 ? page : null);
	}

	step(by) {
		const n = this.r.rounds.length;

		if (by)
			this.choose(this.chosen === null ? 0 : Math.min(Math.max(this.chosen + by, 0), n - 1), null);
	}

	choose(i, share) {
		this.chosen = i;
		this.output.text([this.tell(i), share === null ? '' : this.tellCell(i, share)].join('\n'));
		this.drawCursor();
	}

	tell(i) {
		const {rounds, pages, time: end} = this.r, o = rounds[i], next = rounds[i + 1];

		return [`${this.r.watched ? 'Interval' : 'Round'} ${o.name}, ${time(o.begin_ns)} to ${
			time(next ? next.begin_ns : end)}`,
			!this.r.watched && `sent ${bytes(o.bytes)}${o.rate ? ` at ${rate(o.rate)}` : ''}`,
			o.pages_zero && `zero: ${plural(o.pages_zero, 'page')}`,
			o.pages_same && `unchanged: ${plural(o.pages_same, 'page')}`,
			o.kind !== 'last' && o.downtime_ns !== undefined && `predicted downtime ${time(o.downtime_ns)}`,
			o.kind === 'last' ? 'devices stood still' : next && `written in this time: ${
				plural(next.pages_dirty, 'page')} (${percent(next.pages_dirty / pages)}), ${rate(next.dirty_rate || 0)}`,
		].filter(text => text).join('; ');
	}

	tellCell(i, share) {
		const {heat, pages} = this.r, row = Math.floor(share * pages / heat.pages);
		const column = i + 1 < this.r.rounds.length && this.heat[Math.floor(i / heat.rounds)];
		const of = Math.min(heat.pages, pages - row * heat.pages);
		const before = bytes(row * heat.pages * this.r.run.page_size);
		const at = `From ${this.iova(row * heat.pages)}, ${before} into memory`;

		return column ? `${at}: ${count(column[row])} of ${plural(of, 'page')} (${percent(column[row] / of)})` :
			`${at}: not known what was written`;
	}

	drawCursor() {
		const i = this.chosen, edge = i => this.x(this.edges[i]);
		const [from, to] = i === null ? [0, 0] : [edge(i), edge(i + 1)];
		const x = Math.max(from, 0), width = Math.min(to, this.plot) - x;

		this.box.selectAll('.cursor').attr('x', this.left + x).attr('width', Math.max(width, 0))
			.attr('display', width > 0 ? null : 'none');
	}
}

/* The page */

function shareScales(runs) {
	const all = name => runs.flatMap(r => r.rounds.map(o => o[name]));
	const pages = name => runs.flatMap(r => r.rounds.map(o => (o[name] || 0) * r.run.page_size));

	return {
		bytes: logScale([...pages('pages_sent'), ...pages('pages_zero'), ...pages('pages_same')], 2, CHART),
		rates: logScale([...all('rate'), ...all('dirty_rate'), ...runs.map(r => r.run.bandwidth_limit)], 2, CHART),
		downtimes: logScale([...all('downtime_ns'), ...runs.flatMap(r => [r.allowed, r.real])], 10, CHART),
	};
}

function showHead(parent, r, title) {
	const head = parent.append('section').classed('bad', r.bad), advice = advise(r);

	head.append('h1').text(`${title}: ${headline(r)}`);
	head.append('p').text(reason(r));
	if (advice.length)
		head.append('ul').selectAll('li').data(advice).join('li')
			.selectAll('span').data(d => d.split(/(--[a-z]+(?: \d+)?)/)).join('span')
			.attr('class', (d, i) => i % 2 ? 'option' : null).text(d => d);
	head.append('p').attr('class', 'soft').text(describe(r));
}

const runs = data.records.map(load), scales = shareScales(runs), main = d3.select('main');
const title = r => data.title ? clean(data.title, 100) : `dmatrack ${clean(r.run.command, 60)}`;
/* A cell for each run, with its name where there are two */
function eachRun(show) {
	const row = main.append('div').attr('class', 'row');

	for (const r of runs) {
		const cell = row.append('div');

		if (runs.length > 1)
			cell.append('p').attr('class', 'name').text(r.name);
		show(cell, r);
	}
}


document.title = `${title(runs[0])}: ${headline(runs[0])}`;
d3.select('body').classed('two', runs.length > 1);
eachRun((cell, r) => showHead(cell, r, title(r)));
eachRun((cell, r) => showFacts(cell, r, runs));
eachRun((cell, r) => new Figure(cell, r, scales));
eachRun((cell, r) => showTable(cell, r));
/* the record still grows, and the page is made anew */
if (data.reload)
	setTimeout(() => location.reload(), 1000 * data.reload);
main.append('footer').text(`Made by dmatrack report, version ${data.version}.`);
})();
