// Times in the time zone of the reader.

const pad = (number) => String(number).padStart(2, '0');

// Of seconds since the epoch: 17:05, or 17:05:09 with `seconds`.
export function clock(at, seconds = false) {
    const when = new Date(at * 1000);
    const minutes = `${pad(when.getHours())}:${pad(when.getMinutes())}`;
    return seconds ? `${minutes}:${pad(when.getSeconds())}` : minutes;
}

function day(at) {
    const when = new Date(at * 1000);
    return `${when.getFullYear()}-${pad(when.getMonth() + 1)}-${pad(when.getDate())} ${clock(at, true)}`;
}

const FORMS = { clock, day, seconds: (at) => clock(at, true) };

// The times of a page, which the gateway writes in UTC.
export function localise(root) {
    for (const time of root.querySelectorAll('time[data-form]')) {
        time.textContent = FORMS[time.dataset.form](Date.parse(time.dateTime) / 1000);
        time.title = time.dateTime;
    }
}
