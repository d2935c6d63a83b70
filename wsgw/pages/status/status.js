// The status page: adds the plots of the last hour, and keeps the page up to date.

import { Board, Columns, Plot } from './plots.js';
import { ask, refresh, repeat } from './refresh.js';
import { Samples } from './samples.js';
import { clock, localise } from './times.js';
import { trouble } from './trouble.js';

const EVERY = 5;
// The plots are old if the last sample is older than so many intervals.
const OLD = 4;

const samples = new Samples();
const milliseconds = (values) => values.map((value) => (value === null ? null : value * 1000));

function connecting() {
    const times = samples.column('connect_seconds');
    return samples.column('connects').map((count, place) => (count ? times[place] / count : null));
}

const board = new Board(document.getElementById('plots'), samples, [
    new Plot('Sessions', '', () => [
        { name: 'all', values: samples.column('sessions') },
        { name: 'logged in', values: samples.column('logged_in'), dashed: true },
    ], { whole: true }),
    new Plot('Logins', 'a second', () => [
        { name: 'successful', values: samples.rate('logins') },
        { name: 'failed', values: samples.rate('failed_logins'), dashed: true },
    ]),
    new Plot('Stanzas', 'a second', () => [
        { name: 'from clients', values: samples.rate('stanzas_from_client') },
        { name: 'to clients', values: samples.rate('stanzas_to_client'), dashed: true },
    ]),
    new Plot('Loop delay', 'ms', () => [
        { name: 'longest of all workers', values: milliseconds(samples.column('lag')) },
    ]),
    new Plot('Connect time', 'ms', () => [
        { name: 'mean, to the XMPP server', values: milliseconds(connecting()) },
    ]),
    new Columns('Sessions ended, by cause', 'ended', 'all others'),
    new Columns('Connections refused, by reason', 'refused', 'all others'),
]);

async function collect() {
    const found = await (await ask(`/history.json${samples.query}`)).json();
    if (!samples.add(found)) samples.add(await (await ask('/history.json')).json());
    board.draw();
}

// Without a new sample the plots do not show the present, even if the gateway answers.
function stale() {
    const last = samples.at.at(-1);
    const isOld = last && samples.now - last > OLD * samples.interval;
    return isOld ? `No worker has taken a sample since ${clock(last, true)}.` : '';
}

localise(document);
document.getElementById('steps').open = false;
repeat(() => Promise.all([collect(), refresh()]), EVERY, trouble(stale));
