// The status page: adds the plots of the last hour, and keeps the page up to date.

import { Board, clock, Columns, Plot } from './plots.js';
import { ask, localise, refresh, repeat } from './refresh.js';
import { Samples } from './samples.js';

const EVERY = 5;
// The page is old if the last sample is older than so many intervals.
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
    new Plot('Time to connect to the XMPP server', 'ms', () => [
        { name: 'mean', values: milliseconds(connecting()) },
    ]),
    new Columns('Sessions ended, by cause', 'ended', 'all others'),
    new Columns('Connections refused, by reason', 'refused', 'all others'),
]);

async function collect() {
    const found = await (await ask(`/history.json${samples.query}`)).json();
    if (!samples.add(found)) samples.add(await (await ask('/history.json')).json());
    board.draw();
}

let answered = Date.now() / 1000;
const trouble = document.createElement('p');
trouble.className = 'notice bad';
trouble.setAttribute('role', 'alert');

// Says so when the page does not show the present.
function tell(error) {
    const now = Date.now() / 1000;
    if (!error) answered = now;
    const last = samples.at.at(-1);
    let text = '';
    if (error) text = `The gateway has not answered since ${clock(answered, true)}: this page shows its state of then.`;
    else if (last && samples.now - last > OLD * samples.interval) text = `No worker has taken a sample since ${clock(last, true)}.`;
    document.body.classList.toggle('is-old', Boolean(error));
    if (!text) trouble.remove();
    else if (trouble.textContent !== text || !trouble.isConnected) {
        trouble.textContent = text;
        document.querySelector('main').before(trouble);
    }
}

localise(document);
document.getElementById('steps').open = false;
repeat(() => Promise.all([collect(), refresh()]), EVERY, tell);
