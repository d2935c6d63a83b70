// The counters of XEP-0198. The class sends nothing: the session does.

const MODULUS = 2 ** 32;

export class StreamManagement {
    /** The stanzas to the server that it has not acknowledged, in order. */
    unacknowledged = [];
    /** The stanzas of the server that have arrived: the value of `h`. */
    received = 0;
    /** The `h` of the server. */
    acknowledged = 0;
    /** The name of the session for `<resume/>`; empty if it cannot be resumed. */
    id = '';
    /** The seconds for which the server keeps a lost session, as far as it says so. */
    seconds = undefined;
    /** Whether stanzas to the server are counted: from `<enable/>` on. */
    isCounting = false;
    /** Whether the server counts too: from `<enabled/>` on. */
    isEnabled = false;

    get canResume() {
        return this.isEnabled && this.id !== '';
    }

    /** `<enable/>` is sent. */
    begin() {
        this.isCounting = true;
    }

    /** `<enabled/>` has arrived. */
    enable(enabled) {
        this.isEnabled = true;
        const resumable = ['true', '1'].includes(enabled.getAttribute('resume'));
        this.id = resumable ? (enabled.getAttribute('id') ?? '') : '';
        this.seconds = enabled.getAttribute('max') ?? undefined;
    }

    /** Keep a stanza until the server has it. */
    keep(stanza) {
        if (this.isCounting) this.unacknowledged.push(stanza);
    }

    /** Count a stanza of the server. */
    count() {
        if (this.isEnabled) this.received = (this.received + 1) % MODULUS;
    }

    /** The stanzas that the server has since its last count; `h` is its new one. Without sense, none. */
    acknowledge(h) {
        const count = (Number(h) - this.acknowledged + MODULUS) % MODULUS;
        if (!Number.isInteger(count) || count > this.unacknowledged.length) return [];
        this.acknowledged = Number(h);
        return this.unacknowledged.splice(0, count);
    }
}
