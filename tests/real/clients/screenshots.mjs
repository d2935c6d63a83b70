// The pictures of the documentation. {console, status, folder, hosts}: the addresses of the two pages of a running
// gateway, and the folder of the pictures.

import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { parameters, runInBrowser, step } from './chromium.mjs';

async function open(browser, url, options) {
    const page = await (await browser.newContext({ locale: 'en-GB', ...options })).newPage();
    page.setDefaultTimeout(10_000);
    await page.goto(url);
    return page;
}

async function save(page, name) {
    const file = path.join(parameters.folder, `${name}.png`);
    await page.screenshot({ path: file });
    step('picture', { file });
}

async function logIn(page, name) {
    await page.getByRole('button', { name: `Log in as ${name}` }).click();
    await page.locator('.contact-state').filter({ hasText: 'online' }).first().waitFor();
}

async function say(page, text) {
    await page.locator('#message').fill(text);
    await page.locator('#message').press('Enter');
    await page.locator('.message').filter({ hasText: text }).waitFor();
}

async function consoles(browser) {
    const alice = await open(browser, parameters.console, { viewport: { width: 1280, height: 760 } });
    const bob = await open(browser, parameters.console, {
        viewport: { width: 390, height: 760 },
        colorScheme: 'dark',
    });
    await alice.getByRole('button', { name: 'Log in as alice' }).click();
    await Promise.all([logIn(bob, 'bob'), alice.locator('.contact-state').filter({ hasText: /^online$/ }).waitFor()]);
    await alice.locator('.contact').first().click();
    await bob.locator('.contact').first().click();
    await say(alice, 'Hello Bob, does this arrive?');
    await say(bob, 'It does, over a WebSocket.');
    await say(alice, 'Then cut my connection and write on: nothing is lost.');
    await alice.locator('.message').filter({ hasText: 'delivered' }).nth(1).waitFor();
    await save(alice, 'console');
    await save(bob, 'console-dark');
}

runInBrowser(async (browser) => {
    mkdirSync(parameters.folder, { recursive: true });
    await consoles(browser);
    const status = await open(browser, parameters.status, { viewport: { width: 1280, height: 900 } });
    await status.locator('svg').first().waitFor();
    await save(status, 'status');
});
