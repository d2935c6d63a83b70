// What the programs with a real browser share: headless Chromium with a profile of its own, a page that is served
// on loopback, and one JSON line per step.

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';

// {url, chromium, timeout, ...}; `https`: {host, port}, so that requests for https://host go to port on loopback;
// `hosts`: the hosts that pages may reach, next to 127.0.0.1
export const parameters = JSON.parse(process.argv[2]);

const quiet = [
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
];
const { https } = parameters;
const rules = https ? [`MAP ${https.host}:443 127.0.0.1:${https.port}`, `MAP ${https.host} 127.0.0.1`] : [];
const known = ['127.0.0.1', ...(parameters.hosts ?? [])].map((host) => `EXCLUDE ${host}`);
quiet.push(`--host-resolver-rules=${[...rules, 'MAP * ~NOTFOUND', ...known].join(', ')}`);
if (https) quiet.push('--ignore-certificate-errors');

// Chromium's own sandbox does not work for root.
const chromiumSandbox = process.getuid?.() !== 0;
if (!chromiumSandbox) quiet.push('--no-sandbox');
const options = {
    executablePath: parameters.chromium,
    headless: true,
    args: quiet,
    chromiumSandbox,
    timeout: parameters.timeout * 1000,
};

export function step(name, details = {}) {
    console.log(JSON.stringify({ step: name, ...details }));
}

// The port of a server on loopback, once it listens.
export function listening(server) {
    return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)));
}

// Calls `use(page, url)`; `find(pathname)` gives the page's files, as [content type, body].
async function withPage(find, use) {
    const server = createServer((request, response) => {
        const [type, body] = find(new URL(request.url, 'http://localhost').pathname) ?? [];
        response.writeHead(type ? 200 : 404, { 'content-type': type ?? 'text/plain' });
        response.end(body);
    });
    const port = await listening(server);
    const profile = mkdtempSync(path.join(tmpdir(), 'wsgw-chromium-'));
    const browser = await chromium.launchPersistentContext(profile, options);
    try {
        const page = await browser.newPage();
        page.on('pageerror', (error) => step('page error', { text: String(error).slice(0, 500) }));
        step('page', { version: browser.browser()?.version() });
        await use(page, `http://127.0.0.1:${port}/`);
    } finally {
        await browser.close();
        server.close();
        // Its last processes may still be putting something there.
        rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
    }
}

// Calls `use(browser)` with a browser that gives each context a separate profile.
async function withBrowser(use) {
    const browser = await chromium.launch(options);
    try {
        await use(browser);
    } finally {
        await browser.close();
    }
}

export function run(find, use) {
    return play(() => withPage(find, use));
}

export function runInBrowser(use) {
    return play(() => withBrowser(use));
}

async function play(scene) {
    setTimeout(() => {
        step('failed', { error: `not done within ${parameters.timeout} s` });
        process.exit(1);
    }, parameters.timeout * 1000).unref();
    try {
        await scene();
        step('done');
        process.exit(0);
    } catch (error) {
        step('failed', { error: String(error?.stack ?? error) });
        process.exit(1);
    }
}
