// The view of one chat: its messages with their delivery, and the form for a new one.

import { MOST_MESSAGES } from './chat.js';
import { byId, FollowedList, make } from './dom.js';
import { clock, condition, text } from './texts.js';

/** The list outlives the sessions, and each session has a view. */
const LIST = new FollowedList(byId('messages'), MOST_MESSAGES);

export class ChatView {
    #chats;
    #roster;
    #leave;
    #jid = '';
    /** id of a message to the server → the element with its state */
    #states = new Map();

    /**
     * @param {import('./chat.js').Chats} chats
     * @param {import('./roster.js').Roster} roster
     * @param {() => void} leave called when the contact of the chat is removed
     */
    constructor(chats, roster, leave) {
        this.#chats = chats;
        this.#roster = roster;
        this.#leave = leave;
        chats.addEventListener('message', ({ detail }) => detail.jid === this.#jid && this.#append(detail.message));
        chats.addEventListener('state', ({ detail }) => detail.jid === this.#jid && this.#mark(detail.message));
        byId('write').onsubmit = (event) => this.#send(event);
        byId('message').onkeydown = (event) => {
            if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) this.#send(event);
        };
        byId('remove').onclick = () => this.#remove();
        this.show('');
    }

    get jid() {
        return this.#jid;
    }

    /** Show the chat with `jid`; with an empty one, no chat. */
    show(jid) {
        this.#jid = jid;
        this.#states.clear();
        byId('chat-title').textContent = jid ? text('chatWith', { jid }) : text('chat');
        byId('choose-contact').hidden = Boolean(jid);
        for (const id of ['messages', 'write', 'remove']) byId(id).hidden = !jid;
        byId('remove').hidden = !this.#roster.contacts.has(jid);
        byId('messages').replaceChildren();
        this.#chats.messages.get(jid)?.forEach((message) => this.#append(message));
        LIST.follow();
        if (jid) byId('message').focus();
    }

    #send(event) {
        event.preventDefault();
        const field = byId('message');
        if (!field.value.trim()) return;
        this.#chats.send(this.#jid, field.value.trim());
        field.value = '';
    }

    async #remove() {
        try {
            await this.#roster.remove(this.#jid);
            this.#leave();
        } catch (error) {
            byId('contacts-error').textContent = text('notRemoved', { condition: condition(error.condition) });
        }
    }

    #append(message) {
        const sender = message.direction === 'up' ? text('you') : this.#jid;
        const state = make('span', { class: 'message-state' });
        // The id of a message from the server is the sender's choice.
        if (message.direction === 'up') this.#states.set(message.id, state);
        if (this.#states.size > MOST_MESSAGES) this.#states.delete(this.#states.keys().next().value);
        const line = make('p', { class: 'muted message-line' }, make('time', {}, clock(message.time)), ' ', state);
        const who = make('span', { class: 'visually-hidden' }, `${sender}: `);
        LIST.add(make('div', { class: `message ${message.direction}` }, make('p', {}, who, message.text), line));
        this.#mark(message);
        if (message.direction === 'up') LIST.follow();
    }

    #mark({ id, state, condition: name }) {
        const shown = this.#states.get(id);
        if (!shown || !state) return;
        shown.textContent = text(`message.${state}`, { condition: name && condition(name) });
        shown.className = `message-state ${['failed', 'unconfirmed'].includes(state) ? 'bad' : ''}`;
    }
}
