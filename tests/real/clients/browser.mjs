// Two users in a real browser: headless Chromium loads a page with strophe.js and logs both in.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

// {url, chromium, mechanism, domain, alice, bob, texts, timeout}
const parameters = JSON.parse(process.argv[2]);
const here = path.dirname(fileURLToPath(import.meta.url));
const strophe = fileURLToPath(new URL('../../../node_modules/strophe.js/dist/strophe.umd.min.js', import.meta.url));
const files = {
    '/': ['text/html; charset=utf-8', readFileSync(path.join(here, 'page.html'))],
    '/strophe.js': ['text/javascript; charset=utf-8', readFileSync(strophe)],
};
const quiet = [
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
];

function step(name, details = {}) {
    console.log(JSON.stringify({ step: name, ...details }));
}

function serve() {
    const server = createServer((request, response) => {
        const [type, body] = files[request.url] ?? [];
        response.writeHead(type ? 200 : 404, { 'content-type': type ?? 'text/plain' });
        response.end(body);
    });
    return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

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

async function main() {
    const server = await serve();
    const profile = mkdtempSync(path.join(tmpdir(), 'wsgw-chromium-'));
    // Chromium's own sandbox does not work for root.
    const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
    const browser = await chromium.launchPersistentContext(profile, {
        executablePath: parameters.chromium,
        headless: true,
        args: [...quiet, ...sandbox],
        chromiumSandbox: sandbox.length === 0,
        timeout: parameters.timeout * 1000,
    });
    try {
        const page = await browser.newPage();
        page.on('console', (message) => step('console', { text: message.text() }));
        page.on('pageerror', (error) => step('page error', { text: String(error) }));
        await page.goto(`http://127.0.0.1:${server.address().port}/`);
        step('page', { version: browser.browser()?.version() });
        await talk(page);
    } finally {
        await browser.close();
        server.close();
        // Its last processes may still be putting something there.
        rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
    }
}

setTimeout(() => {
    step('failed', { error: `not done within ${parameters.timeout} s` });
    process.exit(1);
}, parameters.timeout * 1000).unref();

try {
    await main();
    step('done');
    process.exit(0);
} catch (error) {
    step('failed', { error: String(error?.stack ?? error) });
    process.exit(1);
}
