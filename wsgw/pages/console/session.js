// One session over any number of streams: stanzas, their acknowledgement, loss and resumption (XEP-0198), the end.
// It draws nothing: the views listen to its events, whose details are values and no sentences.

import { RequestError, Requests } from './requests.js';
import { Stream } from './stream.js';
import { StreamManagement } from './stream_management.js';
import { child, element, is, NS, parseJid } from './xml.js';

/** In the order in which a session has them; `interrupted` is a lost connection that will be resumed. */
export const STATES = ['offline', 'connecting', 'opening', 'authenticating', 'binding', 'online', 'interrupted'];

/** Seconds before each attempt to resume; after the last one the session is over. */
const RETRY_AFTER = [1, 2, 4, 8, 16, 30];
/** Seconds before the attempt after the user has cut the connection: time to see what a loss is like. */
const CUT_PAUSE = 6;
/** Kinds of losses, and conditions of stream errors, after which the server may still have the session. */
const LOSSES = ['cut', 'close', 'unopened', 'timeout'];
const PASSING = [...LOSSES, 'system-shutdown', 'remote-connection-failed', 'resource-constraint', 'connection-timeout'];
/** Milliseconds in which the server sends what it has kept, after a resumption. */
const ARRIVAL = 1000;
/** The name under which an `<a/>` is waited for: none that an iq can have. */
const ACKNOWLEDGEMENT = Symbol('a');
/** Stanzas without an acknowledgement after which the page asks for it, also if none is a message. */
const ASK_AFTER = 16;

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
    #stream = null;
    #isLeaving = false;
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

    /** Begin the session, or resume it at once. */
    connect() {
        clearTimeout(this.#timer);
        const { canResume, id: previd, received: h } = this.management;
        this.#become('connecting');
        try {
            this.#stream = new Stream(this.#url, this.#credentials, canResume ? { previd, h } : null, {
                state: (state) => this.#become(state),
                frame: (frame) => this.#tell('frame', frame),
                bound: (jid, features) => this.#bound(jid, features),
                resumed: (theirs) => this.#resumed(theirs),
                notResumed: (theirs) => this.#notResumed(theirs),
                received: (root) => this.#received(root),
                lost: (cause) => this.#lost(cause),
            });
        } catch (error) {
            this.#end({ kind: 'blocked', text: error.message });
        }
    }

    /** Send a stanza; one that is sent while the session is interrupted leaves when it is resumed. */
    send(stanza) {
        this.management.keep(stanza);
        if (this.state !== 'online') return;
        this.#stream.send(stanza);
        const isDue = this.management.unacknowledged.length % ASK_AFTER === 0;
        if (isDue || stanza.localName === 'message') this.#askForAcknowledgement();
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
        this.#stream?.cut({ kind: 'cut' });
    }

    /** End the session in order. */
    close() {
        if (this.state === 'offline') return;
        this.#isLeaving = true;
        if (this.#stream) this.#stream.leave({ kind: 'bye' });
        else this.#end({ kind: 'bye' });
    }

    // From the server

    #received(root) {
        if (is(root, NS.client)) this.#stanza(root);
        else if (is(root, NS.management, 'enabled')) this.management.enable(root);
        else if (is(root, NS.management, 'failed')) this.management = new StreamManagement();
        else if (is(root, NS.management, 'r')) this.#acknowledge();
        else if (is(root, NS.management, 'a')) this.#acknowledged(root);
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

    #acknowledge() {
        this.#stream.send(element(NS.management, 'a', { h: this.management.received }));
    }

    #acknowledged(root) {
        this.#tell('acknowledged', this.management.acknowledge(root.getAttribute('h')));
        this.requests.settle(ACKNOWLEDGEMENT);
    }

    #askForAcknowledgement() {
        if (this.state === 'online' && this.management.isCounting) this.#stream.send(element(NS.management, 'r'));
    }

    // A new stream

    #bound(jid, features) {
        this.jid = jid;
        if (child(features, NS.management, 'sm')) {
            this.management.begin();
            this.#stream.send(element(NS.management, 'enable', { resume: 'true' }));
        }
        this.#online('online');
    }

    #resumed(theirs) {
        const { id: previd, received: ours } = this.management;
        this.#tell('acknowledged', this.management.acknowledge(theirs));
        const resent = [...this.management.unacknowledged];
        for (const stanza of resent) this.#stream.send(stanza);
        const resumption = { previd, ours, theirs, resent: resent.length, arrived: 0, isFresh: true };
        this.resumption = resumption;
        this.#online('resumed');
        this.#askForAcknowledgement();
        setTimeout(() => {
            resumption.isFresh = false;
            this.#tell('resumption', resumption);
        }, ARRIVAL);
    }

    /** The server no longer has the session; a new one begins. */
    #notResumed(theirs) {
        if (theirs !== null) this.#tell('acknowledged', this.management.acknowledge(theirs));
        this.#tell('unconfirmed', this.management.unacknowledged);
        this.management = new StreamManagement();
    }

    #online(event) {
        this.#attempts = 0;
        this.mechanism = this.#stream.mechanism;
        this.#become('online');
        this.#tell(event);
    }

    // Ends

    /** The stream is over: resume the session, or end it. */
    #lost(cause) {
        this.#stream = null;
        this.requests.settle(ACKNOWLEDGEMENT, new RequestError('offline'));
        const pause = cause.kind === 'cut' ? CUT_PAUSE : RETRY_AFTER[this.#attempts];
        const isPassing = PASSING.includes(cause.condition ?? cause.kind);
        if (this.#isLeaving || !this.management.canResume || !isPassing || pause === undefined) {
            this.#end(this.#isLeaving ? { kind: 'bye' } : cause);
            return;
        }
        this.#attempts += 1;
        this.retryAt = Date.now() + pause * 1000;
        this.#timer = setTimeout(() => this.connect(), pause * 1000);
        this.#become('interrupted');
        this.#tell('interrupted', cause);
    }

    #end(cause) {
        clearTimeout(this.#timer);
        this.#stream = null;
        this.#credentials.password = '';
        this.requests.giveUp();
        this.#tell('unconfirmed', this.management.unacknowledged);
        this.management = new StreamManagement();
        this.#become('offline');
        this.#tell('ended', cause);
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
