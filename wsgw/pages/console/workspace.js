// What a user sees of one session: the contacts and the chats, the title of the tab, the events in the view of the XML.

import { ChatView } from './chat_view.js';
import { Chats } from './chat.js';
import { ContactsView } from './contacts_view.js';
import { byId } from './dom.js';
import { Roster } from './roster.js';
import { causeText, condition, text } from './texts.js';
import { bareJid } from './xml.js';

export class Workspace {
    #session;
    #frames;
    #roster;
    #chat;
    #contacts;

    /** @param {import('./session.js').Session} session @param {import('./frames_view.js').FramesView} frames */
    constructor(session, frames) {
        this.#session = session;
        this.#frames = frames;
        this.#roster = new Roster(session);
        const chats = new Chats(session, (jid) => this.#roster.isSeenBy(jid));
        this.#chat = new ChatView(chats, this.#roster, () => this.#choose(''));
        this.#contacts = new ContactsView(this.#roster, (jid) => this.#choose(jid));
        chats.addEventListener('message', ({ detail: { jid, message } }) => this.#arrived(jid, message));
        session.addEventListener('frame', ({ detail }) => frames.frame(detail));
        session.addEventListener('interrupted', ({ detail }) => this.#note('note.interrupted', detail));
        session.addEventListener('online', () => this.#load());
        session.addEventListener('ended', ({ detail }) => this.#ended(detail));
        // Messages of the shown chat that arrived while the tab was in the background are read now.
        document.onvisibilitychange = () => document.hidden || this.#choose(this.#chat.jid);
    }

    #choose(jid) {
        if (jid !== this.#chat.jid || !jid) this.#chat.show(jid);
        this.#contacts.chosen(jid);
        this.#drawTitle();
    }

    async #load() {
        this.#drawTitle();
        try {
            await this.#roster.load();
        } catch (error) {
            byId('contacts-error').textContent = text('rosterFailed', { condition: condition(error.condition) });
        }
    }

    #arrived(jid, message) {
        if (message.direction === 'down' && (jid !== this.#chat.jid || document.hidden)) this.#contacts.unread(jid);
        this.#drawTitle();
    }

    #ended(cause) {
        this.#note('note.ended', cause);
        document.onvisibilitychange = null;
        document.title = text('title');
    }

    #note(key, cause) {
        this.#frames.note(`${text(key)}. ${causeText(cause)}`);
    }

    #drawTitle() {
        const count = this.#contacts.unreadCount;
        document.title = `${count ? `(${count}) ` : ''}${bareJid(this.#session.jid)} – ${text('title')}`;
    }
}
