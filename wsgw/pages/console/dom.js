// The elements of the page. Every text is set as a text, so that no peer can send markup.

/**
 * A new element: `make('button', { class: 'primary', onclick: login }, 'Log in')`. Functions become listeners,
 * `true` an attribute without a value; attributes that are false, null or undefined are left out.
 */
export function make(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
        if (typeof value === 'function') made.addEventListener(key.slice(2), value);
        else if (value !== false && value !== null && value !== undefined)
            made.setAttribute(key, value === true ? '' : value);
    }
    made.append(...children);
    return made;
}

/** The element of the page with this id. */
export function byId(id) {
    return document.getElementById(id);
}

/** Whether an element can keep the focus: it is shown and not disabled. */
export function isUsable(one) {
    return one !== null && one !== document.body && one.offsetParent !== null && !one.disabled;
}

/** A scrolling list that shows its last row, also when rows are added, until the user scrolls back. */
export class FollowedList {
    #list;
    #most;
    #follows = true;

    /** @param {Element} list @param {number} most the most rows; further ones replace the first */
    constructor(list, most) {
        this.#list = list;
        this.#most = most;
        list.addEventListener('scroll', () => {
            this.#follows = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
        });
        // What is above the list may grow, and take from its height.
        new ResizeObserver(() => this.#toTheEnd()).observe(list);
    }

    add(...rows) {
        this.#list.append(...rows);
        while (this.#list.childElementCount > this.#most) this.#list.firstElementChild.remove();
        this.#toTheEnd();
    }

    /** Show the last row from now on. */
    follow() {
        this.#follows = true;
        this.#toTheEnd();
    }

    #toTheEnd() {
        if (this.#follows) this.#list.scrollTop = this.#list.scrollHeight;
    }
}
