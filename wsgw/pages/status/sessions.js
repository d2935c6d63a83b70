// The pages about sessions: keeps them up to date.

import { refresh, repeat } from './refresh.js';
import { localise } from './times.js';
import { trouble } from './trouble.js';

const EVERY = 3;

localise(document);
repeat(refresh, EVERY, trouble());
