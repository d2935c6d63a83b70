// The contacts of the account, their presence, and the requests of others (RFC 6121 sections 2 to 4). No view.

import { bareJid, children, element, NS, textOf } from './xml.js';

/** What a contact's resource says about itself, the most available first; `offline` is a contact without one. */
const SHOWS = ['chat', 'online', 'away', 'xa', 'dnd', 'offline'];

/** Events: `change`, whatever has changed. */
export class Roster extends EventTarget {
    /** bare JID → {jid, name, subscription, ask} */
    contacts = new Map();
    /** The bare JIDs that ask to see this account's presence. */
    requests = new Set();

    #session;
    #own = '';
    /** bare JID → full JID → {show, status} */
    #presences = new Map();

    constructor(session) {
        super();
        this.#session = session;
        session.addEventListener('stanza', ({ detail }) => detail.localName === 'presence' && this.#presence(detail));
        session.requests.answers.set(NS.roster, (query, from) => this.#pushed(query, from));
    }

    /** Load the roster, then become available. Throws RequestError. */
    async load() {
        this.#own = bareJid(this.#session.jid);
        const query = await this.#session.request('get', element(NS.roster, 'query'));
        // A new session on the same page: what the last one knew may be over.
        for (const known of [this.contacts, this.requests, this.#presences]) known.clear();
        children(query, NS.roster, 'item').forEach((item) => this.#store(item));
        this.#session.send(element(NS.client, 'presence'));
        this.#changed();
    }

    /** Ask a new contact for its presence. Throws RequestError. */
    async add(jid) {
        const item = element(NS.roster, 'item', { jid });
        await this.#session.request('set', element(NS.roster, 'query', {}, item));
        this.#send('subscribe', jid);
    }

    /** Remove a contact, and with it the subscriptions. Throws RequestError. */
    async remove(jid) {
        const item = element(NS.roster, 'item', { jid, subscription: 'remove' });
        await this.#session.request('set', element(NS.roster, 'query', {}, item));
    }

    /** Accept a request, and ask for the same in return. */
    accept(jid) {
        this.#answer(jid, 'subscribed');
        const contact = this.contacts.get(jid);
        if (!contact?.ask && !['to', 'both'].includes(contact?.subscription)) this.#send('subscribe', jid);
    }

    decline(jid) {
        this.#answer(jid, 'unsubscribed');
    }

    /** Whether the contact may see that this account is online. */
    isSeenBy(jid) {
        return ['from', 'both'].includes(this.contacts.get(jid)?.subscription);
    }

    /** The most available resource of a contact: {show, status}. */
    presenceOf(jid) {
        const resources = [...(this.#presences.get(jid)?.values() ?? [])];
        resources.sort((one, other) => SHOWS.indexOf(one.show) - SHOWS.indexOf(other.show));
        return resources[0] ?? { show: 'offline', status: '' };
    }

    #send(type, to) {
        this.#session.send(element(NS.client, 'presence', { type, to }));
    }

    #answer(jid, type) {
        this.requests.delete(jid);
        this.#send(type, jid);
        this.#changed();
    }

    #pushed(query, from) {
        // Any other sender would be a stranger that writes into the roster (RFC 6121 section 2.1.6).
        if (from && from !== this.#own) return;
        children(query, NS.roster, 'item').forEach((item) => this.#store(item));
        this.#changed();
    }

    #store(item) {
        const [jid, name, subscription, ask] = ['jid', 'name', 'subscription', 'ask'].map(
            (key) => item.getAttribute(key) ?? '',
        );
        if (subscription === 'remove') {
            this.contacts.delete(jid);
            this.#presences.delete(jid);
        } else {
            this.contacts.set(jid, { jid, name, subscription, ask });
        }
    }

    #presence(presence) {
        const full = presence.getAttribute('from') ?? '';
        const jid = bareJid(full);
        const type = presence.getAttribute('type') ?? '';
        if (type === 'subscribe') this.requests.add(jid);
        if (type === '') {
            const show = textOf(presence, NS.client, 'show') || 'online';
            const status = textOf(presence, NS.client, 'status') ?? '';
            if (!this.#presences.has(jid)) this.#presences.set(jid, new Map());
            this.#presences.get(jid).set(full, { show: SHOWS.includes(show) ? show : 'online', status });
        }
        if (type === 'unavailable') {
            this.#presences.get(jid)?.delete(full);
            if (!this.#presences.get(jid)?.size) this.#presences.delete(jid);
        }
        this.#changed();
    }

    #changed() {
        this.dispatchEvent(new CustomEvent('change'));
    }
}
