// The status page in a real browser. {url, token, scenes, users: [{jid, address}, ...]}: `scenes` names
// functions below, which run at the same time, each with a separate profile; the session of `jid` comes from `address`.

import assert from 'node:assert/strict';
import { fitsTheWindow, isAccessible } from './accessibility.mjs';
import { parameters, runInBrowser, step } from './chromium.mjs';

const { url, token, users } = parameters;
const wide = { viewport: { width: 1400, height: 900 } };
const phone = { viewport: { width: 360, height: 740 } };
// What Chromium reports as an error: a request without the token is a 401; a policy that counts only over TLS.
const expected = /status of 401|Cross-Origin-Opener-Policy header has been ignored/;
const complaints = [];

async function open(browser, path, options) {
    const context = await browser.newContext({ locale: 'en-GB', ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    page.on('console', (message) => message.type() === 'error' && !expected.test(message.text()) && complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(url + path);
    return page;
}

const drawn = (page) => page.locator('.plot .area path.line').first().waitFor();
const alert = (page) => page.getByRole('alert');

// The plots, their cursor by keyboard and pointer, and that the page stays up to date.
async function plots(browser) {
    const page = await open(browser, '/status', { ...wide, colorScheme: 'light' });
    await drawn(page);
    assert.equal(await page.locator('.plot').count(), 7);
    assert.equal(await page.locator('#steps').getAttribute('open'), null);
    const sessions = page.getByRole('slider', { name: 'Sessions', exact: true });
    const text = () => sessions.getAttribute('aria-valuetext');
    await sessions.focus();
    await page.keyboard.press('Home');
    const first = await text();
    assert.match(first, /^\d\d:\d\d:\d\d, all \d+, logged in \d+$/);
    await page.keyboard.press('ArrowRight');
    assert.notEqual(await text(), first);
    assert.equal(await page.locator('.cursor:not([hidden])').count(), 7);
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('.cursor:not([hidden])').count(), 0);
    const refused = page.getByRole('slider', { name: 'Connections refused, by reason' });
    assert.match(await refused.getAttribute('aria-valuetext'), /^last hour, max_connect_rate_per_ip \d+/);
    await refused.hover();
    assert.match(await refused.getAttribute('aria-valuetext'), /^minute of \d\d:\d\d, /);
    await isAccessible(page, 'light');
    step('plots');
    const fresh = await page.locator('#fresh time').getAttribute('datetime');
    await page.locator(`#fresh time:not([datetime="${fresh}"])`).waitFor();
    await sessions.focus();
    await page.waitForResponse((answer) => answer.url().includes('/history.json?after='));
    assert.ok(await sessions.evaluate((element) => element === document.activeElement), 'the focus is lost');
    // A tab that is hidden and shown again while it asks does not ask a second time.
    const atOnce = await page.evaluate(async () => {
        const { repeat } = await import('/status/refresh.js');
        let [running, most] = [0, 0];
        const work = async () => {
            running += 1;
            most = Math.max(most, running);
            await new Promise((done) => setTimeout(done, 50));
            running -= 1;
        };
        repeat(work, 600, () => {});
        document.dispatchEvent(new Event('visibilitychange'));
        return most;
    });
    assert.equal(atOnce, 1);
    step('refreshed');
}

// The page says when it is old.
async function old(browser) {
    const page = await open(browser, '/status', { ...wide, colorScheme: 'dark' });
    await drawn(page);
    await isAccessible(page, 'dark');
    await page.route('**/history.json*', (route) => route.abort());
    await alert(page).filter({ hasText: 'The gateway has not answered since' }).waitFor();
    complaints.splice(0, Infinity, ...complaints.filter((text) => !/ERR_FAILED/.test(text)));
    await page.unroute('**/history.json*');
    await alert(page).waitFor({ state: 'detached' });
    step('old');
}

// It asks nothing while its tab is hidden.
async function hidden(browser) {
    const page = await open(browser, '/status', wide);
    await drawn(page);
    const hide = (value) => page.evaluate((isHidden) => {
        Object.defineProperty(document, 'hidden', { value: isHidden, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    }, value);
    await hide(true);
    let asked = 0;
    page.on('request', () => { asked += 1; });
    await page.waitForTimeout(6000);
    assert.equal(asked, 0, 'a hidden page asks');
    await Promise.all([page.waitForResponse(/history\.json/), hide(false)]);
    step('hidden');
}

// On a phone, without a token: no session is shown.
async function small(browser) {
    const page = await open(browser, '/status', phone);
    await drawn(page);
    await fitsTheWindow(page, 'the status page');
    await isAccessible(page, 'phone');
    await page.getByText('As a table').click();
    await fitsTheWindow(page, 'the table');
    for (const path of ['/status/sessions', `/status/session?id=1`]) {
        await page.goto(url + path);
        await fitsTheWindow(page, path);
        await isAccessible(page, path);
        assert.ok(!(await page.content()).includes(users[0].address));
    }
    step('small');
}

// Without scripts everything is there as tables.
async function plain(browser) {
    const page = await open(browser, '/status', { ...wide, javaScriptEnabled: false });
    await page.getByRole('region', { name: 'The last hour in steps of five minutes' }).locator('tbody tr').nth(11).waitFor();
    assert.equal(await page.locator('.plot').count(), 0);
    await page.getByRole('link', { name: 'Sessions' }).click();
    await findAndTrace(page, users[0]);
    await page.getByRole('button', { name: 'Stop the trace' }).click();
    await page.getByText('no longer traced').waitFor();
    step('plain');
}

// With the token: a wrong one first; the table, one session, its trace.
async function findAndTrace(page, { jid, address }) {
    await page.getByLabel('Token').fill('a token of another listener');
    await page.getByRole('button', { name: 'Log in' }).click();
    await alert(page).filter({ hasText: 'not the token' }).waitFor();
    await page.getByLabel('Token').fill(token);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByLabel('JID, address').fill(address);
    await page.getByRole('button', { name: 'Search' }).click();
    await page.getByRole('heading', { name: '1 session found' }).waitFor();
    await page.getByRole('row', { name: jid }).getByRole('link').click();
    await page.getByRole('heading', { name: jid }).waitFor();
    await page.getByRole('button', { name: 'Trace' }).click();
    await page.getByText('traced from now on').waitFor();
}

async function sessions(browser) {
    const page = await open(browser, '/status/sessions', { ...wide, colorScheme: 'dark' });
    await isAccessible(page, 'the login');
    await findAndTrace(page, users[1]);
    await isAccessible(page, 'a session');
    const left = await page.getByText(/for \d+ s more/).textContent();
    await page.getByText(/for \d+ s more/).filter({ hasNotText: left }).waitFor();
    await page.getByRole('link', { name: 'Sessions' }).click();
    await page.getByRole('row', { name: users[1].jid }).waitFor();
    await isAccessible(page, 'the table');
    await page.setViewportSize(phone.viewport);
    await fitsTheWindow(page, 'the table of sessions');
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.waitForURL(`${url}/status`);
    await page.goto(`${url}/status/sessions`);
    await page.getByLabel('Token').waitFor();
    step('sessions');
}

// From another machine, without TLS: the browser then says less about where a form comes from.
async function remote(browser) {
    const page = await open(browser, '/status/sessions', wide);
    await page.getByLabel('Token').fill(token);
    await page.getByRole('button', { name: 'Log in' }).click();
    await page.getByText('No session matches').waitFor();
    await page.getByRole('button', { name: 'Log out' }).click();
    await page.waitForURL(`${url}/status`);
    step('remote');
}

const known = { plots, old, hidden, small, plain, sessions, remote };

await runInBrowser(async (browser) => {
    await Promise.all(parameters.scenes.map((scene) => known[scene](browser)));
    assert.deepEqual(complaints, []);
});
