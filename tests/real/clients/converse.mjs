// Converse in a real browser, as bob of obedience.mjs: headless Chromium loads its page, and a relay of bytes
// stands before the gateway, which can be cut like a lost network.

import { readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { listening, parameters, run, step } from './chromium.mjs';

// parameters: {url, chromium, domain, bob, timeout}; without `url` it finds the gateway by host-meta alone, and only
// logs in and out.
const types = { html: 'text/html; charset=utf-8', js: 'text/javascript; charset=utf-8', css: 'text/css', json: 'application/json' };
const here = fileURLToPath(new URL('.', import.meta.url));
const converse = fileURLToPath(new URL('../../../node_modules/converse.js/', import.meta.url));

function find(pathname) {
    const file = pathname === '/' ? path.join(here, 'converse.html') : path.join(converse, path.normalize(pathname));
    try {
        return [types[path.extname(file).slice(1)] ?? 'application/octet-stream', readFileSync(file)];
    } catch {
        return undefined;
    }
}

// Between the browser and the gateway; `cut` resets all connections there are.
async function startRelay(url) {
    const { port, pathname } = new URL(url);
    const pairs = new Set();
    const server = createServer((browser) => {
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
        ...(url ? { websocket_url: url } : {}),
        discover_connection_methods: !url,
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

async function play(page, url) {
    const relay = parameters.url ? await startRelay(parameters.url) : undefined;
    const [messages, connections, frames] = [queue(), queue(), []];
    page.on('console', (message) => message.type() === 'error' && step('console', { text: message.text().slice(0, 500) }));
    // Converse shows the logos of its sponsors: nothing is asked of another host.
    const known = ['', '127.0.0.1', parameters.https?.host];
    await page.route(({ hostname }) => !known.includes(hostname), (route) => route.abort());
    page.on('websocket', (socket) => step('websocket', { url: socket.url() }));
    page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => frames.push(String(payload))));
    await page.exposeFunction('heard', messages.push);
    await page.exposeFunction('connected', connections.push);
    await page.goto(url);
    await page.waitForFunction(() => window.converse);
    const { bob, domain } = parameters;
    await page.evaluate(begin, { url: relay?.url, jid: `${bob.user}@${domain}/converse`, password: bob.password });
    await connections.next();
    step('login', { jid: await page.evaluate(() => window.api.connection.get().jid) });
    if (relay) await obey(page, relay, messages, connections, frames);
    else await page.evaluate(() => window.api.user.logout());
}

await run(find, play);
