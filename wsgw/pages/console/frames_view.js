// The view of the XML: every message in both directions, laid out for reading, without secrets, in bounded number.

import { byId, FollowedList, make } from './dom.js';
import { withoutSecrets } from './secrets.js';
import { exactClock, number, text } from './texts.js';
import { parse } from './xml.js';

/** The most rows that the view keeps, and the most characters of a message that it shows. */
const MOST_ROWS = 300;
const MOST_CHARACTERS = 8000;
const INDENT = '  ';
/** Characters without a shape, which could hide text or turn its direction: they are shown as references. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

export class FramesView {
    #list = byId('frames');
    #followed = new FollowedList(this.#list, MOST_ROWS);
    /** The rows that wait while the view is paused. */
    #waiting = [];
    #isPaused = false;

    constructor() {
        byId('pause').addEventListener('click', () => this.#pause(!this.#isPaused));
        byId('clear').addEventListener('click', () => this.#clear());
    }

    /** Show a message. @param {import('./websocket.js').Frame} frame */
    frame({ direction, text: xml }) {
        const root = parse(xml);
        const size = new TextEncoder().encode(xml).length;
        const head = make(
            'p',
            { class: 'frame-head' },
            make('span', { class: 'way' }, `${direction === 'up' ? '↑' : '↓'} ${text(direction)}`),
            make('strong', {}, root?.nodeName ?? '?'),
            make('span', { class: 'muted number' }, text('bytes', { size: number(size) })),
            make('time', { class: 'muted number' }, exactClock(new Date())),
        );
        const body = root
            ? make('pre', {}, make('code', {}, pretty(root)))
            : make('p', { class: 'bad' }, text('notWellFormed'));
        this.#add(make('li', { class: `frame ${direction}` }, head, body));
    }

    /** Show an event of the connection between the messages. */
    note(words) {
        const time = make('time', { class: 'muted number' }, exactClock(new Date()));
        this.#add(
            make('li', { class: 'frame note' }, make('p', { class: 'frame-head' }, make('span', {}, words), time)),
        );
    }

    #add(row) {
        if (this.#isPaused) this.#waiting = [...this.#waiting.slice(1 - MOST_ROWS), row];
        else this.#append([row]);
        this.#count();
    }

    #append(rows) {
        this.#list.hidden = false;
        this.#followed.add(...rows);
    }

    #pause(isPaused) {
        this.#isPaused = isPaused;
        if (!isPaused) this.#append(this.#waiting.splice(0));
        const button = byId('pause');
        button.textContent = text(isPaused ? 'goOn' : 'pause');
        button.setAttribute('aria-pressed', String(isPaused));
        this.#count();
    }

    #clear() {
        this.#list.replaceChildren();
        this.#waiting = [];
        this.#count();
    }

    #count() {
        const shown = this.#list.childElementCount;
        const key = this.#isPaused ? 'framesWaiting' : 'frameCount';
        const count = this.#isPaused ? this.#waiting.length : shown;
        byId('frame-count').textContent = shown || count ? text(key, { count: number(count) }) : '';
        byId('no-frames').hidden = shown > 0;
        this.#list.hidden = shown === 0;
    }
}

/** The element with line breaks and colours, as a fragment of texts; its secrets are replaced. */
function pretty(root) {
    const safe = withoutSecrets(root, (length) => text('hidden', { length: number(length) }));
    const fragment = new DocumentFragment();
    let room = MOST_CHARACTERS;
    let hidden = 0;
    for (const { kind, value } of tokens(safe, '')) {
        const shown = value.slice(0, room);
        room -= shown.length;
        hidden += value.length - shown.length;
        if (shown) fragment.append(kind ? make('span', { class: kind }, shown) : shown);
    }
    if (hidden) fragment.append(make('span', { class: 'muted' }, `\n${text('cutText', { count: number(hidden) })}`));
    return fragment;
}

/** The pieces of an element in order: {kind, value}; kind is the class of a name, a value or a text. */
function* tokens(one, indent) {
    yield { value: `${indent}<` };
    yield { kind: 'tag', value: one.nodeName };
    for (const { name, value } of one.attributes) {
        yield { kind: 'attribute', value: ` ${name}` };
        yield { value: '=' };
        yield {
            kind: 'value',
            value: `"${escaped(value).replaceAll('"', '&quot;')}"`,
        };
    }
    if (!one.hasChildNodes()) {
        yield { value: '/>' };
        return;
    }
    yield { value: '>' };
    const isText = one.childElementCount === 0;
    for (const node of one.childNodes) {
        if (node.nodeType === Node.ELEMENT_NODE) {
            yield { value: '\n' };
            yield* tokens(node, indent + INDENT);
        } else if (isText || node.textContent.trim()) {
            yield { kind: 'text', value: escaped(node.textContent) };
        }
    }
    yield { value: `${isText ? '' : `\n${indent}`}</` };
    yield { kind: 'tag', value: one.nodeName };
    yield { value: '>' };
}

function escaped(text) {
    const reference = (character) =>
        '\n\t'.includes(character) ? character : `&#x${character.codePointAt(0).toString(16).toUpperCase()};`;
    return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replace(INVISIBLE, reference);
}
