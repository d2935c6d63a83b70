// The rules of accessibility that axe-core checks, on a page under a strict policy.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const source = readFileSync(
    fileURLToPath(new URL('../../../node_modules/axe-core/axe.min.js', import.meta.url)),
    'utf8',
);

// Fails with the rules that the page breaks, and the places. A script element would break the page's policy.
export async function isAccessible(page, what) {
    await page.evaluate(`window.axe === undefined && (() => { ${source} })()`);
    const broken = await page.evaluate(async () => {
        const { violations } = await axe.run(document, { resultTypes: ['violations'] });
        return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(' | ')}`);
    });
    assert.deepEqual(broken, [], what);
}

// Fails if the page is wider than the window.
export async function fitsTheWindow(page, what) {
    const [width, window] = await page.evaluate(() => [
        document.documentElement.scrollWidth,
        document.documentElement.clientWidth,
    ]);
    assert.ok(width <= window, `${what}: ${width} pixels in a window of ${window}`);
}
