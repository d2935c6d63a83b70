// The round trip to the XMPP server and back.

import { element, NS } from './xml.js';

/** Errors that say nothing about the server's view of pings. */
const LOST = ['timeout', 'offline'];

/**
 * Milliseconds of a round trip, and how they were measured: by a ping (XEP-0199), or with a server that refuses
 * pings by a request for its count (XEP-0198). Throws RequestError.
 * @returns {Promise<{milliseconds: number, by: 'ping' | 'r'}>}
 */
export async function measure(session) {
    let begin = performance.now();
    try {
        await session.request('get', element(NS.ping, 'ping'), session.domain);
        return { milliseconds: performance.now() - begin, by: 'ping' };
    } catch (error) {
        if (LOST.includes(error.condition) || !session.management.isCounting) throw error;
    }
    begin = performance.now();
    await session.acknowledgement();
    return { milliseconds: performance.now() - begin, by: 'r' };
}
