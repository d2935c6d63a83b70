// Logins: SCRAM (RFC 5802, RFC 7677) by WebCrypto, and PLAIN (RFC 4616) where a server has no SCRAM.

/** Mechanism → hash of WebCrypto, the best one first. */
const HASHES = new Map([
    ['SCRAM-SHA-512', 'SHA-512'],
    ['SCRAM-SHA-256', 'SHA-256'],
    ['SCRAM-SHA-1', 'SHA-1'],
]);
/** A server that demands more rounds would keep the browser busy for minutes. */
const MOST_ROUNDS = 1_000_000;

const encoder = new TextEncoder();

/** The server breaks the rules of SCRAM, or does not know the password. */
export class SaslError extends Error {}

/** The best of the offered `mechanisms`, or undefined if the page knows none. */
export function chooseMechanism(mechanisms) {
    return [...HASHES.keys(), 'PLAIN'].find((name) => mechanisms.includes(name));
}

/**
 * One login. `first` is the text of `<auth/>`, `reply` that of a `<response/>`, `verify` checks the `<success/>`.
 * All of them are in base64. `reply` and `verify` throw SaslError.
 */
export function makeLogin(mechanism, user, password) {
    return mechanism === 'PLAIN' ? plain(user, password) : new Scram(mechanism, user, password);
}

function plain(user, password) {
    return {
        first: toBase64(encoder.encode(`\0${user}\0${password}`)),
        reply: async () => '',
        verify: async () => {},
    };
}

class Scram {
    #hash;
    #password;
    #bare;
    #nonce = toBase64(crypto.getRandomValues(new Uint8Array(18)));
    #signature = '';

    constructor(mechanism, user, password) {
        this.#hash = HASHES.get(mechanism);
        this.#password = encoder.encode(prepare(password));
        const name = prepare(user).replaceAll('=', '=3D').replaceAll(',', '=2C');
        this.#bare = `n=${name},r=${this.#nonce}`;
    }

    /** No channel binding: a WebSocket has none. */
    get first() {
        return toBase64(encoder.encode(`n,,${this.#bare}`));
    }

    async reply(challenge) {
        const text = fromBase64(challenge);
        const { m, r = '', s = '', i = '' } = attributes(text);
        const rounds = Number(i);
        if (m !== undefined) throw new SaslError('an unknown extension of SCRAM');
        if (!r.startsWith(this.#nonce) || r === this.#nonce) throw new SaslError('a wrong nonce');
        if (!(s && Number.isInteger(rounds) && rounds > 0 && rounds <= MOST_ROUNDS)) {
            throw new SaslError(`a salt or a number of rounds that cannot be used: ${i}`);
        }
        const withoutProof = `c=${toBase64(encoder.encode('n,,'))},r=${r}`;
        const message = `${this.#bare},${text},${withoutProof}`;
        const salted = await this.#salted(bytes(s), rounds);
        const clientKey = await this.#hmac(salted, 'Client Key');
        const storedKey = new Uint8Array(await crypto.subtle.digest(this.#hash, clientKey));
        const proof = (await this.#hmac(storedKey, message)).map((byte, at) => byte ^ clientKey[at]);
        this.#signature = toBase64(await this.#hmac(await this.#hmac(salted, 'Server Key'), message));
        return toBase64(encoder.encode(`${withoutProof},p=${toBase64(proof)}`));
    }

    async verify(success) {
        const { v } = attributes(fromBase64(success));
        if (!this.#signature || v !== this.#signature)
            throw new SaslError('a wrong signature: it may not know the password');
    }

    async #salted(salt, iterations) {
        const key = await crypto.subtle.importKey('raw', this.#password, 'PBKDF2', false, ['deriveBits']);
        const bits = { 'SHA-1': 160, 'SHA-256': 256, 'SHA-512': 512 }[this.#hash];
        return new Uint8Array(
            await crypto.subtle.deriveBits({ name: 'PBKDF2', hash: this.#hash, salt, iterations }, key, bits),
        );
    }

    async #hmac(key, text) {
        const imported = await crypto.subtle.importKey('raw', key, { name: 'HMAC', hash: this.#hash }, false, ['sign']);
        return new Uint8Array(await crypto.subtle.sign('HMAC', imported, encoder.encode(text)));
    }
}

/** `text` as SASLprep prepares it (RFC 4013 section 2): mapped and normalised. Prohibited characters are left. */
export function prepare(text) {
    return text
        .replace(/[\u00ad\u034f\u1806\u180b-\u180d\u200b-\u200d\u2060\ufe00-\ufe0f\ufeff]/gu, '')
        .replace(/[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/gu, ' ')
        .normalize('NFKC');
}

/** `a=1,b=2` as an object. */
function attributes(text) {
    return Object.fromEntries(text.split(',').map((part) => [part[0], part.slice(2)]));
}

function toBase64(data) {
    return btoa(String.fromCharCode(...data));
}

function bytes(base64) {
    try {
        return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    } catch {
        throw new SaslError('text that is not base64');
    }
}

function fromBase64(base64) {
    return new TextDecoder().decode(bytes(base64));
}
