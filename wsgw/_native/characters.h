/* Characters of UTF-8 (RFC 3629) and of XML (XML 1.0 section 2.2). Every function reads [at, end) only. */
#ifndef WSGW_CHARACTERS_H
#define WSGW_CHARACTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that skip_block reads at once. */
#define BLOCK 32
/* Plain bytes in a row after which a run is worth reading in blocks. */
#define LONG_RUN 16

/* Whether `byte` is a character of text that needs no look at its neighbours: ASCII, no control, no markup. */
static inline bool is_plain(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x80 && byte != '<' && byte != '>' && byte != '&';
}

/* Whether all of the BLOCK bytes at `at` are plain; the loop has no branch, so that it becomes vector code. */
static inline bool is_plain_block(const uint8_t *at)
{
    uint8_t other = 0;
    for (int i = 0; i < BLOCK; i++) {
        uint8_t byte = at[i];
        other |= ((uint8_t)(byte - 0x20) >= 0x60) | (byte == '<') | (byte == '>') | (byte == '&');
    }
    return !other;
}

/* The end of the plain bytes that begin at `at`. */
static inline const uint8_t *skip_plain(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *near = end - at > LONG_RUN ? at + LONG_RUN : end;
    while (at < near && is_plain(*at))
        at++;
    if (at < near)
        return at;
    while (end - at >= BLOCK && is_plain_block(at))
        at += BLOCK;
    while (at < end && is_plain(*at))
        at++;
    return at;
}

static inline bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The end of the character of two to four bytes at `at`, NULL if it is not UTF-8 (the table of RFC 3629 section 4). */
static inline const uint8_t *skip_character(const uint8_t *at, const uint8_t *end)
{
    uint8_t first = *at;
    ptrdiff_t size = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    if (size == 0 || end - at < size)
        return NULL;
    for (ptrdiff_t i = 1; i < size; i++)
        if (!is_continuation(at[i]))
            return NULL;
    if (first == 0xe0 && at[1] < 0xa0)
        return NULL; /* an overlong form */
    if (first == 0xed && at[1] >= 0xa0)
        return NULL; /* a surrogate */
    if (first == 0xf0 && at[1] < 0x90)
        return NULL; /* an overlong form */
    if (first == 0xf4 && at[1] >= 0x90)
        return NULL; /* above U+10FFFF */
    return at + size;
}

/* As skip_character; NULL for U+FFFE and U+FFFF too, which are UTF-8 but not XML. */
static inline const uint8_t *skip_xml_character(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *after = skip_character(at, end);
    if (after != NULL && after - at == 3 && at[0] == 0xef && at[1] == 0xbf && at[2] >= 0xbe)
        return NULL;
    return after;
}

/* Whether [at, end) is UTF-8. */
static inline bool is_utf8(const uint8_t *at, const uint8_t *end)
{
    while (at < end) {
        if (*at >= 0x80) {
            at = skip_character(at, end);
            if (at == NULL)
                return false;
        } else if (is_plain(*at)) {
            at = skip_plain(at, end);
        } else {
            at++;
        }
    }
    return true;
}

#endif
