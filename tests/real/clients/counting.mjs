// @xmpp/client as many programs use it: the presence goes out as soon as it is online. It logs in as often as
// {times} says, each time waits for a message, and leaves.

import { client, xml } from '@xmpp/client';
import { Wire, parameters, run } from './wire.mjs';

globalThis.WebSocket = Wire;

async function login() {
    const xmpp = client({ service: parameters.url, domain: parameters.domain, username: 'alice', password: 'secret' });
    xmpp.reconnect.stop();
    xmpp.on('error', () => {});
    xmpp.on('online', () => void xmpp.send(xml('presence')));
    const heard = new Promise((resolve) => xmpp.on('stanza', (stanza) => stanza.is('message') && resolve()));
    await xmpp.start();
    await heard;
    await xmpp.stop();
}

await run(async () => {
    for (let time = 0; time < parameters.times; time += 1) await login();
});
