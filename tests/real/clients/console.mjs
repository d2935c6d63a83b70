// The console in a real browser. {accounts: [{jid, password}, ...], scenes: [[name, url], ...], hosts}: each scene is a
// function below, which plays on the page at `url`.

import assert from 'node:assert/strict';
import { fitsTheWindow, isAccessible } from './accessibility.mjs';
import { parameters, runInBrowser, step } from './chromium.mjs';

const [alice, bob] = parameters.accounts;
const english = { locale: 'en-GB', viewport: { width: 1400, height: 900 } };
const complaints = [];

// A page in a separate profile; what the browser complains of, as of a broken policy, is kept.
async function open(browser, url, options = english) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(url);
    await page.locator('#version').filter({ hasText: /\d/ }).waitFor();
    return page;
}

function forgive(expected) {
    complaints.splice(0, complaints.length, ...complaints.filter((text) => !text.includes(expected)));
}

const focus = (page) => page.evaluate(() => document.activeElement.id);
const status = (page) => page.locator('#status');
const message = (page, text) => page.locator('.message').filter({ hasText: text });
const shows = (locator, text) => locator.filter({ hasText: text }).waitFor();

// With the keyboard only.
async function logIn(page, { jid, password }, labels = ['Address', 'Password']) {
    await page.getByLabel(labels[0], { exact: true }).focus();
    await page.keyboard.type(jid);
    await page.keyboard.press('Tab');
    await page.keyboard.type(password);
    await page.keyboard.press('Enter');
    await shows(status(page), `${jid}/`);
    assert.equal(await focus(page), 'contacts-title');
}

async function chatWith(page, jid) {
    await page.locator('.contact').filter({ hasText: jid }).focus();
    await page.keyboard.press('Enter');
}

async function say(page, text) {
    await page.locator('#message').focus();
    await page.keyboard.type(text);
    await page.keyboard.press('Enter');
}

// Two pages become contacts, chat, lose a connection and resume; `check` gets a page in the states on the way.
async function chat(browser, url, check = () => {}) {
    const one = await open(browser, url);
    const other = await open(browser, url);
    await logIn(one, alice);
    await logIn(other, bob);
    await shows(one.locator('#round-trip'), /by ping/);
    step('login', { mechanism: await one.locator('#mechanism').textContent() });

    if (!(await one.locator('.contact').count())) {
        await one.getByLabel('Add a contact').fill(bob.jid);
        await one.getByLabel('Add a contact').press('Enter');
        await other.getByRole('button', { name: 'Accept' }).click();
        await one.getByRole('button', { name: 'Accept' }).click();
        step('contacts');
    }
    await shows(one.locator('.contact-state'), /^online$/);
    await chatWith(one, bob.jid);
    await say(one, 'over <wsgw> & back');
    await shows(other.getByLabel('1 unread'), '1');
    await chatWith(other, alice.jid);
    await shows(message(one, 'over <wsgw> & back'), '✓✓ delivered');
    await say(other, 'heard');
    await message(one, 'heard').waitFor();
    step('chat');

    await one.getByRole('button', { name: 'Cut the connection' }).press('Enter');
    await shows(status(one), 'The connection is lost');
    assert.equal(await focus(one), 'resume-now');
    await say(other, 'while it was cut');
    await say(one, 'written in the dark');
    await shows(message(one, 'written in the dark'), 'waits for the connection');
    await shows(message(other, 'while it was cut'), /✓ at the server/);
    await check(one, 'interrupted');
    await one.getByRole('button', { name: 'Resume now' }).press('Enter');
    await shows(status(one), 'the session was resumed');
    assert.equal(await focus(one), 'cut');
    await message(one, 'while it was cut').waitFor();
    await message(other, 'written in the dark').waitFor();
    await shows(message(one, 'written in the dark'), '✓✓ delivered');
    await shows(message(other, 'while it was cut'), '✓✓ delivered');
    const resent = one.locator('#resumption div', { hasText: 'Sent again by this page' });
    assert.match(await resent.textContent(), /[1-9]\d*$/);
    step('resumed', { shown: await one.locator('#resumption').innerText() });

    // The XML view has every message, and no secret.
    const xml = await one.locator('#frames').innerText();
    for (const part of [
        '<open',
        '<auth',
        'mechanism=',
        '<resume',
        '<body>written in the dark</body>',
        '↑ to the server',
        '↓ from the server',
    ]) {
        assert.ok(xml.includes(part), part);
    }
    assert.match(xml, /<auth [^>]*>\(\d+ characters hidden\)<\/auth>/);
    assert.ok(!xml.includes(alice.password) && !xml.includes('n,,n='));
    await check(one, 'online');
    await one.getByRole('button', { name: 'Log out' }).press('Enter');
    await shows(one.locator('#cause'), 'You have logged out');
    assert.equal(await focus(one), 'login-title');
    await shows(other.locator('.contact-state'), /^offline$/);
    step('left');
}

// Light and dark, Russian on a phone, a wrong password, a paused view.
async function look(browser, url) {
    const dark = await open(browser, url, { ...english, colorScheme: 'dark' });
    await isAccessible(dark, 'dark, offline');
    await logIn(dark, alice);
    await isAccessible(dark, 'dark, online');
    await dark.getByRole('button', { name: 'Pause' }).click();
    await dark.getByRole('button', { name: 'Measure round trip' }).click();
    await shows(dark.locator('#frame-count'), /^[1-9]\d* waiting$/);
    await dark.getByRole('button', { name: 'Continue' }).click();
    await shows(dark.locator('#frame-count'), 'shown');
    step('dark');

    const phone = await open(browser, url, { locale: 'ru-RU', viewport: { width: 360, height: 740 } });
    assert.equal(await phone.locator('html').getAttribute('lang'), 'ru');
    await fitsTheWindow(phone, 'the login');
    await isAccessible(phone, 'light, offline');
    await logIn(phone, bob, ['Адрес', 'Пароль']);
    await shows(status(phone), 'В сети как');
    await chatWith(phone, alice.jid);
    await say(phone, 'Привет');
    await shows(message(phone, 'Привет'), '✓✓ доставлено');
    await fitsTheWindow(phone, 'the chat');
    await isAccessible(phone, 'light, online');
    step('phone');

    const wrong = await open(browser, url);
    await wrong.getByLabel('Address', { exact: true }).fill(alice.jid);
    await wrong.getByLabel('Password', { exact: true }).fill('wrong');
    await wrong.getByLabel('Password', { exact: true }).press('Enter');
    await shows(wrong.locator('#cause'), 'Name or password are wrong.');
    await isAccessible(wrong, 'refused');
    step('refused');
}

const framing = "xmlns='urn:ietf:params:xml:ns:xmpp-framing'";
const streams = "xmlns:stream='http://etherx.jabber.org/streams'";

// What a server answers to the first message, and the words that the page finds for it.
const answers = [
    [[`<close ${framing} see-other-uri='wss://other.example/ws'/>`], 'does not follow: wss://other.example/ws'],
    [
        [
            `<stream:error ${streams}><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>`,
            `<close ${framing}/>`,
        ],
        'Stream error host-unknown. The domain is not served here.',
    ],
    [
        [
            `<stream:features ${streams}><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>` +
                '<mechanism>EXTERNAL</mechanism></mechanisms></stream:features>',
        ],
        'no login that this page knows: EXTERNAL',
    ],
    [[3000], 'closed with code 3000 gone: a code without a known meaning.'],
];

// Every error has its words; a server that refuses pings is measured by its count.
async function words(browser, url) {
    const page = await open(browser, url);
    let play = null;
    await page.routeWebSocket(/ws-xmpp/, (socket) => play(socket));
    for (const [messages, expected] of answers) {
        play = (socket) =>
            socket.onMessage((sent) => {
                if (sent.includes('<close')) socket.close({ code: 1000 });
                if (!sent.includes('<open')) return;
                socket.send(`<open ${framing} id='1' version='1.0'/>`);
                for (const one of messages) {
                    if (one === 3000) socket.close({ code: 3000, reason: 'gone' });
                    else socket.send(one);
                }
            });
        await page.getByRole('button', { name: 'Log in as alice' }).click();
        await shows(page.locator('#cause'), expected);
        await shows(status(page), 'Not connected.');
    }
    step('words');

    // A server that does not know the password cannot sign.
    const between = (change) => (socket) => {
        const server = socket.connectToServer();
        server.onMessage((received) => socket.send(change(received) ?? received));
    };
    play = between((received) => received.replace(/(<success[^>]*>)[^<]*/, '$1dj1hYWFh'));
    await page.getByRole('button', { name: 'Log in as alice' }).click();
    await shows(page.locator('#cause'), 'a wrong signature');

    play = (socket) => {
        const server = socket.connectToServer();
        socket.onMessage((sent) => {
            const id = sent.includes('urn:xmpp:ping') && /id="([^"]+)"/.exec(sent)[1];
            if (!id) server.send(sent);
            else socket.send(`<iq xmlns='jabber:client' type='error' id='${id}' from='localhost'/>`);
        });
    };
    await page.getByRole('button', { name: 'Log in as alice' }).click();
    await shows(page.locator('#round-trip'), 'by <r/> (XEP-0198)');
    step('measured');

    await chatWith(page, bob.jid);
    await page.getByRole('button', { name: 'Remove the contact' }).click();
    await page.locator('#no-contacts').waitFor();
    await shows(page.locator('#choose-contact'), 'Choose a contact');
    step('removed');
    // The stand-in for a server may close while the page still sends.
    forgive('already in CLOSING');
}

// Elements with a secret, in each form that a client can meet.
const secrets = [
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>SECRET</auth>",
    "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>SECRET</challenge>",
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>SECRET</response>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>SECRET</success>",
    "<authenticate xmlns='urn:xmpp:sasl:2'><initial-response>SECRET</initial-response></authenticate>",
    "<challenge xmlns='urn:xmpp:sasl:2'>SECRET</challenge>",
    "<success xmlns='urn:xmpp:sasl:2'><additional-data>SECRET</additional-data>" +
        "<authorization-identifier>a@b</authorization-identifier><token xmlns='urn:xmpp:fast:0' token='SECRET'/></success>",
    "<iq><query xmlns='jabber:iq:register'><username>a</username><password>SECRET</password></query></iq>",
    "<iq><query xmlns='jabber:iq:auth'><password>SECRET</password><digest>SECRET</digest></query></iq>",
    "<iq><x xmlns='jabber:x:data'><field var='password'><value>SECRET</value></field></x></iq>",
    "<iq><x xmlns='jabber:x:data'><field type='text-private' var='b'><value>SECRET</value></field></x></iq>",
    "<presence><x xmlns='http://jabber.org/protocol/muc'><password>SECRET</password></x></presence>",
    "<message><x xmlns='jabber:x:conference' jid='c@d' password='SECRET'/></message>",
    "<iq><services xmlns='urn:xmpp:extdisco:2'><service host='d' password='SECRET'/></services></iq>",
    "<next xmlns='urn:xmpp:sasl:2'><task-data>SECRET</task-data></next>",
];

// The modules of the page by themselves: no secret is shown, and passwords are prepared as RFC 4013 section 3 does.
async function modules(browser, url) {
    const page = await open(browser, url);
    const shown = await page.evaluate(async (elements) => {
        const { withoutSecrets } = await import('./secrets.js');
        const { parse, serialise } = await import('./xml.js');
        return elements.map((one) => serialise(withoutSecrets(parse(one), (length) => `[${length}]`)));
    }, secrets);
    for (const one of shown) assert.ok(!one.includes('SECRET') && one.includes('[6]'), one);
    assert.ok(shown.some((one) => one.includes('a@b')));
    const prepared = await page.evaluate(async () => {
        const { prepare } = await import('./sasl.js');
        return ['I\u00adX', 'user', 'USER', '\u00aa', '\u2168', 'a\u00a0b'].map(prepare);
    });
    assert.deepEqual(prepared, ['IX', 'user', 'USER', 'a', 'IX', 'a b']);
    const stale = await page.evaluate(async () => {
        const { element, NS, parse } = await import('./xml.js');
        const { Roster } = await import('./roster.js');
        const items = [element(NS.roster, 'item', { jid: 'c@d', subscription: 'both' })];
        const session = Object.assign(new EventTarget(), {
            jid: 'a@b/c',
            requests: { answers: new Map() },
            request: async () => element(NS.roster, 'query', {}, ...items.splice(0)),
            send: () => {},
        });
        const roster = new Roster(session);
        const known = () => [roster.contacts.size, roster.presenceOf('c@d').show];
        await roster.load();
        const detail = parse("<presence xmlns='jabber:client' from='c@d/e'/>");
        session.dispatchEvent(new CustomEvent('stanza', { detail }));
        const first = known();
        await roster.load();
        return [first, known()];
    });
    assert.deepEqual(stale, [
        [1, 'online'],
        [0, 'offline'],
    ]);
    const error = "<message><parsererror xmlns='http://www.w3.org/1999/xhtml'/></message>";
    assert.ok(await page.evaluate(async (text) => (await import('./xml.js')).parse(text) !== null, error));
    const malformed = await page.evaluate(async () => (await import('./xml.js')).parse('<a><b></a>'));
    assert.equal(malformed, null);
    // The browser's own element for malformed XML has a style, which the policy does not apply.
    forgive('Applying inline style');
    step('modules');
}

// A page that is left open for days: what it keeps is bounded, and it says goodbye once.
async function days(browser, url) {
    const page = await open(browser, url);
    const sent = [];
    let send = null;
    await page.routeWebSocket(/ws-xmpp/, (socket) => {
        const server = socket.connectToServer();
        send = (text) => socket.send(text);
        socket.onMessage((text) => {
            sent.push(text);
            server.send(text);
        });
    });
    const count = (begin) => sent.filter((text) => text.startsWith(begin)).length;
    await page.getByRole('button', { name: 'Log in as alice' }).click();
    await shows(page.locator('#round-trip'), /by ping/);
    await chatWith(page, bob.jid);
    for (let number = 0; number < 40; number += 1) {
        const ping = "<ping xmlns='urn:xmpp:ping'/>";
        send(`<iq xmlns='jabber:client' type='get' id='p${number}' from='localhost'>${ping}</iq>`);
    }
    const hidden = '&#x202E;'; // turns the direction of what follows
    for (let number = 0; number < 510; number += 1) {
        const body = `<body>${hidden}number ${number}</body>`;
        send(`<message xmlns='jabber:client' type='chat' id='m' from='${bob.jid}/x'>${body}</message>`);
    }
    await message(page, 'number 509').waitFor();
    assert.equal(await page.locator('.message').count(), 500);
    await page.locator('.frame', { hasText: `${hidden}number 509</body>` }).waitFor();
    assert.ok(count('<r ') >= 2, 'the answers to pings are acknowledged');
    await page.getByRole('button', { name: 'Log out' }).click();
    await shows(page.locator('#cause'), 'You have logged out');
    assert.equal(count('<close'), 1);
    step('days');
}

// https:// from another machine: as on loopback.
async function secure(browser, url) {
    const page = await open(browser, url);
    await page.getByRole('button', { name: 'Log in as alice' }).click();
    await shows(status(page), `Online as ${alice.jid}/`);
    await shows(page.locator('#mechanism'), 'SCRAM-SHA-256');
    step('online');
}

// http:// from another machine: the page explains why it takes no password, and sends nothing.
async function insecure(browser, url) {
    const page = await open(browser, url);
    let sockets = 0;
    page.on('websocket', () => (sockets += 1));
    await shows(page.locator('#insecure'), 'a password would cross the network unencrypted');
    await shows(page.locator('#insecure-fix'), 'ssh -L');
    for (const name of ['Address', 'Password']) assert.ok(await page.getByLabel(name, { exact: true }).isDisabled());
    assert.ok(await page.getByRole('button', { name: 'Log in', exact: true }).isDisabled());
    await isAccessible(page, 'insecure');
    assert.equal(sockets, 0);
    // The browser ignores this header where it trusts no origin, and says so.
    forgive('Cross-Origin-Opener-Policy');
    step('explained');
}

const accessibleChat = (browser, url) => chat(browser, url, isAccessible);

const scenes = { chat, accessibleChat, look, words, modules, days, secure, insecure };
await runInBrowser(async (browser) => {
    for (const [name, url] of parameters.scenes) {
        await scenes[name](browser, url);
        assert.deepEqual(complaints, [], name);
    }
});
