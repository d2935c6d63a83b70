// Which of the two plays a client library is to act in.

import { obedience } from './obedience.mjs';
import { scenario } from './scenario.mjs';
import { parameters } from './wire.mjs';

export const MAM = 'urn:xmpp:mam:2';
export const MUC = 'http://jabber.org/protocol/muc';
export const RSM = 'http://jabber.org/protocol/rsm';

// The obedient one is played by bob alone, while a contact talks to him.
export const play = (login) => (parameters.alice ? scenario(login) : obedience(login));
