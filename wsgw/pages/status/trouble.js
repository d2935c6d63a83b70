// Says above the page when it does not show the present.

import { clock } from './times.js';

// A function for `repeat`. `other` gives the text about another trouble, empty without one.
export function trouble(other = () => '') {
    let answered = Date.now() / 1000;
    const notice = document.createElement('p');
    notice.className = 'notice bad';
    notice.setAttribute('role', 'alert');
    return (error) => {
        if (!error) answered = Date.now() / 1000;
        const old = `The gateway has not answered since ${clock(answered, true)}: this page shows its state of then.`;
        const text = error ? old : other();
        document.body.classList.toggle('is-old', Boolean(error));
        if (!text) notice.remove();
        else if (notice.textContent !== text || !notice.isConnected) {
            notice.textContent = text;
            document.querySelector('main').before(notice);
        }
    };
}
