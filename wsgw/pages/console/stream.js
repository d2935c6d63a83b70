// One stream: a WebSocket, the login on it, and a resource that is bound or a session that is resumed.
// The session that lives on over several streams is in `session`.

import { Authentication, failureOf } from './authentication.js';
import { conditionOf } from './requests.js';
import { FramedSocket } from './websocket.js';
import { element, is, NS, textOf, uniqueName } from './xml.js';

/** Milliseconds from the WebSocket to a bound resource, and for the answer to `<close/>`. */
const READY_WITHIN = 20_000;
const CLOSE_WITHIN = 2_000;

/**
 * @typedef {object} Cause why a stream was lost, or a session ended
 * @property {'bye' | 'cut' | 'close' | 'unopened' | 'stream' | 'sasl' | 'scram' | 'mechanisms' | 'bind' | 'other-uri' |
 *     'timeout' | 'blocked'} kind
 * @property {string} [condition] of the stream error, the failed login or the refused resource
 * @property {string} [text] what the server says about it, the offered mechanisms, or the other address
 * @property {number} [code] of the Close
 *
 * @typedef {object} StreamListener
 * @property {(state: string) => void} state it has come to that one of STATES in `session`
 * @property {(frame: import('./websocket.js').Frame) => void} frame
 * @property {(jid: string, features: Element) => void} bound
 * @property {(h: string) => void} resumed the session; `h` is the count of the server
 * @property {(h: string | null) => void} notResumed a resource will be bound instead
 * @property {(root: Element) => void} received an element after that
 * @property {(cause: Cause) => void} lost it is over; nothing follows
 */
export class Stream {
    mechanism = '';

    #socket;
    #listener;
    #credentials;
    #resume;
    #authentication = null;
    #isAuthenticated = false;
    #isReady = false;
    #features = null;
    #bindId = '';
    #cause = null;
    #hasClosed = false;
    #timer;

    /**
     * Connect to `url`, and resume the session `resume`, or bind a resource. Throws if the browser forbids it.
     * @param {string} url
     * @param {{local: string, domain: string, bare: string, password: string, resource: string}} credentials
     * @param {{previd: string, h: number} | null} resume
     * @param {StreamListener} listener
     */
    constructor(url, credentials, resume, listener) {
        this.#credentials = credentials;
        this.#resume = resume;
        this.#listener = listener;
        this.#socket = new FramedSocket(url, {
            opened: () => this.#opened(),
            received: (root) => this.#received(root),
            closed: ({ code, reason, wasOpen }) =>
                this.#lose({ kind: wasOpen ? 'close' : 'unopened', code, text: reason }),
            frame: (frame) => listener.frame(frame),
        });
        this.#timer = setTimeout(() => this.cut({ kind: 'timeout' }), READY_WITHIN);
    }

    send(root) {
        this.#socket.send(root);
    }

    /** End the stream in order because of `cause`. */
    leave(cause) {
        this.#cause ??= cause;
        this.#close();
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.cut(cause), CLOSE_WITHIN);
    }

    /** Lose the connection without a word to the server. */
    cut(cause) {
        this.#socket.cut();
        this.#lose(cause);
    }

    #lose(cause) {
        clearTimeout(this.#timer);
        const listener = this.#listener;
        this.#listener = null;
        listener?.lost(this.#cause ?? cause);
    }

    #opened() {
        this.#listener.state('opening');
        this.#socket.open(this.#credentials.domain);
    }

    #received(root) {
        if (is(root, NS.framing, 'close')) this.#closed(root);
        else if (is(root, NS.streams, 'error')) this.#cause ??= failureOf('stream', root, NS.streamErrors);
        else if (is(root, NS.streams, 'features')) this.#negotiate(root);
        else if (is(root, NS.sasl)) this.#authenticate(root);
        else if (this.#isReady) this.#listener.received(root);
        else if (this.#isAuthenticated) this.#bindOrResume(root);
    }

    #closed(root) {
        const uri = root.getAttribute('see-other-uri');
        if (uri) this.#cause ??= { kind: 'other-uri', text: uri };
        this.#close();
        this.#socket.close();
    }

    /** Send `<close/>`, once. */
    #close() {
        if (!this.#hasClosed) this.send(element(NS.framing, 'close'));
        this.#hasClosed = true;
    }

    #negotiate(features) {
        this.#features = features;
        if (this.#isAuthenticated) {
            this.#listener.state('binding');
            if (this.#resume) this.send(element(NS.management, 'resume', this.#resume));
            else this.#bind();
            return;
        }
        this.#listener.state('authenticating');
        this.#authentication = new Authentication((root) => this.send(root), this.#credentials);
        const cause = this.#authentication.begin(features);
        this.mechanism = this.#authentication.mechanism;
        if (cause) this.leave(cause);
    }

    async #authenticate(root) {
        const result = await this.#authentication?.received(root);
        if (!this.#listener || result === undefined) return;
        if (result === true) {
            this.#isAuthenticated = true;
            this.#socket.open(this.#credentials.domain, this.#credentials.bare);
        } else {
            this.leave(result);
        }
    }

    #bind() {
        const { resource } = this.#credentials;
        const wish = resource ? [element(NS.bind, 'resource', {}, resource)] : [];
        this.#bindId = uniqueName('bind');
        const bind = element(NS.bind, 'bind', {}, ...wish);
        this.send(element(NS.client, 'iq', { type: 'set', id: this.#bindId }, bind));
    }

    #bindOrResume(root) {
        const h = root.getAttribute('h');
        if (is(root, NS.management, 'resumed')) {
            this.#ready(() => this.#listener.resumed(h ?? ''));
        } else if (is(root, NS.management, 'failed')) {
            this.#listener.notResumed(h);
            this.#bind();
        } else if (root.getAttribute('id') === this.#bindId) {
            const jid = textOf(root.firstElementChild, NS.bind, 'jid');
            if (jid) this.#ready(() => this.#listener.bound(jid, this.#features));
            else this.leave({ kind: 'bind', condition: conditionOf(root) });
        }
    }

    #ready(tell) {
        clearTimeout(this.#timer);
        this.#isReady = true;
        tell();
    }
}
