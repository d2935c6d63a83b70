// The transport: one WebSocket with the framing of RFC 7395. It knows no states of a session.

import { element, NS, parse, serialise } from './xml.js';

/** The code of a Close without `<close/>`: for wsgw the connection is lost, and the session may be resumed. */
const CUT = 4000;

/**
 * @typedef {object} Listener
 * @property {() => void} opened the WebSocket is open
 * @property {(received: Element) => void} received one message of the server
 * @property {(end: {code: number, reason: string, wasOpen: boolean}) => void} closed it is closed, or was never open
 * @property {(frame: Frame) => void} frame each message, in both directions
 *
 * @typedef {object} Frame
 * @property {'up' | 'down'} direction to or from the server
 * @property {string} text
 */
export class FramedSocket {
    #socket;
    #listener;
    #wasOpen = false;

    /** Connect to `url`. @param {string} url @param {Listener} listener */
    constructor(url, listener) {
        this.#listener = listener;
        this.#socket = new WebSocket(url, 'xmpp');
        this.#socket.onopen = () => this.#opened();
        this.#socket.onmessage = (event) => this.#received(event.data);
        this.#socket.onclose = ({ code, reason }) => this.#closed({ code, reason, wasOpen: this.#wasOpen });
    }

    /** Open a stream, or the one after the login (section 3.4). */
    open(domain, from) {
        this.send(
            element(NS.framing, 'open', {
                to: domain,
                from,
                version: '1.0',
                'xml:lang': document.documentElement.lang,
            }),
        );
    }

    /** Send one element. It is lost without a word if the WebSocket is closing; stream management resends stanzas. */
    send(root) {
        if (this.#socket.readyState !== WebSocket.OPEN) return;
        const text = serialise(root);
        this.#socket.send(text);
        this.#listener?.frame({ direction: 'up', text });
    }

    /** Close the WebSocket in order, after both sides have sent `<close/>` (section 3.6). */
    close() {
        this.#socket.close(1000);
    }

    /** Lose the connection: no `<close/>`, and nothing that still arrives counts. */
    cut() {
        this.#listener = null;
        this.#socket.close(CUT, 'cut');
    }

    #opened() {
        this.#wasOpen = true;
        this.#listener?.opened();
    }

    #received(text) {
        this.#listener?.frame({ direction: 'down', text });
        const root = parse(text);
        if (root) this.#listener?.received(root);
    }

    #closed(end) {
        const listener = this.#listener;
        this.#listener = null;
        listener?.closed(end);
    }
}
