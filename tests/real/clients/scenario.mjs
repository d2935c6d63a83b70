// What a user's client does in its life, the same for every client library. A library is given as
// `login(account, {resumable})`, which resolves to:
//   jid                full JID the server bound
//   wire()             the Wire of its present connection
//   send(to, body)     a chat message
//   messages           queue of {from, body}
//   roster()           resolves to the number of contacts
//   ping(jid, ms)      resolves to 'result', the error condition, or 'silence' after so many milliseconds
//   resume()           connect again; resolves to whether the server said <resumed/>
//   disconnect()       leave in the library's own clean way
// and, for obedience.mjs,
//   join(room)         enter a room, given as a full JID
//   archive()          resolves to how many messages the user's archive holds

import assert from 'node:assert/strict';
import { checkFraming, checkLimits, checkRestart, parameters, step } from './wire.mjs';

export async function scenario(login) {
    const { mechanism, texts } = parameters;
    const alice = await login(parameters.alice, { resumable: true });
    const used = alice.wire().mechanism();
    assert.ok(mechanism === 'PLAIN' ? used === 'PLAIN' : used.startsWith('SCRAM-'), `authenticated by ${used}`);
    checkRestart(alice.wire());
    step('login', { jid: alice.jid, mechanism: used });

    const bob = await login(parameters.bob, { resumable: false });
    checkRestart(bob.wire());
    checkLimits(bob.wire());
    assert.equal(await alice.roster(), 0);
    step('roster');

    for (const text of texts) {
        alice.send(bob.jid, text);
        assert.deepEqual(await bob.messages.next(), { from: alice.jid, body: text });
        bob.send(alice.jid, text);
        assert.deepEqual(await alice.messages.next(), { from: bob.jid, body: text });
    }
    step('messages', { count: 2 * texts.length });
    assert.equal(await bob.ping(alice.jid, 10_000), 'result');

    await resumption(alice, bob);
    await farewell(alice, bob);
}

// The network is lost without a Close frame, while both sides have something to say.
async function resumption(alice, bob) {
    const lost = alice.wire();
    const jid = alice.jid;
    alice.send(bob.jid, 'said just before the loss');
    lost.terminate();
    bob.send(jid, 'said during the loss');
    assert.equal((await lost.closed).code, 1006);
    step('lost');
    assert.equal(await alice.resume(), true, 'resumed');
    assert.notEqual(alice.wire(), lost);
    assert.equal(alice.jid, jid);
    step('resumed');
    assert.deepEqual(await alice.messages.next(), { from: bob.jid, body: 'said during the loss' });
    assert.deepEqual(await bob.messages.next(), { from: jid, body: 'said just before the loss' });
    bob.send(jid, 'after the loss');
    assert.deepEqual(await alice.messages.next(), { from: bob.jid, body: 'after the loss' });
    alice.send(bob.jid, 'after the loss');
    assert.deepEqual(await bob.messages.next(), { from: jid, body: 'after the loss' });
    assert.equal(alice.messages.length + bob.messages.length, 0, 'nothing arrives twice');
    checkFraming(lost);
}

// A clean end: <close/> is answered, the Close frame too, and the server knows that alice has left.
async function farewell(alice, bob) {
    const last = alice.wire();
    await alice.disconnect();
    const { code, reason } = await last.closed;
    assert.ok(code === 1000 || code === 1005, `Close ${code} ${reason}`);
    assert.equal(last.sent.filter((frame) => frame.startsWith('<close')).length, 1);
    checkFraming(last);
    step('left', { code });
    // Asked while the session is being closed, a server may let the question fall: ask again.
    while (['result', 'silence'].includes(await bob.ping(alice.jid, 300)));
    await bob.disconnect();
    const end = await bob.wire().closed;
    assert.ok(end.code === 1000 || end.code === 1005, `Close ${end.code} ${end.reason}`);
    checkFraming(bob.wire());
    step('both left', { code: end.code });
}
