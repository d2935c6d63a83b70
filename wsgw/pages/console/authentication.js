// The login of one stream (RFC 6120 section 6): its elements. The mechanisms are in `sasl`.

import { chooseMechanism, makeLogin, SaslError } from './sasl.js';
import { child, children, element, NS, textOf } from './xml.js';

export class Authentication {
    mechanism = '';

    #send;
    #credentials;
    #login = null;

    /** @param {(root: Element) => void} send @param {{local: string, password: string}} credentials */
    constructor(send, credentials) {
        this.#send = send;
        this.#credentials = credentials;
    }

    /** Send `<auth/>` for the best of the offered mechanisms; a Cause if there is none. */
    begin(features) {
        const offered = children(child(features, NS.sasl, 'mechanisms'), NS.sasl, 'mechanism').map(
            (one) => one.textContent,
        );
        const mechanism = chooseMechanism(offered);
        if (!mechanism) return { kind: 'mechanisms', text: offered.join(', ') };
        this.mechanism = mechanism;
        this.#login = makeLogin(mechanism, this.#credentials.local, this.#credentials.password);
        this.#send(element(NS.sasl, 'auth', { mechanism }, this.#login.first));
        return undefined;
    }

    /** Take an element of the server: true if the login is done, a Cause if it has failed. */
    async received(root) {
        try {
            if (root.localName === 'failure') return failureOf('sasl', root, NS.sasl);
            if (root.localName === 'success') {
                await this.#login.verify(root.textContent);
                return true;
            }
            if (root.localName === 'challenge') {
                this.#send(element(NS.sasl, 'response', {}, await this.#login.reply(root.textContent)));
            }
            return undefined;
        } catch (error) {
            if (error instanceof SaslError) return { kind: 'scram', text: error.message };
            throw error;
        }
    }
}

/** The condition and the text of a failed login or of a stream error, as a Cause. */
export function failureOf(kind, root, namespace) {
    const condition = children(root, namespace).find((one) => one.localName !== 'text')?.localName ?? '';
    return { kind, condition, text: textOf(root, namespace, 'text') ?? '' };
}
