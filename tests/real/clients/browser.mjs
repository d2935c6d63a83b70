// Two users in a real browser: headless Chromium loads a page with strophe.js and logs both in.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parameters, run, step } from './chromium.mjs';

// parameters: {url, chromium, mechanism, domain, alice, bob, texts, timeout}
const read = (name) => readFileSync(fileURLToPath(new URL(name, import.meta.url)));
const files = {
    '/': ['text/html; charset=utf-8', read('page.html')],
    '/strophe.js': ['text/javascript; charset=utf-8', read('../../../node_modules/strophe.js/dist/strophe.umd.min.js')],
};

async function talk(page) {
    const { alice, bob, domain, texts, url, mechanism } = parameters;
    const login = (name, { user, password }) =>
        page.evaluate(
            ([name, url, mechanism, jid, password]) => {
                window[name] = new Chat(url, mechanism);
                return window[name].login(jid, password);
            },
            [name, url, mechanism, `${user}@${domain}`, password],
        );
    const aliceJid = await login('alice', alice);
    const bobJid = await login('bob', bob);
    step('login', { aliceJid, bobJid });

    for (const text of texts) {
        await page.evaluate(([to, text]) => alice.say(to, text), [bobJid, text]);
        assert.deepEqual(await page.evaluate(() => bob.next()), { from: aliceJid, body: text });
        await page.evaluate(([to, text]) => bob.say(to, text), [aliceJid, text]);
        assert.deepEqual(await page.evaluate(() => alice.next()), { from: bobJid, body: text });
    }
    step('messages', { count: 2 * texts.length });

    const { sent, received } = await page.evaluate(() => ({ sent: alice.sent, received: alice.received }));
    const used = /mechanism=["']([^"']+)/.exec(sent.find((text) => text.startsWith('<auth')))[1];
    assert.ok(mechanism === 'PLAIN' ? used === 'PLAIN' : used.startsWith('SCRAM-'), used);
    assert.equal(received.filter((text) => text.includes('<open ')).length, 2, 'restarted after SASL');
    step('mechanism', { used });
    await page.evaluate(() => (alice.leave(), bob.leave()));
    await page.waitForFunction(() => !alice.connection.connected && !bob.connection.connected);
    step('left');
}

await run(
    (pathname) => files[pathname],
    async (page, url) => {
        page.on('console', (message) => step('console', { text: message.text() }));
        await page.goto(url);
        await talk(page);
    },
);
