// @xmpp/client logs in with SASL2 and Bind 2, and sends itself a message. With `resumes` it has then a lost network, and
// logs in by a token (FAST) and resumes its session with one request; the next time the session is gone.

import { client, xml } from '@xmpp/client';
import assert from 'node:assert/strict';
import { Wire, checkFraming, parameters, queue, run, step } from './wire.mjs';

globalThis.WebSocket = Wire;

// One stream, whose first request is the whole login: its mechanism, and the elements within it.
function loginOf(wire) {
    assert.equal(wire.count('sent', '<open '), 1, 'SASL2 restarts no stream');
    const request = wire.sent[1];
    assert.match(request, /^<authenticate /);
    const inline = [...request.matchAll(/<([a-z-]+) xmlns="([^"]+)"/g)].map(([, name, namespace]) => `${name} ${namespace}`);
    return { mechanism: /mechanism="([^"]+)"/.exec(request)[1], inline: inline.slice(1) };
}

await run(async () => {
    const { url, domain, alice, resumes } = parameters;
    const xmpp = client({ service: url, domain, username: alice.user, password: alice.password, resource: 'sasl2' });
    const messages = queue();
    const resumed = queue();
    xmpp.timeout = parameters.timeout * 1000;
    xmpp.reconnect.delay = 1;
    if (!resumes) xmpp.reconnect.stop();
    xmpp.on('error', (error) => step('error', { error: String(error) }));
    xmpp.on('stanza', (stanza) => stanza.is('message') && messages.push(stanza.getChildText('body')));
    xmpp.streamManagement.on('resumed', () => resumed.push(true));
    const talk = async (body) => {
        await xmpp.send(xml('message', { to: xmpp.jid.toString(), type: 'chat' }, xml('body', {}, body)));
        assert.equal(await messages.next(), body);
    };

    await xmpp.start();
    if (resumes) assert.equal(await messages.next(), 'sent together with the success');
    await talk('first');
    step('logged in', { jid: xmpp.jid.toString(), ...loginOf(Wire.all[0]) });
    if (resumes) {
        Wire.all[0].terminate();
        await resumed.next();
        assert.equal(await messages.next(), 'sent meanwhile');
        await talk('second');
        step('resumed', { jid: xmpp.jid.toString(), ...loginOf(Wire.all[1]) });
        Wire.all[1].terminate();
        assert.equal(await messages.next(), 'sent together with the success');
        await talk('third');
        step('began anew', { jid: xmpp.jid.toString(), ...loginOf(Wire.all[2]) });
    }
    xmpp.reconnect.stop();
    await xmpp.stop();
    Wire.all.forEach(checkFraming);
});
