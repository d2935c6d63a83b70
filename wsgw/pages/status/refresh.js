// Replaces the parts of a page that have changed, by asking for the same page again.

import { localise } from './times.js';

// Makes `old` equal to `fresh` and keeps every element that can stay: focus, selection and scrolling survive.
function morph(old, fresh) {
    if (old.isEqualNode(fresh) || old.dataset?.kept !== undefined) return;
    if (old.nodeName !== fresh.nodeName) {
        old.replaceWith(fresh);
    } else if (old.nodeType !== Node.ELEMENT_NODE) {
        old.nodeValue = fresh.nodeValue;
    } else {
        takeAttributes(old, fresh);
        takeChildren(old, fresh);
    }
}

function takeAttributes(old, fresh) {
    for (const { name } of [...old.attributes]) {
        // The reader opens and closes details.
        if (!fresh.hasAttribute(name) && name !== 'open') old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
        if (name !== 'open' && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
}

function takeChildren(old, fresh) {
    const children = [...fresh.childNodes];
    while (old.childNodes.length > children.length) old.lastChild.remove();
    children.forEach((child, place) => {
        if (place < old.childNodes.length) morph(old.childNodes[place], child);
        else old.append(child);
    });
}

const TIMEOUT = 4000;

export async function ask(path) {
    const answer = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT) });
    if (answer.status === 401) location.reload(); // the cookie is no longer valid: the login follows
    if (!answer.ok && answer.status !== 404) throw new Error(`${path}: ${answer.status}`);
    return answer;
}

// Replaces what has changed. A page of another release has another script too, so it is loaded as a whole.
export async function refresh() {
    const fresh = new DOMParser().parseFromString(await (await ask(location.href)).text(), 'text/html');
    if (fresh.body.dataset.version !== document.body.dataset.version) {
        location.reload();
        return;
    }
    localise(fresh);
    document.title = fresh.title;
    morph(document.querySelector('header'), fresh.querySelector('header'));
    morph(document.querySelector('main'), fresh.querySelector('main'));
}

// Calls `step` now and every `seconds`, but only while the page is visible. `failed` is told about an error, and
// with null about a success.
export function repeat(step, seconds, failed) {
    let timer = null;
    let runs = false;
    async function turn() {
        clearTimeout(timer);
        timer = null;
        // A tab that is hidden and shown again during a step must not begin a second one: it would add samples twice.
        if (document.hidden || runs) return;
        runs = true;
        try {
            await step();
            failed(null);
        } catch (error) {
            failed(error);
        }
        runs = false;
        timer = setTimeout(turn, seconds * 1000);
    }
    document.addEventListener('visibilitychange', () => {
        if (!document.hidden) turn();
    });
    turn();
}
