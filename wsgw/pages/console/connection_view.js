// The view of the connection: its state, why it ended, its round trip and its last resumption.

import { byId, isUsable, make } from './dom.js';
import { measure } from './ping.js';
import { STATES } from './session.js';
import { causeText, condition, number, text } from './texts.js';

export class ConnectionView {
    #session = null;
    #clock = 0;
    /** Whether a button had the focus that cannot be pressed in the present state. */
    #holdsFocus = false;

    constructor() {
        byId('ping').addEventListener('click', () => this.#measure());
        byId('cut').addEventListener('click', () => this.#session?.cut());
        byId('logout').addEventListener('click', () => this.#session?.close());
        byId('resume-now').addEventListener('click', () => this.#session?.connect());
        this.#drawState('offline');
    }

    /** Show the states of a new session. @param {import('./session.js').Session} session */
    attach(session) {
        this.#session = session;
        this.showCause(null);
        byId('resumption').hidden = true;
        for (const id of ['mechanism', 'round-trip']) byId(id).textContent = '';
        const on = (event, handle) => session.addEventListener(event, ({ detail }) => handle(detail));
        on('state', (state) => this.#drawState(state));
        on('online', () => this.#online());
        on('resumed', () => this.#resumed());
        on('resumption', (resumption) => this.#drawResumption(resumption));
        on('interrupted', (cause) => this.showCause(cause));
        on('ended', (cause) => this.#ended(cause));
    }

    /** Show in words why a session ended; null for nothing. */
    showCause(cause) {
        const notice = byId('cause');
        notice.hidden = !cause;
        notice.textContent = cause ? causeText(cause) : '';
        notice.className = `notice ${['bye', 'cut'].includes(cause?.kind) ? '' : 'bad'}`;
    }

    #drawState(state) {
        this.#holdsFocus ||= byId('actions').contains(document.activeElement);
        const at = STATES.indexOf(state);
        byId('steps').replaceChildren(
            ...STATES.map((one, index) => {
                const isDone = index < at && state !== 'interrupted';
                const attributes = { class: `${isDone ? 'done ' : ''}${one}`, 'aria-current': one === state && 'step' };
                return make('li', attributes, text(`state.${one}`));
            }),
        );
        byId('status').textContent = text(`status.${state}`, { jid: this.#session?.jid });
        byId('actions').hidden = state === 'offline';
        for (const id of ['ping', 'cut']) byId(id).disabled = state !== 'online';
        byId('resume-now').hidden = state !== 'interrupted';
        this.#moveFocus(state);
        this.#countDown(state === 'interrupted');
    }

    /** A button that was pressed by the keyboard gives the focus to the next one to press. */
    #moveFocus(state) {
        const next = { interrupted: 'resume-now', online: 'cut' }[state];
        if (!next || !this.#holdsFocus) return;
        this.#holdsFocus = false;
        if (!isUsable(document.activeElement)) byId(next).focus();
    }

    #countDown(isWaiting) {
        clearInterval(this.#clock);
        const draw = () => {
            const seconds = Math.max(0, Math.ceil((this.#session.retryAt - Date.now()) / 1000));
            byId('countdown').textContent = text('countdown', { seconds });
        };
        byId('countdown').textContent = '';
        if (!isWaiting) return;
        draw();
        this.#clock = setInterval(draw, 250);
    }

    #online() {
        const { mechanism } = this.#session;
        byId('mechanism').textContent = text('mechanism', { mechanism });
        this.#measure();
    }

    #resumed() {
        byId('status').textContent = text('status.resumed', { jid: this.#session.jid });
        this.showCause(null);
        this.#drawResumption(this.#session.resumption);
        this.#measure();
    }

    #drawResumption(resumption) {
        const rows = ['previd', 'ours', 'theirs', 'resent', 'arrived'].map((key) => {
            const value = make('dd', { class: 'number' }, String(resumption[key]));
            return make('div', {}, make('dt', {}, text(`resumption.${key}`)), value);
        });
        byId('resumption').replaceChildren(make('h3', {}, text('resumption')), make('dl', {}, ...rows));
        byId('resumption').hidden = false;
    }

    #ended(cause) {
        for (const id of ['mechanism', 'round-trip']) byId(id).textContent = '';
        this.showCause(cause);
    }

    async #measure() {
        const session = this.#session;
        const shown = byId('round-trip');
        try {
            const { milliseconds, by } = await measure(session);
            shown.textContent = text(`roundTrip.${by}`, { time: number(milliseconds) });
        } catch (error) {
            if (session.state !== 'online') return;
            shown.textContent = text('roundTripFailed', { condition: condition(error.condition) });
        }
        this.#drawManagement();
    }

    /** By now the server has answered `<enable/>`. */
    #drawManagement() {
        const { management, mechanism } = this.#session;
        const lack = management.canResume ? '' : text(management.isEnabled ? 'notResumable' : 'noManagement');
        byId('mechanism').textContent = [text('mechanism', { mechanism }), lack].filter(Boolean).join('. ');
    }
}
