/* Recognises a common stanza: the grammar of docs/decisions/common-stanzas.md. */
#ifndef WSGW_STANZA_H
#define WSGW_STANZA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most that the fields of Bounds may have: the sizes of arrays on the stack. */
#define MAX_LEVELS 16
#define MAX_ATTRIBUTES 16

/* The bounds that the grammar leaves open. */
typedef struct {
    size_t size;    /* bytes of a stanza */
    int levels;     /* of elements within each other, the stanza among them; up to MAX_LEVELS */
    int attributes; /* of one element, declarations among them; up to MAX_ATTRIBUTES */
} Bounds;

/* The kinds of elements, in the order of the names that Python knows them by. */
typedef enum { MESSAGE, PRESENCE, IQ, ACK_REQUEST, ACK } Kind;
#define KINDS 5

typedef struct {
    Kind kind;
    const uint8_t *after_name; /* the end of the name in the first tag */
    bool declares;             /* the first tag declares the stanza's namespace */
    const uint8_t *end;
} Stanza;

/*
 * Read the common stanza at the start of [at, end). False if there is a doubt: the stanza is not common, or exceeds
 * `bounds`, or has not arrived whole. With `inherits`, a stanza need not declare the namespace jabber:client.
 */
bool read_stanza(const uint8_t *at, const uint8_t *end, const Bounds *bounds, bool inherits, Stanza *stanza);

/* The end of the white space at `at` (XML 1.0 section 2.3). */
const uint8_t *skip_white_space(const uint8_t *at, const uint8_t *end);

#endif
