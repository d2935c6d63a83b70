// What every Node client shares: its parameters, one JSON line per step, and a WebSocket that keeps a copy of
// each frame, trusts the test CA and can be cut like a lost network.

import { readFileSync } from 'node:fs';
import assert from 'node:assert/strict';
import { DOMParser } from '@xmldom/xmldom';
import WebSocketOfWs from 'ws';

// {url, ca, mechanism: 'PLAIN' | 'SCRAM', alice: {user, password}, bob: {...}, domain, texts, limits, timeout}
export const parameters = JSON.parse(process.argv[2]);

const authority = parameters.ca ? readFileSync(parameters.ca) : undefined;

export class Wire extends WebSocketOfWs {
    static all = [];

    constructor(url, protocols) {
        super(url, protocols, { ca: authority, followRedirects: false });
        this.sent = [];
        this.received = [];
        this.on('message', (data, isBinary) => this.received.push(isBinary ? '<binary>' : data.toString()));
        this.closed = new Promise((resolve) => this.on('close', (code, reason) => resolve({ code, reason: String(reason) })));
        Wire.all.push(this);
    }

    send(data, ...rest) {
        this.sent.push(String(data));
        super.send(data, ...rest);
    }

    // Elements the peer opened or answered with, by the start of their tag.
    count(direction, start) {
        return this[direction].filter((frame) => frame.startsWith(start)).length;
    }

    mechanism() {
        const auth = this.sent.find((frame) => frame.startsWith('<auth'));
        return /mechanism=["']([^"']+)/.exec(auth)?.[1];
    }
}

export function step(name, details = {}) {
    console.log(JSON.stringify({ step: name, ...details }));
}

// RFC 7395 as a client depends on it, for everything this socket received.
export function checkFraming(wire) {
    assert.equal(wire.protocol, 'xmpp', 'subprotocol');
    for (const frame of wire.received) {
        assert.match(frame, /^<(?![?!])/, `a frame starts with an element: ${frame}`);
        const problems = [];
        const document = new DOMParser({ onError: (level, message) => problems.push(`${level}: ${message}`) }).parseFromString(
            frame,
            'text/xml',
        );
        assert.deepEqual(problems, [], frame);
        const root = document.documentElement;
        assert.ok(root.namespaceURI, `no namespace on ${frame}`);
        if (['message', 'presence', 'iq'].includes(root.localName)) {
            assert.equal(root.namespaceURI, 'jabber:client', frame);
        }
        assert.equal(root.getElementsByTagName('starttls').length, 0, `STARTTLS offered: ${frame}`);
        if (root.localName === 'open' || root.localName === 'close') {
            assert.equal(root.namespaceURI, 'urn:ietf:params:xml:ns:xmpp-framing', frame);
        }
        if (root.localName === 'features') {
            assert.ok(frame.startsWith('<stream:features'), frame);
        }
    }
}

// Stream opened, restarted after SASL, and answered both times.
export function checkRestart(wire) {
    assert.equal(wire.count('sent', '<open '), 2, 'streams opened by the client');
    assert.equal(wire.count('received', '<open '), 2, 'streams opened by the server');
    const success = wire.received.findIndex((frame) => frame.startsWith('<success'));
    const second = wire.received.findLastIndex((frame) => frame.startsWith('<open '));
    assert.ok(success >= 0 && success < second, 'the second <open/> comes after <success/>');
    assert.match(wire.received[second + 1], /<bind/, 'features of the restarted stream');
}

// In the features of both streams of a login, as this client has read them: the limits of wsgw (XEP-0478).
export function checkLimits(wire) {
    if (!parameters.limits) return;
    const features = wire.received.filter((frame) => frame.startsWith('<stream:features'));
    assert.deepEqual(features.map((frame) => /<max-bytes>(\d+)/.exec(frame)?.[1]), parameters.limits.map(String));
}

export function queue() {
    const values = [];
    const waiting = [];
    return {
        push(value) {
            const next = waiting.shift();
            next ? next(value) : values.push(value);
        },
        next() {
            return values.length ? Promise.resolve(values.shift()) : new Promise((resolve) => waiting.push(resolve));
        },
        get length() {
            return values.length;
        },
    };
}

// For libraries that tell a change of state by no event.
export async function until(condition) {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

export async function run(program) {
    const last = (frames) => frames.slice(-12).map((frame) => frame.slice(0, 300));
    const abort = (why) => {
        step('failed', {
            error: String(why?.stack ?? why),
            frames: Wire.all.map(({ sent, received }) => ({ sent: last(sent), received: last(received) })),
        });
        process.exit(1);
    };
    process.on('unhandledRejection', abort);
    process.on('uncaughtException', abort);
    setTimeout(() => abort(`not done within ${parameters.timeout} s`), parameters.timeout * 1000).unref();
    try {
        await program();
        step('done');
        process.exit(0);
    } catch (error) {
        abort(error);
    }
}
