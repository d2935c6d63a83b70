/* Frames of WebSockets (RFC 6455 section 5.2): the most common of a client, and those of a server. */
#ifndef WSGW_FRAME_H
#define WSGW_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most bytes of a header without a mask, which is a server's. */
#define MAX_HEADER 10

typedef struct {
    const uint8_t *mask; /* four bytes */
    const uint8_t *payload;
    size_t size; /* of the payload */
} Frame;

/*
 * Read the frame at the start of [at, end) if it is a whole message of one text frame, masked, not empty, in its
 * shortest form, with at most `max_size` bytes, and if all of its bytes have arrived. False for any other.
 */
bool read_text_frame(const uint8_t *at, const uint8_t *end, size_t max_size, Frame *frame);

/* Write `size` bytes of `payload` XOR the repeated mask of four bytes to `to` (section 5.3). */
void unmask(uint8_t *to, const uint8_t *payload, size_t size, const uint8_t *mask);

/* Write the header of a final text frame without a mask; return its size, at most MAX_HEADER. */
size_t write_header(uint8_t *to, size_t payload_size);

#endif
