#include "frame.h"

#include <string.h>

#define FINAL_TEXT 0x81
#define MASKED 0x80
#define MASK_SIZE 4

/* The big-endian number in `count` bytes; at most eight fit. */
static uint64_t big_endian(const uint8_t *at, int count)
{
    uint64_t number = 0;
    for (int i = 0; i < count; i++)
        number = number << 8 | at[i];
    return number;
}

bool read_text_frame(const uint8_t *at, const uint8_t *end, size_t max_size, Frame *frame)
{
    if (end - at < 2 + MASK_SIZE || at[0] != FINAL_TEXT || !(at[1] & MASKED))
        return false;
    uint64_t size = at[1] & 0x7f, shortest = 1;
    int extended = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (end - at < 2 + extended + MASK_SIZE)
        return false;
    if (extended) {
        size = big_endian(at + 2, extended);
        shortest = extended == 2 ? 126 : 1 << 16;
    }
    frame->mask = at + 2 + extended;
    frame->payload = frame->mask + MASK_SIZE;
    /* A declared size above what has arrived ends here, so that no sum with it overflows. */
    if (size < shortest || size > max_size || size > (uint64_t)(end - frame->payload))
        return false;
    frame->size = (size_t)size;
    return true;
}

void unmask(uint8_t *to, const uint8_t *payload, size_t size, const uint8_t *mask)
{
    uint32_t four;
    memcpy(&four, mask, MASK_SIZE);
    const uint64_t eight = (uint64_t)four << 32 | four;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t part;
        memcpy(&part, payload + i, 8);
        part ^= eight;
        memcpy(to + i, &part, 8);
    }
    for (; i < size; i++)
        to[i] = payload[i] ^ mask[i % MASK_SIZE];
}

size_t write_header(uint8_t *to, size_t payload_size)
{
    int extended = payload_size < 126 ? 0 : payload_size < 1 << 16 ? 2 : 8;
    to[0] = FINAL_TEXT;
    to[1] = extended == 0 ? (uint8_t)payload_size : extended == 2 ? 126 : 127;
    for (int i = 0; i < extended; i++)
        to[2 + i] = (uint8_t)((uint64_t)payload_size >> 8 * (extended - 1 - i));
    return 2 + (size_t)extended;
}
