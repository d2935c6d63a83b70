// Plots of the last hour as SVG. All share one cursor: the moment that the pointer or the arrow keys choose.

import { clock } from './times.js';

const NAMESPACE = 'http://www.w3.org/2000/svg';
const HOUR = 3600;
const MARGIN = { top: 8, right: 6, bottom: 20, left: 44 };
const MINUTE = 60;
// No line joins samples that are further apart, because none was taken in between, nor values that are a minute apart.
const GAP = 3;

function svg(name, attributes, ...content) {
    const made = document.createElementNS(NAMESPACE, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...content);
    return made;
}

function html(name, attributes, ...content) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...content);
    return made;
}

function short(value) {
    if (value === null) return '–';
    if (value >= 1e6) return `${(value / 1e6).toPrecision(3)}M`;
    if (value >= 1e4) return `${(value / 1e3).toPrecision(3)}k`;
    if (value >= 100 || Number.isInteger(value)) return value.toFixed(0);
    return value >= 10 ? value.toFixed(1) : Number(value.toPrecision(2)).toString();
}

// The ends of the steps of an axis from 0 to at least `most`: 1, 2 or 5 times a power of ten apart.
function ticks(most, whole) {
    const rough = Math.max(most, whole ? 1 : 1e-3) / 3;
    const power = 10 ** Math.floor(Math.log10(rough));
    let step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
    if (whole) step = Math.max(1, Math.round(step));
    const found = [0];
    while (found.at(-1) < most || found.length < 2) found.push(found.length * step);
    return found.map((one) => Number(one.toPrecision(6)));
}

export class Plot {
    // `series(samples)` gives [{name, values, dashed}], one value for each sample; null for none.
    constructor(title, unit, series, { whole = false } = {}) {
        Object.assign(this, { title, unit, whole, find: series, shown: [], samples: null });
        this.legend = html('ul', { class: 'legend' });
        const slider = { role: 'slider', tabindex: '0', 'aria-label': title, 'aria-valuenow': '0' };
        this.area = html('div', { class: 'area', ...slider });
        const heading = html('h3', {}, unit ? `${title}, ${unit}` : title);
        this.box = html('figure', { class: 'card plot' }, heading, this.legend, this.area);
    }

    // The value of a series at the sample `place`, -1 for the last one.
    at(series, place) {
        return series.values.at(place) ?? null;
    }

    draw(samples, cursor) {
        this.samples = samples;
        this.shown = this.find(samples);
        const { width, height } = this.area.getBoundingClientRect();
        this.inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
        this.end = samples.now;
        const picture = svg('svg', { 'aria-hidden': 'true' });
        if (this.inner.width > 0) picture.append(...this.axes(this.highest()), ...this.marks());
        this.line = svg('line', { class: 'cursor', y1: MARGIN.top, y2: MARGIN.top + this.inner.height, hidden: '' });
        picture.append(this.line);
        this.area.replaceChildren(picture);
        this.point(cursor);
    }

    highest() {
        let most = 0;
        for (const { values } of this.shown) for (const value of values) if (value > most) most = value;
        return most;
    }

    x(at) {
        return MARGIN.left + this.inner.width * (1 - (this.end - at) / HOUR);
    }

    y(value) {
        return MARGIN.top + this.inner.height * (1 - value / this.top);
    }

    axes(most) {
        const steps = ticks(most, this.whole);
        this.top = steps.at(-1);
        const made = steps.flatMap((value) => {
            const [y, right] = [this.y(value), MARGIN.left + this.inner.width];
            const label = svg('text', { x: MARGIN.left - 6, y: y + 4, 'text-anchor': 'end' }, short(value));
            return [svg('line', { class: value ? 'grid' : 'axis', x1: MARGIN.left, x2: right, y1: y, y2: y }), label];
        });
        const [bottom, every] = [MARGIN.top + this.inner.height, this.inner.width < 330 ? 1200 : 600];
        for (let at = Math.ceil((this.end - HOUR) / every) * every; at <= this.end; at += every) {
            const x = this.x(at);
            made.push(svg('line', { class: 'axis', x1: x, x2: x, y1: bottom, y2: bottom + 4 }));
            if (x > MARGIN.left + 10 && x < MARGIN.left + this.inner.width - 8) {
                made.push(svg('text', { x, y: bottom + 16, 'text-anchor': 'middle' }, clock(at)));
            }
        }
        return made;
    }

    marks() {
        return this.shown.flatMap((series, number) => this.curve(series, number));
    }

    curve({ values, dashed }, number) {
        const runs = this.runs(values);
        const points = runs.map((run) => run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`));
        // A single point is a line of no length, whose round ends are visible.
        const path = points.map((run) => `M${run.length > 1 ? run.join('L') : `${run[0]}h.01`}`).join('');
        if (!path) return [];
        const color = `series-${number + 1}`;
        const line = svg('path', { class: `line ${dashed ? 'dashed ' : ''}${color}`, d: path });
        if (number) return [line];
        const bottom = this.y(0).toFixed(1);
        const filled = runs.map((run, each) => `M${run[0][0].toFixed(1)} ${bottom}L${points[each].join('L')}V${bottom}Z`);
        return [svg('path', { class: `under ${color}`, d: filled.join('') }), line];
    }

    // The points of a curve, in runs without a gap.
    runs(values) {
        const { at, interval } = this.samples;
        const found = [];
        let [sample, point] = [-Infinity, -Infinity];
        values.forEach((value, place) => {
            if (at[place] - sample > GAP * interval) point = -Infinity;
            sample = at[place];
            if (value === null) return;
            if (sample - point > MINUTE) found.push([]);
            point = sample;
            found.at(-1).push([this.x(point), this.y(value)]);
        });
        return found;
    }

    // Shows the values at the sample `place`, or those without a cursor for -1.
    point(place) {
        const at = place < 0 ? undefined : this.samples.at[place];
        this.line.toggleAttribute('hidden', at === undefined);
        if (at !== undefined) {
            this.line.setAttribute('x1', this.x(at));
            this.line.setAttribute('x2', this.x(at));
        }
        this.legend.replaceChildren(...this.shown.map((series, number) => this.entry(series, number, place)));
        this.describe(place);
    }

    entry(series, number, place) {
        const mark = this.key(series, `series-${number + 1}`);
        const picture = svg('svg', { 'aria-hidden': 'true', viewBox: '0 0 20 10' }, mark);
        return html('li', {}, picture, `${series.name} `, html('b', {}, short(this.at(series, place))));
    }

    key({ dashed }, color) {
        return svg('path', { class: `line ${dashed ? 'dashed ' : ''}${color}`, d: 'M1 5H19' });
    }

    when(place) {
        return this.samples.at.length ? clock(this.samples.at.at(place), true) : 'no sample yet';
    }

    // The words for a screen reader: the moment, and each value with its unit.
    describe(place) {
        const values = this.shown.map((series) => `${series.name} ${short(this.at(series, place))}`);
        const text = [this.when(place), ...(values.length ? values : ['none'])].join(', ');
        const last = Math.max(0, this.samples.at.length - 1);
        const state = { min: 0, max: last, now: place < 0 ? last : place, text };
        for (const [name, value] of Object.entries(state)) this.area.setAttribute(`aria-value${name}`, value);
    }
}

// Counts by cause: a column for each minute, the causes on top of each other. Without a cursor, the sums of the hour.
export class Columns extends Plot {
    // `group` of the samples; `rest` names the causes that are not among the most frequent.
    constructor(title, group, rest) {
        super(title, '', () => [], { whole: true });
        this.find = (samples) => {
            this.found = samples.minutes(group, 5, rest);
            return this.found.names.map((name) => ({ name, values: this.found.counts[name] }));
        };
    }

    at({ values }, place) {
        if (place < 0) return values.reduce((sum, value) => sum + value, 0);
        return values[this.found.minutes.indexOf(Math.ceil(this.samples.at[place] / MINUTE) * MINUTE)] ?? 0;
    }

    when(place) {
        return place < 0 ? 'last hour' : `minute of ${clock(this.samples.at[place])}`;
    }

    highest() {
        const sums = this.found.minutes.map((_, minute) =>
            this.shown.reduce((sum, { values }) => sum + values[minute], 0));
        return Math.max(0, ...sums);
    }

    marks() {
        const width = Math.max(1, (this.inner.width * MINUTE) / HOUR - 1);
        const bases = this.found.minutes.map(() => 0);
        return this.shown.flatMap(({ values }, number) =>
            values.flatMap((value, minute) => {
                if (!value) return [];
                const right = Math.min(this.x(this.found.minutes[minute]), MARGIN.left + this.inner.width);
                const left = Math.max(MARGIN.left, this.x(this.found.minutes[minute] - MINUTE) + 0.5);
                const [bottom, top] = [this.y(bases[minute]), this.y(bases[minute] + value)];
                bases[minute] += value;
                const size = { x: left, y: top, width: Math.max(1, Math.min(width, right - left)), height: bottom - top };
                return [svg('rect', { class: `series-${number + 1} block`, ...size })];
            }));
    }

    key(_series, color) {
        return svg('rect', { class: color, x: 5, y: 0, width: 10, height: 10, rx: 2 });
    }
}

// Draws several plots and moves their cursor.
export class Board {
    constructor(place, samples, plots) {
        Object.assign(this, { place, samples, plots });
        // The moment of the cursor, in seconds since the epoch; null for the present.
        this.moment = null;
        for (const plot of plots) {
            plot.area.addEventListener('pointermove', (event) => this.follow(plot, event));
            plot.area.addEventListener('pointerleave', () => this.choose(null));
            plot.area.addEventListener('blur', () => this.choose(null));
            plot.area.addEventListener('keydown', (event) => this.key(event));
        }
        place.append(...plots.map((plot) => plot.box));
        new ResizeObserver(() => this.draw()).observe(place);
    }

    get cursor() {
        return this.moment === null ? -1 : this.samples.near(this.moment);
    }

    draw() {
        for (const plot of this.plots) plot.draw(this.samples, this.cursor);
    }

    choose(moment) {
        this.moment = moment;
        for (const plot of this.plots) plot.point(this.cursor);
    }

    follow(plot, event) {
        if (!this.samples.at.length) return;
        const x = event.clientX - plot.area.getBoundingClientRect().left - MARGIN.left;
        this.choose(plot.end - HOUR * (1 - x / plot.inner.width));
    }

    key(event) {
        const [last, steps] = [this.samples.at.length - 1, event.shiftKey ? 12 : 1];
        const place = this.cursor < 0 ? last : this.cursor;
        const places = {
            ArrowLeft: place - steps,
            ArrowDown: place - steps,
            ArrowRight: place + steps,
            ArrowUp: place + steps,
            PageDown: place - MINUTE,
            PageUp: place + MINUTE,
            Home: 0,
            End: last,
        };
        if (event.key === 'Escape') this.choose(null);
        if (!(event.key in places) || last < 0) return;
        event.preventDefault();
        this.choose(this.samples.at[Math.min(last, Math.max(0, places[event.key]))]);
    }
}
