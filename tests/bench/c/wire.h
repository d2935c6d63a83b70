/* What the load generator and the stub server share: growing buffers, RFC 6455 frames, output that the
 * kernel did not take at once. Both are one thread and one epoll each. */
#ifndef WIRE_H
#define WIRE_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CHUNK (256 * 1024)
#define MAX_EVENTS 1024

enum { TEXT = 1, CLOSE = 8, PING = 9, PONG = 10 };

struct buffer {
    char *data;
    size_t length, capacity;
};

static inline void die(const char *what) {
    perror(what);
    exit(1);
}

static inline void buffer_add(struct buffer *b, const void *data, size_t length) {
    if (b->length + length > b->capacity) {
        b->capacity = (b->length + length) * 2;
        b->data = realloc(b->data, b->capacity);
        if (b->data == NULL) die("realloc");
    }
    memcpy(b->data + b->length, data, length);
    b->length += length;
}

/* Ten thousand idle connections shall not hold a buffer each. */
static inline void buffer_drop(struct buffer *b, size_t length) {
    b->length -= length;
    if (b->length == 0) {
        free(b->data);
        b->data = NULL;
        b->capacity = 0;
    } else {
        memmove(b->data, b->data + length, b->length);
    }
}

struct frame {
    int opcode;
    int masked;
    unsigned char mask[4];
    char *payload;
    size_t length; /* of the payload */
    size_t size;   /* of the whole frame */
};

/* 1: a whole frame is there; 0: more bytes are needed; -1: a frame these programs never get. */
static inline int frame_parse(char *data, size_t length, struct frame *f) {
    unsigned char *p = (unsigned char *)data;
    if (length < 2) return 0;
    if ((p[0] & 0xf0) != 0x80) return -1; /* fragmented, or reserved bits */
    f->opcode = p[0] & 0x0f;
    f->masked = p[1] >> 7;
    size_t at = 2, n = p[1] & 0x7f;
    if (n == 126) {
        if (length < 4) return 0;
        n = (size_t)p[2] << 8 | p[3];
        at = 4;
    } else if (n == 127) {
        if (length < 10) return 0;
        n = 0;
        for (int i = 2; i < 10; i++) n = n << 8 | p[i];
        at = 10;
    }
    if (f->masked) {
        if (length < at + 4) return 0;
        memcpy(f->mask, p + at, 4);
        at += 4;
    }
    if (length - at < n) return 0;
    f->payload = data + at;
    f->length = n;
    f->size = at + n;
    return 1;
}

/* Writes the header of an unfragmented frame, at most 14 bytes; mask may be NULL. Returns its size. */
static inline size_t frame_header(char *out, int opcode, size_t length, const unsigned char *mask) {
    unsigned char *p = (unsigned char *)out;
    size_t at = 2;
    int bit = mask ? 0x80 : 0;
    p[0] = 0x80 | opcode;
    if (length < 126) {
        p[1] = bit | length;
    } else if (length < 65536) {
        p[1] = bit | 126;
        p[2] = length >> 8;
        p[3] = length;
        at = 4;
    } else {
        p[1] = bit | 127;
        for (int i = 0; i < 8; i++) p[2 + i] = (uint64_t)length >> (56 - 8 * i);
        at = 10;
    }
    if (mask) {
        memcpy(p + at, mask, 4);
        at += 4;
    }
    return at;
}

static inline void apply_mask(char *data, size_t length, const unsigned char *mask) {
    uint64_t wide;
    size_t i = 0;
    memcpy(&wide, mask, 4);
    memcpy((char *)&wide + 4, mask, 4);
    for (; i + 8 <= length; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, 8);
        word ^= wide;
        memcpy(data + i, &word, 8);
    }
    for (; i < length; i++) data[i] ^= mask[i & 3];
}

static inline int starts(const char *data, size_t length, const char *with) {
    size_t n = strlen(with);
    return length >= n && memcmp(data, with, n) == 0;
}

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + t.tv_nsec;
}

static inline double cpu_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

/* As many descriptors as the hard limit allows. */
static inline void raise_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

#endif
