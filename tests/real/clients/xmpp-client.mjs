// @xmpp/client, the promise-based client library, under Node.

import { client, xml } from '@xmpp/client';
import { MAM, MUC, RSM, play } from './play.mjs';
import { Wire, parameters, queue, run, until } from './wire.mjs';

globalThis.WebSocket = Wire;

// Its own count leaves out answers to its requests, and requests that it answers: after a resumption it would get
// the stanzas once more whose place those have taken.
function countEveryStanza(xmpp) {
    const { streamManagement } = xmpp;
    let handled = 0;
    xmpp.on('nonza', (element) => element.is('enabled', 'urn:xmpp:sm:3') && (handled = 0));
    xmpp.on('stanza', () => {
        handled += 1;
        if (streamManagement.enabled) streamManagement.inbound = handled;
    });
}

async function login({ user, password }, { resumable }) {
    const xmpp = client({
        service: parameters.url,
        domain: parameters.domain,
        credentials: (authenticate, mechanisms) =>
            authenticate(
                { username: user, password },
                mechanisms.find((name) => name.startsWith(parameters.mechanism)),
            ),
    });
    xmpp.timeout = parameters.timeout * 1000;
    const messages = queue();
    const resumed = queue();
    const offered = queue();
    let failure = null;

    xmpp.reconnect.delay = 1;
    if (!resumable) xmpp.reconnect.stop();
    xmpp.on('error', (error) => (failure = error));
    countEveryStanza(xmpp);
    xmpp.on('online', () => offered.push(true));
    xmpp.streamManagement.on('resumed', () => resumed.push(true));
    xmpp.on('stanza', (stanza) => {
        const body = stanza.is('message') && stanza.getChildText('body');
        if (body) messages.push({ from: stanza.attrs.from, body });
    });
    xmpp.iqCallee.get('urn:xmpp:ping', 'ping', () => true);

    await xmpp.start();
    if (failure) throw failure;
    let wire = Wire.all.at(-1);
    // It counts stanzas wrongly when <enabled/> and an ack request come at once, so let it be enabled first.
    await until(() => xmpp.streamManagement.enabled);
    await xmpp.send(xml('presence'));

    return {
        messages,
        wire: () => wire,
        get jid() {
            return xmpp.jid.toString();
        },
        send: (to, body) => void xmpp.send(xml('message', { to, type: 'chat' }, xml('body', {}, body))),
        async roster() {
            const answer = await xmpp.iqCaller.get(xml('query', 'jabber:iq:roster'));
            return answer.getChildren('item').length;
        },
        ping: (to, milliseconds) =>
            xmpp.iqCaller.request(xml('iq', { type: 'get', to }, xml('ping', 'urn:xmpp:ping')), milliseconds).then(
                () => 'result',
                (error) => error.condition ?? 'silence',
            ),
        join: (room) => void xmpp.send(xml('presence', { to: room }, xml('x', MUC))),
        async archive() {
            let found = 0;
            const count = (stanza) => (found += stanza.is('message') && stanza.getChild('result', MAM) ? 1 : 0);
            xmpp.on('stanza', count);
            await xmpp.iqCaller.set(xml('query', MAM, xml('set', RSM, xml('max', {}, 100))));
            xmpp.off('stanza', count);
            return found;
        },
        async resume() {
            // Its own reconnect module does it.
            const outcome = await Promise.race([resumed.next(), offered.next().then(() => offered.next()).then(() => false)]);
            wire = Wire.all.at(-1);
            return outcome;
        },
        async disconnect() {
            xmpp.reconnect.stop();
            await xmpp.stop();
        },
    };
}

await run(() => play(login));
