// The console: the login, and the session that it starts.

import { ConnectionView } from './connection_view.js';
import { byId, isUsable, make } from './dom.js';
import { FramesView } from './frames_view.js';
import { Session } from './session.js';
import { text, translate } from './texts.js';
import { Workspace } from './workspace.js';
import { parseJid } from './xml.js';

/** The cards that are shown without a session, and with one. */
const CARDS = { offline: ['login-card', 'how-to'], online: ['contacts-card', 'chat-card'] };

translate(document);
const connection = new ConnectionView();
const frames = new FramesView();
/** @type {{version: string, websocket: string | null, hosts: string[], accounts: {jid: string, password: string}[]}} */
let settings = { version: '', websocket: null, hosts: [], accounts: [] };
/** @type {Session | null} */
let session = null;

showCards('offline');
try {
    const answer = await fetch('settings.json');
    if (!answer.ok) throw new Error(`settings.json: ${answer.status}`);
    settings = await answer.json();
    prepare();
} catch (error) {
    fail(text('noSettings'));
    console.error(error);
}

/** Fill the form for the login by the settings of this listener. */
function prepare() {
    byId('version').textContent = text('version', { version: settings.version });
    byId('hosts').textContent = text('hosts', { hosts: settings.hosts.join(', ') });
    byId('jid').placeholder = `name@${settings.hosts[0]}`;
    if (settings.websocket === null) fail(text('noWebSocket'));
    else byId('url').value = new URL(settings.websocket, location.href).href.replace(/^http/, 'ws');
    byId('demo').hidden = settings.accounts.length === 0;
    byId('accounts').replaceChildren(
        ...settings.accounts.map(({ jid, password }, index) =>
            make(
                'button',
                {
                    type: 'button',
                    class: index ? '' : 'primary',
                    disabled: !isSecureContext,
                    onclick: () => login(jid, password),
                },
                text('loginAs', { name: parseJid(jid).local }),
            ),
        ),
    );
    byId('login').addEventListener('submit', submit);
    if (!isSecureContext) warnOfInsecurity();
}

/** Without https on another machine there is no WebCrypto, and no password may leave this page. */
function warnOfInsecurity() {
    const { hostname: host, port, pathname: path } = location;
    byId('insecure').hidden = false;
    byId('insecure-fix').textContent = text('insecureFix', { host, port: port || '80', path });
    for (const field of byId('login').elements) field.disabled = true;
}

function submit(event) {
    event.preventDefault();
    const { local, domain } = parseJid(byId('jid').value);
    const jid = local ? `${local}@${domain}` : `${domain}@${settings.hosts[0]}`;
    login(jid, byId('password').value, byId('resource').value.trim());
    byId('password').value = '';
}

/** Log in, if no session runs and no password would leave the page in clear. */
function login(jid, password, resource = '') {
    if (!isSecureContext || (session && session.state !== 'offline')) return;
    const url = byId('url').value;
    if (!URL.canParse(url) || new URL(url).host !== location.host) {
        fail(text('otherOrigin', { origin: location.host }));
        return;
    }
    fail('');
    start(url, { jid, password, resource });
}

function start(url, credentials) {
    session = new Session(url, credentials);
    connection.attach(session);
    session.addEventListener('state', ({ detail }) => {
        if (detail === 'connecting') frames.note(text('note.connecting', { url }));
    });
    new Workspace(session, frames);
    session.addEventListener('online', () => showCards('online'));
    session.addEventListener('ended', () => showCards('offline'));
    session.connect();
}

function showCards(shown) {
    const hadFocus = document.activeElement !== document.body;
    for (const [name, ids] of Object.entries(CARDS)) for (const id of ids) byId(id).hidden = name !== shown;
    // The focus leaves a card or a button that is hidden now.
    if (hadFocus && !isUsable(document.activeElement)) byId(CARDS[shown][0]).querySelector('h2').focus();
}

function fail(words) {
    byId('login-error').textContent = words;
}

// A tab that is closed ends its session: the contacts see at once that the user has left.
addEventListener('pagehide', () => session?.close());
