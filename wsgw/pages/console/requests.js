// The iq stanzas of a session: those that the page sends, and those that it answers.

import { child, element, NS, uniqueName } from './xml.js';

/** Milliseconds for the answer to a request. */
const ANSWER_WITHIN = 20_000;

/** A request was answered with an error, or not at all: `condition` names which. */
export class RequestError extends Error {
    constructor(condition) {
        super(condition);
        this.condition = condition;
    }
}

export class Requests {
    /** namespace of the payload → function(payload, sender) that returns the payload of the result, or nothing */
    answers = new Map([[NS.ping, () => undefined]]);

    #waiting = new Map();

    /**
     * Send an iq with `send`; the payload of its result. Throws RequestError.
     * @param {'get' | 'set'} type @param {Element} payload @param {string} to empty for the own account
     */
    send(send, type, payload, to = '') {
        const id = uniqueName('console');
        const answer = this.wait(id);
        send(element(NS.client, 'iq', { type, id, to }, payload));
        return answer;
    }

    /** The answer with this name. Throws RequestError. */
    wait(id) {
        return new Promise((resolve, reject) => {
            const timer = setTimeout(() => this.settle(id, new RequestError('timeout')), ANSWER_WITHIN);
            this.#waiting.set(id, (answer) => {
                clearTimeout(timer);
                if (answer instanceof RequestError) reject(answer);
                else resolve(answer);
            });
        });
    }

    /** Give the answer to what waits for it. */
    settle(id, answer) {
        const settle = this.#waiting.get(id);
        this.#waiting.delete(id);
        settle?.(answer);
    }

    /** The session is over: no answer will come. */
    giveUp() {
        for (const id of [...this.#waiting.keys()]) this.settle(id, new RequestError('offline'));
    }

    /** Take an iq of the server; the stanza that answers it, or undefined if it is an answer itself. */
    received(iq) {
        const [id, type, from] = ['id', 'type', 'from'].map((name) => iq.getAttribute(name) ?? '');
        const payload = iq.firstElementChild;
        if (type === 'result') return this.settle(id, payload);
        if (type === 'error') return this.settle(id, new RequestError(conditionOf(iq)));
        const answer = this.answers.get(payload?.namespaceURI);
        if (!answer) return element(NS.client, 'iq', { type: 'error', id, to: from }, notServed());
        const result = answer(payload, from);
        return element(NS.client, 'iq', { type: 'result', id, to: from }, ...(result ? [result] : []));
    }
}

/** The condition of a stanza of the type `error` (RFC 6120 section 8.3). */
export function conditionOf(stanza) {
    return child(child(stanza, NS.client, 'error'), NS.stanzaErrors)?.localName ?? 'undefined-condition';
}

function notServed() {
    return element(NS.client, 'error', { type: 'cancel' }, element(NS.stanzaErrors, 'service-unavailable'));
}
