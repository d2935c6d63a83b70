// The samples of the last hour, as the plots need them: collected from the answers of /history.json.

const HOUR = 3600;

export class Samples {
    constructor() {
        this.clear();
    }

    clear() {
        this.since = 0;
        this.interval = 5;
        this.now = 0;
        // Ends of the intervals in seconds since the epoch, and columns of the same length by name.
        this.at = [];
        this.figures = {};
        this.ended = {};
        this.refused = {};
    }

    // The query for the samples that are not here yet.
    get query() {
        return this.at.length ? `?after=${this.at.at(-1)}` : '';
    }

    // Adds the samples of an answer; returns false if they belong to another history: wsgw was restarted or upgraded.
    add(found) {
        if (this.since && found.since !== this.since) {
            this.clear();
            return false;
        }
        const known = this.at.length;
        Object.assign(this, { since: found.since, interval: found.interval, now: found.now });
        this.at.push(...found.at);
        for (const group of ['figures', 'ended', 'refused']) this.#append(this[group], found[group], known);
        this.#drop();
        return true;
    }

    // A column that is missing in an answer, or until now, has zeros.
    #append(columns, found, known) {
        for (const name of Object.keys(found)) columns[name] ??= Array(known).fill(0);
        for (const name of Object.keys(columns)) {
            columns[name].push(...(found[name] ?? Array(this.at.length - known).fill(0)));
        }
    }

    // Removes the samples that are older than an hour.
    #drop() {
        const old = this.at.findIndex((at) => at > this.now - HOUR);
        if (old <= 0) return;
        for (const columns of [this.figures, this.ended, this.refused]) {
            for (const column of Object.values(columns)) column.splice(0, old);
        }
        this.at.splice(0, old);
    }

    column(name) {
        return this.figures[name] ?? Array(this.at.length).fill(0);
    }

    // A count as a number a second.
    rate(name) {
        return this.column(name).map((value) => value / this.interval);
    }

    // Where the samples begin that the time `at` belongs to; -1 without a sample near it.
    near(at) {
        let best = -1;
        for (let place = 0; place < this.at.length; place += 1) {
            if (best < 0 || Math.abs(this.at[place] - at) < Math.abs(this.at[best] - at)) best = place;
        }
        return best;
    }

    // Counts by cause in columns of one minute: {minutes: [end], names: [...], counts: {name: [...]}}, the most
    // frequent cause first; those after the first `most` are one, `rest`.
    minutes(group, most, rest) {
        const columns = Object.entries(this[group])
            .map(([name, values]) => ({ name, values, sum: values.reduce((sum, value) => sum + value, 0) }))
            .filter((column) => column.sum)
            .sort((one, other) => other.sum - one.sum || one.name.localeCompare(other.name));
        const ends = this.at.map((at) => Math.ceil(at / 60) * 60);
        const minutes = [...new Set(ends)];
        const counts = {};
        columns.forEach(({ name, values }, rank) => {
            const shown = rank < most || columns.length === most + 1 ? name : rest;
            counts[shown] ??= Array(minutes.length).fill(0);
            values.forEach((value, place) => {
                counts[shown][minutes.indexOf(ends[place])] += value;
            });
        });
        return { minutes, names: Object.keys(counts), counts };
    }
}
