// XML as elements of the browser's own parser: building, reading, writing. No stanza is ever put together as text.

export const NS = {
    client: 'jabber:client',
    framing: 'urn:ietf:params:xml:ns:xmpp-framing',
    streams: 'http://etherx.jabber.org/streams',
    streamErrors: 'urn:ietf:params:xml:ns:xmpp-streams',
    stanzaErrors: 'urn:ietf:params:xml:ns:xmpp-stanzas',
    sasl: 'urn:ietf:params:xml:ns:xmpp-sasl',
    bind: 'urn:ietf:params:xml:ns:xmpp-bind',
    management: 'urn:xmpp:sm:3',
    roster: 'jabber:iq:roster',
    ping: 'urn:xmpp:ping',
    receipts: 'urn:xmpp:receipts',
};

/** The namespaces of `<parsererror/>`, by which Chromium and WebKit, and Firefox, say that XML is not well-formed. */
const ERRORS = ['http://www.w3.org/1999/xhtml', 'http://www.mozilla.org/newlayout/xml/parsererror.xml'];
const factory = document.implementation.createDocument(null, null);

/**
 * A new element. Attributes without a value are left out; a child is an element or a text.
 * @param {string} namespace
 * @param {string} name
 * @param {Record<string, string | number | undefined>} attributes
 * @param {...(Element | string)} children
 */
export function element(namespace, name, attributes = {}, ...children) {
    const made = factory.createElementNS(namespace, name);
    for (const [key, value] of Object.entries(attributes)) {
        if (value !== undefined && value !== '') made.setAttribute(key, String(value));
    }
    made.append(...children);
    return made;
}

/** The root element of `text`, or null if it is not well-formed. */
export function parse(text) {
    // The text itself may have such an element; a gateway sends only well-formed XML.
    const isOfThePeer = text.includes('parsererror');
    const root = new DOMParser().parseFromString(text, 'text/xml').documentElement;
    const signs = [root, root.firstElementChild];
    const isError = (one) => one?.localName === 'parsererror' && ERRORS.includes(one.namespaceURI);
    return !isOfThePeer && signs.some(isError) ? null : root;
}

/** The element as one XML document (RFC 7395 section 3.3.3: it has all its namespace declarations). */
export function serialise(root) {
    return new XMLSerializer().serializeToString(root);
}

/** Whether `one` is the element `name` of `namespace`; without a name, whether it is of that namespace. */
export function is(one, namespace, name) {
    return one?.namespaceURI === namespace && (name === undefined || one.localName === name);
}

/** The first child `name` of `namespace`, or undefined; without a name, the first child of that namespace. */
export function child(parent, namespace, name) {
    return [...(parent?.children ?? [])].find((one) => is(one, namespace, name));
}

/** The children `name` of `namespace`. */
export function children(parent, namespace, name) {
    return [...(parent?.children ?? [])].filter((one) => is(one, namespace, name));
}

/** The text of the first child `name`, or undefined without such a child. */
export function textOf(parent, namespace, name) {
    return child(parent, namespace, name)?.textContent;
}

/** A name that no other stanza of this page has. `crypto.randomUUID` exists only in secure contexts. */
export function uniqueName(prefix) {
    const bytes = crypto.getRandomValues(new Uint8Array(6));
    return `${prefix}-${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}

/** The parts of an address: localpart and resource are empty if it has none. */
export function parseJid(text) {
    const [bare, ...rest] = text.trim().split('/');
    const at = bare.indexOf('@');
    return { local: at < 0 ? '' : bare.slice(0, at), domain: bare.slice(at + 1), resource: rest.join('/'), bare };
}

/** The address without its resource. */
export function bareJid(text) {
    return parseJid(text).bare;
}
