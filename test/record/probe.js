// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Put into a report after its script. Reads the page's contents and its reactions back
 * from the document, and leaves them there as JSON in base64, for check.jq. Calls no
 * function of the page's own script.
 */
(() => {
const all = (selector, from) => [...(from || document).querySelectorAll(selector)];
const text = (selector, from) => all(selector, from).map(e => e.textContent);
const box = e => (({left, top, right, bottom}) => ({left, top, right, bottom}))(e.getBoundingClientRect());

/* Elements that reach out of the window to a side, except for clipped ones */
function outside() {
	return all('body, body *').filter(e => !e.closest('script, .plot > *')).filter(e => {
		const {left, right, width} = e.getBoundingClientRect();

		return width && (left < -0.5 || right > innerWidth + 0.5);
	}).map(e => `${e.tagName}.${e.getAttribute('class')} ${e.textContent.slice(0, 40)}`);
}

/* Labels of one axis that overlap */
function overlapping() {
	return all('.axis, .address, .labels').flatMap(axis => {
		const labels = all('text', axis).map(e => [e.textContent, e.getBoundingClientRect()]);

		return labels.flatMap(([a, p], i) => labels.slice(i + 1).filter(([, q]) =>
			p.left < q.right - 1 && q.left < p.right - 1 && p.top < q.bottom - 4 && q.top < p.bottom - 4)
			.map(([b]) => `${a} and ${b}`));
	});
}

const ticks = chart => all('.tick', chart).map(t => ({text: t.textContent,
	y: t.querySelector('line').getBoundingClientRect().top}));

function chart(figure, name) {
	const svg = figure.querySelector(`.${name}`);

	if (!svg)
		return null;
	return {ticks: ticks(svg), names: text('.labels text', svg),
		bars: all('.plot rect', svg).map(r => ({part: r.getAttribute('class'), ...box(r)})),
		points: all('circle.predicted', svg).map(c => box(c)),
		limit: all('path.allowed, path.limit', svg).filter(p => p.getAttribute('d')).map(p => box(p)),
		real: all('path.real', svg).filter(p => p.getAttribute('d')).map(p => box(p))};
}

function event(target, type, x, y, more) {
	const kind = type.startsWith('pointer') ? PointerEvent : type === 'wheel' ? WheelEvent : MouseEvent;

	target.dispatchEvent(new kind(type, {clientX: x, clientY: y, bubbles: true, cancelable: true,
		view: window, ...more}));
}

/* The box of a plot, without its contents */
function frame(plot) {
	const {left, top} = plot.parentNode.getBoundingClientRect();
	const [x, y, width, height] = ['x', 'y', 'width', 'height'].map(a => Number(plot.getAttribute(a)));

	return {left: left + x, top: top + y, right: left + x + width, bottom: top + y + height};
}

/* The texts and colours at points spread over the map */
function pointed(figure) {
	const canvas = figure.querySelector('canvas'), at = canvas.getBoundingClientRect(), list = [];
	const pen = canvas.getContext('2d'), ratio = canvas.width / at.width;

	for (let i = 0; i < 12; i++) {
		for (let j = 0; j < 16; j++) {
			const x = (i + 0.5) / 12, y = (j + 0.5) / 16;

			event(figure.querySelector('.heat svg'), 'pointermove', at.left + x * at.width, at.top + y * at.height);
			list.push({x, y, text: figure.querySelector('output').textContent,
				   colour: [...pen.getImageData(x * canvas.width, y * canvas.height, 1, 1).data].slice(0, 3),
				   cursor: all('.cursor', figure).map(box),
				   plots: all('.plot', figure).map(frame)});
		}
	}
	return list;
}

/* Two fingers, from 40 pixels apart to 160 */
function pinch(target) {
	const {left, top} = target.getBoundingClientRect();
	const send = (type, by) => {
		const touches = [-by, by].map((d, identifier) => new Touch({identifier, target,
			clientX: left + 180 + d, clientY: top + 50}));

		target.dispatchEvent(new TouchEvent(type, {touches, targetTouches: touches, changedTouches: touches,
			bubbles: true, cancelable: true, view: window}));
	};

	send('touchstart', 20);
	send('touchmove', 80);
	send('touchend', 80);
}

/* The bars' chart, after each way to zoom */
function zoomed(figure) {
	const [more, less, whole] = all('button', figure), svg = figure.querySelector('.bytes > svg');

	if (!svg) /* a record of watch has no such chart */
		return null;
	const bars = () => chart(figure, 'bytes').bars.filter(b => b.part === 'sent');
	const {left, top} = svg.getBoundingClientRect();
	const wheel = more => event(svg, 'wheel', left + 180, top + 50, more);
	const out = {before: bars()};

	more.click();
	more.click();
	out.more = bars();
	out.times = text('.rates .labels text', figure);
	less.click();
	out.less = bars();
	whole.click();
	out.whole = bars();
	wheel({deltaY: -500});
	out.wheel = bars();
	wheel({deltaY: -500, ctrlKey: true});
	out.ctrl = bars();
	whole.click();
	pinch(svg);
	out.pinch = bars();
	whole.click();
	return out;
}

/* Arrow keys, and a finger */
function keyed(figure) {
	const out = [], tell = () => out.push(figure.querySelector('output').textContent);
	const svg = figure.querySelector('.downtimes > svg'), {right, top} = svg.getBoundingClientRect();

	event(svg, 'pointerdown', right - 9, top + 50, {pointerType: 'touch'});
	tell();
	for (const key of ['ArrowLeft', 'ArrowRight', 'ArrowRight']) {
		figure.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
		tell();
	}
	return out;
}

function figure(e) {
	if (!e.querySelector('svg'))
		return {text: e.textContent};
	return {box: box(e), bytes: chart(e, 'bytes'), rates: chart(e, 'rates'), downtimes: chart(e, 'downtimes'),
		addresses: text('.address text', e), holes: all('.plot .hole', e).length, legend: text('.legend', e),
		swatches: all('.scale i', e).map(s => getComputedStyle(s).color.match(/\d+/g).map(Number)),
		note: text('p', e).join(''), pointed: pointed(e), keyed: keyed(e), zoomed: zoomed(e)};
}

const page = {
	title: document.title, names: text('.name'),
	heads: all('section').map(s => ({title: text('h1', s)[0], text: text('p', s).join('\n'),
		advice: text('li', s), bad: s.classList.contains('bad')})),
	facts: all('.facts').map(f =>
		Object.fromEntries(all('div', f).map(d => [text('dt', d)[0], text('dd', d)[0]]))),
	downtimes: all('.compare').map(c => all('div', c).map(d => ({name: text('span', d)[0], text: text('b', d)[0],
		over: all('.over', d).length, width: (b => b.right - b.left)(box(d.querySelector('i')))}))),
	tables: all('.rounds').map(t => all('tbody tr', t).map(r =>
		Object.fromEntries(all('td', r).map(d => [d.dataset.name, d.textContent])))),
	outside: outside(), overlapping: overlapping(), width: document.documentElement.scrollWidth,
	fetched: performance.getEntriesByType('resource').length, elements: all('*').length,
	background: getComputedStyle(document.body).backgroundColor,
};

page.figures = all('.figure').map(figure);
const pre = document.body.appendChild(document.createElement('pre'));

pre.id = 'probe';
pre.textContent = btoa(unescape(encodeURIComponent(JSON.stringify(page))));
})();
