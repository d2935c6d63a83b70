// strophe.js, the client library of Converse and Jitsi, under Node.

import { Strophe, $iq, $msg, $pres } from 'strophe.js';
import { MAM, MUC, RSM, play } from './play.mjs';
import { Wire, parameters, queue, run, until } from './wire.mjs';

globalThis.WebSocket = Wire;
Strophe.setLogLevel(Strophe.LogLevel.FATAL);

const { Status } = Strophe;
const mechanisms =
    parameters.mechanism === 'PLAIN'
        ? [Strophe.SASLPlain]
        : [Strophe.SASLSHA1, Strophe.SASLSHA256, Strophe.SASLSHA384, Strophe.SASLSHA512];

async function login({ user, password }, { resumable }) {
    const connection = new Strophe.Connection(parameters.url, { mechanisms, enableStreamManagement: resumable });
    const messages = queue();
    let wire;

    const connect = () =>
        new Promise((resolve, reject) => {
            connection.connect(`${user}@${parameters.domain}`, password, (status, condition) => {
                if (status === Status.CONNECTED) resolve();
                else if ([Status.CONNFAIL, Status.AUTHFAIL, Status.ERROR].includes(status)) {
                    reject(new Error(`strophe status ${status}: ${condition}`));
                }
            });
            wire = Wire.all.at(-1);
        });

    const listen = () => {
        connection.addHandler(
            (iq) => {
                connection.send($iq({ type: 'result', to: iq.getAttribute('from'), id: iq.getAttribute('id') }));
                return true;
            },
            'urn:xmpp:ping',
            'iq',
            'get',
        );
        connection.addHandler(
            (stanza) => {
                const body = [...stanza.childNodes].find((child) => child.nodeName === 'body');
                if (body) messages.push({ from: stanza.getAttribute('from'), body: body.textContent });
                return true;
            },
            null,
            'message',
        );
    };

    const query = (iq, milliseconds) =>
        new Promise((resolve, reject) => connection.sendIQ(iq, resolve, reject, milliseconds));

    await connect();
    listen();
    connection.send($pres());
    connection.flush();
    if (resumable) await until(() => connection.sm.enabled);

    return {
        messages,
        wire: () => wire,
        get jid() {
            return connection.jid;
        },
        send(to, body) {
            connection.send($msg({ to, type: 'chat' }).c('body').t(body));
            connection.flush();
        },
        async roster() {
            const answer = await query($iq({ type: 'get' }).c('query', { xmlns: Strophe.NS.ROSTER }));
            return answer.getElementsByTagName('item').length;
        },
        ping: (to, milliseconds) =>
            query($iq({ type: 'get', to }).c('ping', { xmlns: 'urn:xmpp:ping' }), milliseconds).then(
                (answer) => answer.getAttribute('type'),
                (answer) => answer?.getElementsByTagName('error')[0].firstElementChild.nodeName ?? 'silence',
            ),
        join: (room) => connection.send($pres({ to: room }).c('x', { xmlns: MUC })),
        async archive() {
            const found = [];
            const handler = connection.addHandler((stanza) => found.push(stanza), MAM, 'message');
            await query($iq({ type: 'set' }).c('query', { xmlns: MAM }).c('set', { xmlns: RSM }).c('max').t('100'));
            connection.deleteHandler(handler);
            return found.length;
        },
        async resume() {
            await until(() => !connection.connected);
            listen();
            await connect();
            return connection.hasResumed();
        },
        disconnect: async () => connection.disconnect('done'),
    };
}

await run(() => play(login));
