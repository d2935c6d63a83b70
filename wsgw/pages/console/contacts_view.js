// The view of the contacts: presence, unread messages, requests, and the form for a new contact.

import { byId, make } from './dom.js';
import { condition, number, text } from './texts.js';
import { parseJid } from './xml.js';

/** Milliseconds. */
const DRAW_AFTER = 50;

export class ContactsView {
    #roster;
    #choose;
    #unread = new Map();
    #chosen = '';
    #timer = 0;
    /** Senders of messages that are no contacts. */
    #strangers = new Set();

    /** @param {import('./roster.js').Roster} roster @param {(jid: string) => void} choose */
    constructor(roster, choose) {
        this.#roster = roster;
        this.#choose = choose;
        roster.addEventListener('change', () => this.#drawSoon());
        byId('add').onsubmit = (event) => this.#add(event);
        byId('contacts-error').textContent = '';
        this.#draw();
    }

    /** Mark the contact whose chat is shown. */
    chosen(jid) {
        this.#chosen = jid;
        this.#unread.delete(jid);
        this.#draw();
    }

    /** Count a message of a chat that is not shown. */
    unread(jid) {
        this.#unread.set(jid, (this.#unread.get(jid) ?? 0) + 1);
        if (!this.#roster.contacts.has(jid)) this.#strangers.add(jid);
        this.#draw();
    }

    get unreadCount() {
        return [...this.#unread.values()].reduce((sum, count) => sum + count, 0);
    }

    async #add(event) {
        event.preventDefault();
        const field = byId('add-jid');
        const { local, domain } = parseJid(field.value);
        const problem = byId('contacts-error');
        try {
            await this.#roster.add(local ? `${local}@${domain}` : domain);
            field.value = problem.textContent = '';
        } catch (error) {
            problem.textContent = text('notAdded', { condition: condition(error.condition) });
        }
    }

    /** Draw once for all changes of a moment: after the login each contact sends its presence. */
    #drawSoon() {
        this.#timer ||= setTimeout(() => this.#draw(), DRAW_AFTER);
    }

    #draw() {
        clearTimeout(this.#timer);
        this.#timer = 0;
        const known = this.#roster.contacts;
        const jids = [...known.keys(), ...[...this.#strangers].filter((jid) => !known.has(jid))].sort();
        // The button with the focus keeps it.
        const focused = document.activeElement?.closest('#contacts li')?.dataset.jid;
        byId('contacts').replaceChildren(...jids.map((jid) => this.#contact(jid)));
        if (focused)
            byId('contacts')
                .querySelector(`[data-jid="${CSS.escape(focused)}"] button`)
                ?.focus();
        byId('no-contacts').hidden = jids.length > 0;
        byId('requests').replaceChildren(...[...this.#roster.requests].map((jid) => this.#request(jid)));
    }

    #contact(jid) {
        const contact = this.#roster.contacts.get(jid);
        const { show, status } = this.#roster.presenceOf(jid);
        const unread = this.#unread.get(jid);
        return make(
            'li',
            { 'data-jid': jid },
            make(
                'button',
                {
                    type: 'button',
                    class: 'contact',
                    'aria-current': jid === this.#chosen && 'true',
                    onclick: () => this.#choose(jid),
                },
                make('span', { class: `dot ${show}`, 'aria-hidden': 'true' }),
                make('span', { class: 'contact-name' }, contact?.name || jid),
                make('span', { class: 'muted contact-state' }, stateText(contact, show, status)),
                ...(unread
                    ? [
                          make(
                              'span',
                              { class: 'badge', 'aria-label': text('unread', { count: unread }) },
                              number(unread),
                          ),
                      ]
                    : []),
            ),
        );
    }

    #request(jid) {
        const button = (key, answer, style) =>
            make('button', { type: 'button', class: style, onclick: () => this.#roster[answer](jid) }, text(key));
        return make(
            'li',
            { class: 'notice' },
            make('p', {}, text('wants', { jid })),
            make(
                'p',
                { class: 'actions' },
                button('accept', 'accept', 'primary small'),
                button('decline', 'decline', 'small'),
            ),
        );
    }
}

function stateText(contact, show, status) {
    if (!contact) return text('subscription.stranger');
    if (contact.ask) return text('subscription.ask');
    if (['none', 'from'].includes(contact.subscription)) return text(`subscription.${contact.subscription}`);
    return status ? `${text(`show.${show}`)}: ${status}` : text(`show.${show}`);
}
