// The console: the login, and the views of the session that it starts.

import { ChatView } from './chat_view.js';
import { Chats } from './chat.js';
import { ConnectionView } from './connection_view.js';
import { ContactsView } from './contacts_view.js';
import { byId, isUsable, make } from './dom.js';
import { FramesView } from './frames_view.js';
import { Roster } from './roster.js';
import { Session } from './session.js';
import { causeText, condition, text, translate } from './texts.js';
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
    settings = await (await fetch('settings.json')).json();
    prepare();
} catch {
    fail(text('noSettings'));
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

function login(jid, password, resource = '') {
    if (!isSecureContext || (session && session.state !== 'offline')) return;
    const url = byId('url').value;
    if (!URL.canParse(url) || new URL(url).host !== location.host) {
        fail(text('otherOrigin', { origin: location.host }));
        return;
    }
    fail('');
    start(new Session(url, { jid, password, resource }), url);
}

function start(made, url) {
    session = made;
    connection.attach(session);
    const roster = new Roster(session);
    const chats = new Chats(session, (jid) => roster.isSeenBy(jid));
    const chat = new ChatView(chats, roster, () => choose(''));
    const contacts = new ContactsView(roster, choose);

    function choose(jid) {
        chat.show(jid);
        contacts.chosen(jid);
        drawTitle();
    }
    function drawTitle() {
        const count = contacts.unreadCount;
        document.title = `${count ? `(${count}) ` : ''}${parseJid(made.jid).bare} – ${text('title')}`;
    }

    const on = (event, handle) => made.addEventListener(event, ({ detail }) => handle(detail));
    on('frame', (frame) => frames.frame(frame));
    on('state', (state) => state === 'connecting' && frames.note(text('note.connecting', { url })));
    on('interrupted', (cause) => frames.note(`${text('note.interrupted')}. ${causeText(cause)}`));
    on('online', async () => {
        showCards('online');
        drawTitle();
        try {
            await roster.load();
        } catch (error) {
            byId('contacts-error').textContent = text('rosterFailed', { condition: condition(error.condition) });
        }
    });
    on('ended', (cause) => {
        frames.note(`${text('note.ended')}. ${causeText(cause)}`);
        document.title = text('title');
        showCards('offline');
    });
    chats.addEventListener('message', ({ detail: { jid, message } }) => {
        if (message.direction === 'down' && (jid !== chat.jid || document.hidden)) contacts.unread(jid);
        drawTitle();
    });
    made.connect();
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
