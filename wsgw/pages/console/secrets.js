// What no view may show: the content of logins, passwords of registrations, and tokens.

const SASL = 'urn:ietf:params:xml:ns:xmpp-sasl';
const SASL2 = 'urn:xmpp:sasl:2';

/** namespace → names of the elements whose text is secret */
const SECRET_TEXTS = {
    [SASL]: ['auth', 'response', 'challenge', 'success'],
    [SASL2]: ['initial-response', 'response', 'challenge', 'additional-data', 'task-data'],
    'jabber:iq:register': ['key'],
    'jabber:iq:auth': ['digest'],
};
/** Names of elements and attributes that are secret in each namespace: of accounts, rooms, services. */
const PASSWORD = 'password';
const SECRET_ATTRIBUTES = [PASSWORD, 'token'];

/** A copy of `root` in which `hidden(length)` replaces each secret; `length` is that of the secret. */
export function withoutSecrets(root, hidden) {
    const copy = root.cloneNode(true);
    for (const one of [copy, ...copy.querySelectorAll('*')]) {
        if (isSecret(one) && one.textContent) one.textContent = hidden(one.textContent.length);
        for (const name of SECRET_ATTRIBUTES) {
            if (one.hasAttribute(name)) one.setAttribute(name, hidden(one.getAttribute(name).length));
        }
    }
    return copy;
}

function isSecret(one) {
    // The success of SASL2 has the new address as a child; only that of SASL is data as a whole.
    if (one.localName === PASSWORD || SECRET_TEXTS[one.namespaceURI]?.includes(one.localName)) return true;
    // A form of registration (XEP-0077, XEP-0004).
    const field = one.localName === 'value' ? one.parentElement : null;
    return field?.getAttribute('type') === 'text-private' || field?.getAttribute('var') === PASSWORD;
}
