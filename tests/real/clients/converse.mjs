// Converse in a real browser, as bob of obedience.mjs: headless Chromium loads its page, and a relay of bytes
// stands before the gateway, which can be cut like a lost network.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, createServer as createRelay } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

// {url, chromium, domain, bob, timeout}
const parameters = JSON.parse(process.argv[2]);
const here = path.dirname(fileURLToPath(import.meta.url));
const converse = fileURLToPath(new URL('../../../node_modules/converse.js/', import.meta.url));
const types = { html: 'text/html; charset=utf-8', js: 'text/javascript; charset=utf-8', css: 'text/css', json: 'application/json' };
const switches = [
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
];

function step(name, details = {}) {
    console.log(JSON.stringify({ step: name, ...details }));
}

function listening(server) {
    return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));
}

function answer(request, response) {
    const { pathname } = new URL(request.url, 'http://localhost');
    const file = pathname === '/' ? path.join(here, 'converse.html') : path.join(converse, path.normalize(pathname));
    try {
        const body = readFileSync(file);
        response.writeHead(200, { 'content-type': types[path.extname(file).slice(1)] ?? 'application/octet-stream' });
        response.end(body);
    } catch {
        response.writeHead(404);
        response.end();
    }
}

// Between the browser and the gateway; `cut` resets all connections there are.
async function startRelay(url) {
    const { port, pathname } = new URL(url);
    const pairs = new Set();
    const server = createRelay((browser) => {
        const gateway = connect(Number(port), '127.0.0.1');
        pairs.add(browser).add(gateway);
        for (const [from, to] of [[browser, gateway], [gateway, browser]]) {
            from.on('error', () => to.destroy());
            from.on('close', () => (pairs.delete(from), to.destroy()));
            from.pipe(to);
        }
    });
    return {
        url: `ws://127.0.0.1:${await listening(server)}${pathname}`,
        cut: () => pairs.forEach((socket) => socket.resetAndDestroy()),
    };
}

// In the page: log in, and tell of each message, and of each connection made.
function begin({ url, jid, password }) {
    window.converse.plugins.add('witness', {
        initialize() {
            const { api } = this._converse;
            const listen = () =>
                api.connection.get().addHandler((stanza) => {
                    const body = [...stanza.children].find((child) => child.nodeName === 'body');
                    if (body) window.heard({ body: body.textContent, from: stanza.getAttribute('from') });
                    return true;
                }, null, 'message');
            api.listen.on('connected', () => (listen(), window.connected()));
            api.listen.on('reconnected', () => (listen(), window.connected()));
            window.api = api;
        },
    });
    return window.converse.initialize({
        whitelisted_plugins: ['witness'],
        blacklisted_plugins: ['converse-omemo', 'converse-omemo-views'],
        authentication: 'login',
        auto_login: true,
        jid,
        password,
        websocket_url: url,
        discover_connection_methods: false,
        allow_non_roster_messaging: true,
        archived_messages_page_size: 100,
        muc_history_max_stanzas: 100,
        assets_path: '/dist/',
        view_mode: 'fullscreen',
        loglevel: 'error',
        i18n: 'en',
        play_sounds: false,
        show_desktop_notifications: false,
    });
}

async function obey(page, relay, messages, connections, frames) {
    const orders = {
        join: ([room, nick]) => page.evaluate(([room, nick]) => window.api.rooms.open(room, { nick }), [room, nick]),
        async archive() {
            const before = frames.length;
            await page.evaluate(() => window.api.archive.query({ rsm: { max: '100' } }));
            const results = frames.slice(before).filter((frame) => /^<message[^>]*><result /.test(frame));
            step('archive', { count: results.length });
        },
        async lose() {
            relay.cut();
            await connections.next();
            step('resumed', { resumed: frames.some((frame) => frame.startsWith('<resumed')) });
        },
        async leave(_, contact) {
            const kept = () =>
                page.evaluate(async (contact) => {
                    const chat = await window.api.chats.get(contact);
                    return chat.messages.map((message) => message.get('body'));
                }, contact);
            let texts = [];
            while (!texts.includes('leave')) texts = await kept();
            step('kept', { texts });
            page.removeAllListeners('pageerror'); // it logs out while it still asks for vCards
            await page.evaluate(() => window.api.user.logout());
        },
    };
    for (let order = ''; order !== 'leave'; ) {
        const { body, from } = await messages.next();
        step('heard', { body });
        let argument;
        [order, argument = ''] = body.split(' ');
        await orders[order]?.(argument.split('/'), from.split('/')[0]);
    }
}

function queue() {
    const values = [];
    const waiting = [];
    return {
        push: (value) => void (waiting.shift() ?? ((late) => values.push(late)))(value),
        next: () => (values.length ? Promise.resolve(values.shift()) : new Promise((resolve) => waiting.push(resolve))),
    };
}

async function main() {
    const server = createServer(answer);
    const port = await listening(server);
    const relay = await startRelay(parameters.url);
    const profile = mkdtempSync(path.join(tmpdir(), 'wsgw-converse-'));
    // Chromium's own sandbox does not work for root.
    const sandbox = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
    const browser = await chromium.launchPersistentContext(profile, {
        executablePath: parameters.chromium,
        headless: true,
        args: [...switches, ...sandbox],
        chromiumSandbox: sandbox.length === 0,
        timeout: parameters.timeout * 1000,
    });
    try {
        const page = await browser.newPage();
        const [messages, connections, frames] = [queue(), queue(), []];
        page.on('console', (message) => message.type() === 'error' && step('console', { text: message.text().slice(0, 500) }));
        page.on('pageerror', (error) => step('page error', { text: String(error).slice(0, 500) }));
        // Converse shows the logos of its sponsors: nothing is asked of another host.
        await page.route(({ hostname }) => hostname && hostname !== '127.0.0.1', (route) => route.abort());
        page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => frames.push(String(payload))));
        await page.exposeFunction('heard', messages.push);
        await page.exposeFunction('connected', connections.push);
        await page.goto(`http://127.0.0.1:${port}/`);
        await page.waitForFunction(() => window.converse);
        const { bob, domain } = parameters;
        await page.evaluate(begin, { url: relay.url, jid: `${bob.user}@${domain}/converse`, password: bob.password });
        await connections.next();
        step('login', { jid: await page.evaluate(() => window.api.connection.get().jid) });
        await obey(page, relay, messages, connections, frames);
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
