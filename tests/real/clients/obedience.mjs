// A user who says what he hears and does what he is told to: what other stanzas in between do to a client library
// shows in that. For `login` see scenario.mjs; the orders are the bodies of messages:
//   join ROOM/NICK     enter a room
//   archive            ask for one's own archive
//   lose               lose the network without a Close frame, and resume the session
//   leave              leave, and end the program

import assert from 'node:assert/strict';
import { parameters, step } from './wire.mjs';

const orders = {
    join: (user, room) => user.join(room),
    archive: async (user) => step('archive', { count: await user.archive() }),
    async lose(user) {
        const lost = user.wire();
        lost.terminate();
        assert.equal((await lost.closed).code, 1006);
        step('resumed', { resumed: await user.resume() });
    },
    async leave(user) {
        const last = user.wire();
        await user.disconnect();
        const { code, reason } = await last.closed;
        assert.ok(code === 1000 || code === 1005, `Close ${code} ${reason}`);
    },
};

export async function obedience(login) {
    const user = await login(parameters.bob, { resumable: true });
    step('login', { jid: user.jid });
    for (let order = ''; order !== 'leave'; ) {
        const { body } = await user.messages.next();
        step('heard', { body });
        let argument;
        [order, argument] = body.split(' ');
        await orders[order]?.(user, argument);
    }
}
