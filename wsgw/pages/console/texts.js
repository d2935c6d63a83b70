// The texts of the page in the browser's language: English or Russian.

const LANGUAGES = ['en', 'ru'];

/** The first of the user's languages that the page speaks. */
const language =
    navigator.languages.map((one) => one.slice(0, 2).toLowerCase()).find((one) => LANGUAGES.includes(one)) ?? 'en';

const { default: table } = await import(`./texts_${language}.js`);
const numbers = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
const toTheSecond = { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' };
const times = new Intl.DateTimeFormat(language, toTheSecond);
const exactTimes = new Intl.DateTimeFormat(language, { ...toTheSecond, fractionalSecondDigits: 3 });

/** The text with this key; `values` replace the names in braces. */
export function text(key, values = {}) {
    const found = table[key] ?? key;
    return found
        .replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '')
        .replace(/ {2,}/g, ' ')
        .trim();
}

/** The text with this key, or with `otherwise` if the table does not have it. */
function textOr(key, otherwise) {
    return text(key in table ? key : otherwise);
}

/** A number as the language writes it. */
export function number(value) {
    return numbers.format(value);
}

/** The time of the day, to the second. */
export function clock(date) {
    return times.format(date);
}

/** The time of the day, to the millisecond. */
export function exactClock(date) {
    return exactTimes.format(date);
}

/** The meaning of a condition with its name, or the name alone. */
export function condition(name) {
    const key = `condition.${name}`;
    return key in table ? `${text(key).replace(/\.$/, '')} (${name})` : name;
}

/** Why a session has ended, in words. @param {import('./stream.js').Cause} cause */
export function causeText(cause) {
    const key = `condition.${cause.condition}`;
    const meaning =
        cause.kind === 'close' ? textOr(`close.${cause.code}`, 'close.other') : text(key in table ? key : '');
    const said = cause.text && ['stream', 'sasl'].includes(cause.kind) ? `“${cause.text}”` : cause.text;
    return text(`cause.${cause.kind}`, { ...cause, meaning, text: said, origin: location.origin });
}

/** Put the texts into the document: `data-text` into the element, `data-label` and `data-hint` into attributes. */
export function translate(root) {
    document.documentElement.lang = language;
    document.title = text('title');
    for (const one of root.querySelectorAll('[data-text]')) one.textContent = text(one.dataset.text);
    for (const one of root.querySelectorAll('[data-label]')) one.setAttribute('aria-label', text(one.dataset.label));
    for (const one of root.querySelectorAll('[data-hint]')) one.setAttribute('placeholder', text(one.dataset.hint));
}
