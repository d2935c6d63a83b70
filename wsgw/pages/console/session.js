// One session as a state machine: WebSocket, stream, login, resource, stanzas, loss and resumption.
// It draws nothing: the views listen to its events, whose details are values and no sentences.

import { Authentication, failureOf } from './authentication.js';
import { RequestError, Requests } from './requests.js';
import { StreamManagement } from './stream_management.js';
import { FramedSocket } from './websocket.js';
import { child, element, NS, parseJid, textOf } from './xml.js';

/** In the order in which a session has them; `interrupted` is a lost connection that will be resumed. */
export const STATES = ['offline', 'connecting', 'opening', 'authenticating', 'binding', 'online', 'interrupted'];

/** Seconds before each attempt to resume; after the last one the session is over. */
const RETRY_AFTER = [1, 2, 4, 8, 16, 30];
/** Seconds before the attempt after the user has cut the connection: time to see what a loss is like. */
const CUT_PAUSE = 6;
/** Milliseconds from the WebSocket to a session that is ready, and for the answer to `<close/>`. */
const READY_WITHIN = 20_000;
const CLOSE_WITHIN = 2_000;
/** Kinds of losses, and conditions of stream errors, after which the session may still be there. */
const LOSSES = ['cut', 'close', 'unopened', 'timeout'];
const PASSING = [...LOSSES, 'system-shutdown', 'remote-connection-failed', 'resource-constraint', 'connection-timeout'];
/** The name under which an `<a/>` is waited for. */
const ACKNOWLEDGEMENT = 'a';

/**
 * @typedef {object} Cause why a session ended, or was interrupted
 * @property {'bye' | 'cut' | 'close' | 'unopened' | 'stream' | 'sasl' | 'scram' | 'mechanisms' | 'bind' | 'other-uri' | 'timeout' | 'blocked'} kind
 * @property {string} [condition] of the stream error or the failed login
 * @property {string} [text] what the server says about it, the offered mechanisms, or the other address
 * @property {number} [code] of the Close
 */

/**
 * Events: `state`; `frame` (Frame); `online`, `resumed` and `resumption`; `stanza` (Element); `acknowledged` and
 * `unconfirmed` (Element[], stanzas to the server); `interrupted` and `ended` (Cause).
 */
export class Session extends EventTarget {
    state = 'offline';
    /** The full address, once a resource is bound. */
    jid = '';
    mechanism = '';
    /** When the next attempt to resume begins, in milliseconds since the epoch. */
    retryAt = 0;
    management = new StreamManagement();
    /** The last resumption: {previd, ours, theirs, resent, arrived}; null without one. */
    resumption = null;
    requests = new Requests();

    #url;
    #credentials;
    #socket = null;
    #features = null;
    #authentication = null;
    #isAuthenticated = false;
    #isLeaving = false;
    #cause = null;
    #attempts = 0;
    #timer = 0;

    /** @param {string} url @param {{jid: string, password: string, resource: string}} credentials */
    constructor(url, { jid, password, resource }) {
        super();
        this.#url = url;
        this.#credentials = { ...parseJid(jid), password, resource };
    }

    get domain() {
        return this.#credentials.domain;
    }

    connect() {
        this.#clear();
        this.#isAuthenticated = false;
        this.#become('connecting');
        try {
            this.#socket = new FramedSocket(this.#url, {
                opened: () => this.#opened(),
                received: (root) => this.#received(root),
                closed: ({ code, reason, wasOpen }) => this.#lost({ kind: wasOpen ? 'close' : 'unopened', code, text: reason }),
                frame: (frame) => this.#tell('frame', frame),
            });
        } catch (error) {
            this.#end({ kind: 'blocked', text: error.message });
            return;
        }
        this.#timer = setTimeout(() => this.#drop({ kind: 'timeout' }), READY_WITHIN);
    }

    /** Send a stanza; one that is sent while the session is interrupted leaves when it is resumed. */
    send(stanza) {
        this.management.keep(stanza);
        if (this.state !== 'online') return;
        this.#socket.send(stanza);
        if (stanza.localName === 'message') this.#askForAcknowledgement();
    }

    /** The payload of the result of an iq; `to` is empty for the own account. Throws RequestError. */
    request(type, payload, to = '') {
        return this.requests.send((iq) => this.send(iq), type, payload, to);
    }

    /** Ask the server what it has received, and wait for the answer. Throws RequestError. */
    acknowledgement() {
        this.#askForAcknowledgement();
        return this.requests.wait(ACKNOWLEDGEMENT);
    }

    /** Lose the connection without a word to the server. */
    cut() {
        this.#drop({ kind: 'cut' }, CUT_PAUSE);
    }

    /** End the session in order. */
    close() {
        if (this.state === 'offline') return;
        this.#isLeaving = true;
        if (!this.#socket) {
            this.#end({ kind: 'bye' });
            return;
        }
        this.#socket.send(element(NS.framing, 'close'));
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#drop({ kind: 'bye' }), CLOSE_WITHIN);
    }

    // From the server

    static #handlers = new Map([
        [`${NS.framing} close`, (session, root) => session.#serverCloses(root)],
        [`${NS.streams} features`, (session, root) => session.#negotiate(root)],
        [`${NS.streams} error`, (session, root) => session.#failed(failureOf('stream', root, NS.streamErrors))],
        [`${NS.sasl} challenge`, (session, root) => session.#authenticate(root)],
        [`${NS.sasl} success`, (session, root) => session.#authenticate(root)],
        [`${NS.sasl} failure`, (session, root) => session.#authenticate(root)],
        [`${NS.management} enabled`, (session, root) => session.management.enable(root)],
        [`${NS.management} resumed`, (session, root) => session.#resumed(root)],
        [`${NS.management} failed`, (session, root) => session.#notManaged(root)],
        [`${NS.management} r`, (session) => session.#acknowledge()],
        [`${NS.management} a`, (session, root) => session.#acknowledged(root)],
        [`${NS.client} iq`, (session, root) => session.#stanza(root)],
        [`${NS.client} message`, (session, root) => session.#stanza(root)],
        [`${NS.client} presence`, (session, root) => session.#stanza(root)],
    ]);

    #received(root) {
        Session.#handlers.get(`${root.namespaceURI} ${root.localName}`)?.(this, root);
    }

    #opened() {
        this.#become('opening');
        this.#socket.open(this.domain);
    }

    #serverCloses(root) {
        const uri = root.getAttribute('see-other-uri');
        if (uri) this.#failed({ kind: 'other-uri', text: uri });
        if (!this.#isLeaving) this.#socket.send(element(NS.framing, 'close'));
        this.#socket.close();
    }

    /** Note the cause of the end that follows. */
    #failed(cause) {
        this.#cause ??= cause;
    }

    #negotiate(features) {
        this.#features = features;
        if (!this.#isAuthenticated) {
            this.#become('authenticating');
            const socket = this.#socket;
            this.#authentication = new Authentication((root) => socket.send(root), this.#credentials);
            const cause = this.#authentication.begin(features);
            this.mechanism = this.#authentication.mechanism;
            if (cause) this.#leave(cause);
            return;
        }
        this.#become('binding');
        if (this.management.canResume) this.#resume();
        else this.#bind();
    }

    async #authenticate(root) {
        const socket = this.#socket;
        const result = await this.#authentication?.received(root);
        if (socket !== this.#socket || result === undefined) return;
        if (result === true) {
            this.#isAuthenticated = true;
            socket.open(this.domain, this.#credentials.bare);
        } else {
            this.#leave(result);
        }
    }

    #stanza(root) {
        this.management.count();
        if (this.resumption?.isFresh) this.resumption.arrived += 1;
        if (root.localName !== 'iq') {
            this.#tell('stanza', root);
            return;
        }
        const answer = this.requests.received(root);
        if (answer) this.send(answer);
    }

    // Binding and stream management

    async #bind() {
        const { resource } = this.#credentials;
        const wish = resource ? [element(NS.bind, 'resource', {}, resource)] : [];
        const socket = this.#socket;
        try {
            const bound = await this.requests.send((iq) => socket.send(iq), 'set', element(NS.bind, 'bind', {}, ...wish));
            this.jid = textOf(bound, NS.bind, 'jid') ?? '';
        } catch (error) {
            if (socket === this.#socket) this.#leave({ kind: 'bind', condition: error.condition });
            return;
        }
        if (child(this.#features, NS.management, 'sm')) {
            this.management.begin();
            socket.send(element(NS.management, 'enable', { resume: 'true' }));
        }
        this.#ready('online');
    }

    #resume() {
        const { id: previd, received: h } = this.management;
        this.#socket.send(element(NS.management, 'resume', { previd, h }));
    }

    #resumed(root) {
        const { id: previd, received: ours } = this.management;
        const theirs = root.getAttribute('h') ?? '';
        this.#tell('acknowledged', this.management.acknowledge(theirs));
        const resent = [...this.management.unacknowledged];
        for (const stanza of resent) this.#socket.send(stanza);
        const resumption = { previd, ours, theirs, resent: resent.length, arrived: 0, isFresh: true };
        this.resumption = resumption;
        this.#ready('resumed');
        this.#askForAcknowledgement();
        // The server sends at once what has not been acknowledged.
        setTimeout(() => {
            resumption.isFresh = false;
            this.#tell('resumption', resumption);
        }, 1000);
    }

    /** The server has refused `<enable/>`, or the session that was to be resumed is over. */
    #notManaged(root) {
        const isResuming = this.state === 'binding';
        if (isResuming) {
            this.#tell('acknowledged', this.management.acknowledge(root.getAttribute('h') ?? NaN));
            this.#tell('unconfirmed', this.management.unacknowledged);
        }
        this.management = new StreamManagement();
        if (isResuming) this.#bind();
    }

    #ready(event) {
        clearTimeout(this.#timer);
        this.#attempts = 0;
        this.#become('online');
        this.#tell(event);
    }

    #acknowledge() {
        this.#socket.send(element(NS.management, 'a', { h: this.management.received }));
    }

    #acknowledged(root) {
        this.#tell('acknowledged', this.management.acknowledge(root.getAttribute('h')));
        this.requests.settle(ACKNOWLEDGEMENT);
    }

    #askForAcknowledgement() {
        if (this.state === 'online' && this.management.isCounting) this.#socket.send(element(NS.management, 'r'));
    }

    // Ends

    /** End the stream in order because of `cause`; the Close of wsgw follows. */
    #leave(cause) {
        this.#failed(cause);
        this.#socket.send(element(NS.framing, 'close'));
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#drop(cause), CLOSE_WITHIN);
    }

    #drop(cause, pause) {
        const socket = this.#socket;
        this.#lost(cause, pause);
        socket?.cut();
    }

    /** The connection is gone: resume the session, or end it. */
    #lost(cause, pause = RETRY_AFTER[this.#attempts]) {
        const why = this.#isLeaving ? { kind: 'bye' } : this.#cause ?? cause;
        const isPassing = PASSING.includes(why.condition ?? why.kind);
        if (!this.management.canResume || !isPassing || pause === undefined) {
            this.#end(why);
            return;
        }
        this.#clear();
        this.#attempts += 1;
        this.retryAt = Date.now() + pause * 1000;
        this.#timer = setTimeout(() => this.connect(), pause * 1000);
        this.#become('interrupted');
        this.#tell('interrupted', why);
    }

    #end(cause) {
        this.#clear();
        this.requests.giveUp();
        this.#tell('unconfirmed', this.management.unacknowledged);
        this.management = new StreamManagement();
        this.#become('offline');
        this.#tell('ended', cause);
    }

    #clear() {
        clearTimeout(this.#timer);
        this.#socket = null;
        this.#cause = null;
        this.requests.settle(ACKNOWLEDGEMENT, new RequestError('offline'));
    }

    #become(state) {
        if (this.state === state) return;
        this.state = state;
        this.#tell('state', state);
    }

    #tell(event, detail) {
        this.dispatchEvent(new CustomEvent(event, { detail }));
    }
}
