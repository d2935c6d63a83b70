// The messages of one-to-one chats, and how far each one has come. No view.

import { conditionOf } from './requests.js';
import { bareJid, child, element, NS, textOf, uniqueName } from './xml.js';

/** The most messages of a chat that are kept. */
export const MOST_MESSAGES = 500;

/**
 * @typedef {object} Message
 * @property {string} id
 * @property {'up' | 'down'} direction
 * @property {string} text
 * @property {Date} time
 * @property {'' | 'waiting' | 'sent' | 'stored' | 'delivered' | 'unconfirmed' | 'failed'} state of a message to the server:
 *     `stored` since the server has acknowledged it, `delivered` since the client of the contact has
 * @property {string} [condition] of a message that has failed
 */

/** Events: `message` and `state` ({jid, message}). */
export class Chats extends EventTarget {
    /** bare JID → its messages */
    messages = new Map();

    #session;
    #isSeenBy;

    /** @param {(jid: string) => boolean} isSeenBy whether a contact may know that this account is online */
    constructor(session, isSeenBy) {
        super();
        this.#session = session;
        this.#isSeenBy = isSeenBy;
        session.addEventListener('stanza', ({ detail }) => detail.localName === 'message' && this.#received(detail));
        session.addEventListener('acknowledged', ({ detail }) => this.#mark(detail, 'stored'));
        session.addEventListener('unconfirmed', ({ detail }) => this.#mark(detail, 'unconfirmed'));
        session.addEventListener('resumed', () => this.#resumed());
    }

    /** Send a text to the bare JID `to`. */
    send(to, text) {
        const id = uniqueName('message');
        const state = this.#session.state === 'online' ? 'sent' : 'waiting';
        this.#add(to, { id, direction: 'up', text, time: new Date(), state });
        const body = element(NS.client, 'body', {}, text);
        const request = element(NS.receipts, 'request');
        this.#session.send(element(NS.client, 'message', { type: 'chat', to, id }, body, request));
    }

    #received(stanza) {
        const [from, type, id] = ['from', 'type', 'id'].map((key) => stanza.getAttribute(key) ?? '');
        const jid = bareJid(from);
        if (type === 'error') {
            this.#update(jid, id, 'failed', conditionOf(stanza));
            return;
        }
        const receipt = child(stanza, NS.receipts, 'received');
        if (receipt) this.#update(jid, receipt.getAttribute('id'), 'delivered');
        const text = textOf(stanza, NS.client, 'body');
        if (!text || type === 'groupchat') return;
        this.#add(jid, { id, direction: 'down', text, time: new Date(), state: '' });
        // A receipt tells that this account is online (XEP-0184 section 8).
        if (id && child(stanza, NS.receipts, 'request') && this.#isSeenBy(jid)) {
            this.#session.send(
                element(NS.client, 'message', { type, to: from }, element(NS.receipts, 'received', { id })),
            );
        }
    }

    #add(jid, message) {
        if (!this.messages.has(jid)) this.messages.set(jid, []);
        const messages = this.messages.get(jid);
        messages.push(message);
        if (messages.length > MOST_MESSAGES) messages.shift();
        this.#tell('message', jid, message);
    }

    /** The state of the messages among `stanzas`, unless they have come further. */
    #mark(stanzas, state) {
        for (const stanza of stanzas) {
            const [jid, id] = [stanza.getAttribute('to') ?? '', stanza.getAttribute('id')];
            const message = this.#find(jid, id);
            if (['waiting', 'sent'].includes(message?.state)) this.#update(jid, id, state);
        }
    }

    /** The messages that waited have left. */
    #resumed() {
        for (const [jid, messages] of this.messages) {
            for (const { id, state } of messages) if (state === 'waiting') this.#update(jid, id, 'sent');
        }
    }

    #update(jid, id, state, condition) {
        const message = this.#find(jid, id);
        if (!message) return;
        Object.assign(message, { state, condition });
        this.#tell('state', jid, message);
    }

    #find(jid, id) {
        return this.messages.get(jid)?.find((one) => one.id === id && one.direction === 'up');
    }

    #tell(event, jid, message) {
        this.dispatchEvent(new CustomEvent(event, { detail: { jid, message } }));
    }
}
