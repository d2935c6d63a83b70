/* A stub XMPP server: it answers the stream header, SASL PLAIN (any password), the restart and bind, then
 * gives every <message/> back to its sender as it came. It parses just what the load generator sends.
 *
 * A connection that begins with "GET " is WebSocket in RFC 7395 framing, any other is plain c2s. So the same
 * client can reach it directly, through a relay that passes bytes on, and through a gateway.
 *
 * stub: listens on a free port of 127.0.0.1 and prints it. */
#define _GNU_SOURCE
#include "wire.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sys/socket.h>

#define STREAM                                                                                                 \
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'" \
    " id='s' from='localhost' version='1.0'>"
#define OPEN "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' id='s' from='localhost' version='1.0'/>"
#define SASL "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
#define BIND "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
#define SUCCESS "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"
/* A real server of RFC 7395 declares on each message what it needs. */
#define WS_FEATURES(inner) \
    "<stream:features xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>" inner "</stream:features>"
#define FEATURES(inner) "<stream:features>" inner "</stream:features>"
#define BOUND(ns)                                                                                \
    "<iq " ns "type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>" \
    "<jid>user@localhost/%d</jid></bind></iq>"

enum stage { REQUEST, HEADER, AUTH, RESTART, BINDING, ECHO };

struct connection {
    int fd;
    int websocket;
    int watching_writes;
    enum stage stage;
    struct buffer in, out;
    size_t searched; /* of the stanza that begins the buffer */
};

static int epoll;
static char chunk[CHUNK];
static struct buffer reply; /* collected while one chunk is worked off */

static void say(const char *text, struct connection *c) {
    if (c->websocket) {
        char header[16];
        buffer_add(&reply, header, frame_header(header, TEXT, strlen(text), NULL));
    }
    buffer_add(&reply, text, strlen(text));
}

/* The reply is not dropped but emptied: it is used at once again. */
static int flush_reply(struct connection *c) {
    char *data = reply.data;
    size_t length = reply.length;
    reply.length = 0;
    if (c->out.length == 0) {
        ssize_t sent = send(c->fd, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return -1;
        if (sent == (ssize_t)length) return 0;
        if (sent > 0) data += sent, length -= sent;
    }
    buffer_add(&c->out, data, length);
    if (!c->watching_writes) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
        c->watching_writes = 1;
    }
    return 0;
}

static int write_rest(struct connection *c) {
    ssize_t sent = send(c->fd, c->out.data, c->out.length, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN ? 0 : -1;
    buffer_drop(&c->out, sent);
    if (c->out.length == 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
        c->watching_writes = 0;
    }
    return 0;
}

static void finish(struct connection *c) {
    close(c->fd);
    free(c->in.data);
    free(c->out.data);
    free(c);
}

/* Goes one step on in the login. */
static void advance(struct connection *c) {
    char bound[512];
    switch (c->stage) {
    case HEADER:
        say(c->websocket ? OPEN : STREAM, c);
        say(c->websocket ? WS_FEATURES(SASL) : FEATURES(SASL), c);
        break;
    case AUTH:
        say(SUCCESS, c);
        break;
    case RESTART:
        say(c->websocket ? OPEN : STREAM, c);
        say(c->websocket ? WS_FEATURES(BIND) : FEATURES(BIND), c);
        break;
    case BINDING:
        snprintf(bound, sizeof bound, c->websocket ? BOUND("xmlns='jabber:client' ") : BOUND(""), c->fd);
        say(bound, c);
        break;
    default:
        return;
    }
    c->stage++;
}

/* What ends the thing that is waited for on a plain stream. */
static const char *const ENDS[] = {NULL, ">", "</auth>", ">", "</iq>", "</message>"};

/* Works off plain XML; returns the bytes used, -1 to end the connection. */
static ssize_t plain(struct connection *c, char *data, size_t length) {
    size_t used = 0;
    for (;;) {
        const char *end = ENDS[c->stage];
        char *at = data + used;
        size_t left = length - used;
        if (left >= 15 && memcmp(at, "</stream:stream", 15) == 0) {
            say("</stream:stream>", c);
            flush_reply(c);
            return -1;
        }
        if (starts(at, left, "<?xml")) { /* the declaration before the header */
            char *close = memmem(at, left, "?>", 2);
            if (close == NULL) return used;
            used += close + 2 - at;
            c->searched = 0;
            continue;
        }
        char *found = memmem(at + c->searched, left - c->searched, end, strlen(end));
        if (found == NULL) {
            /* The end may be cut in two: search its last bytes again. */
            c->searched = left > strlen(end) ? left - strlen(end) : 0;
            return used;
        }
        c->searched = 0;
        size_t size = found + strlen(end) - at;
        if (c->stage == ECHO)
            buffer_add(&reply, at, size);
        else
            advance(c);
        used += size;
    }
}

/* Works off frames; returns the bytes used, -1 to end the connection. */
static ssize_t websocket(struct connection *c, char *data, size_t length) {
    size_t used = 0;
    struct frame f;
    int whole;
    while ((whole = frame_parse(data + used, length - used, &f)) > 0) {
        used += f.size;
        if (!f.masked || f.opcode != TEXT) return -1;
        apply_mask(f.payload, f.length, f.mask);
        if (c->stage != ECHO) {
            advance(c);
        } else if (starts(f.payload, f.length, "<message")) {
            char header[16];
            buffer_add(&reply, header, frame_header(header, TEXT, f.length, NULL));
            buffer_add(&reply, f.payload, f.length);
        } else { /* <close/> */
            return -1;
        }
    }
    return whole < 0 ? -1 : (ssize_t)used;
}

/* RFC 6455 section 4.2.2. */
static ssize_t upgrade(struct connection *c, char *data, size_t length) {
    static const char NAME[] = "\r\nSec-WebSocket-Key: "; /* as the load generator spells it */
    char *end = memmem(data, length, "\r\n\r\n", 4);
    if (end == NULL) return 0;
    char *key = memmem(data, length, NAME, strlen(NAME));
    if (key == NULL) return -1;
    char text[64], accept[64], head[256];
    unsigned char digest[SHA_DIGEST_LENGTH];
    snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + strlen(NAME));
    SHA1((unsigned char *)text, strlen(text), digest);
    EVP_EncodeBlock((unsigned char *)accept, digest, sizeof digest);
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Protocol: xmpp\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                        accept);
    buffer_add(&reply, head, size);
    c->websocket = 1;
    c->stage = HEADER;
    return end + 4 - data;
}

static ssize_t work_off(struct connection *c, char *data, size_t length) {
    size_t used = 0;
    if (c->stage == REQUEST) {
        if (length < 4) return 0;
        if (memcmp(data, "GET ", 4) == 0) {
            ssize_t head = upgrade(c, data, length);
            if (head <= 0) return head;
            used = head;
        } else {
            c->stage = HEADER;
        }
    }
    ssize_t rest = c->websocket ? websocket(c, data + used, length - used) : plain(c, data + used, length - used);
    return rest < 0 ? -1 : (ssize_t)used + rest;
}

static int readable(struct connection *c) {
    ssize_t got = recv(c->fd, chunk, sizeof chunk, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) return -1;
    char *data = chunk;
    size_t length = got;
    if (c->in.length) {
        buffer_add(&c->in, chunk, got);
        data = c->in.data, length = c->in.length;
    }
    ssize_t used = work_off(c, data, length);
    if (used < 0) return -1;
    if (c->in.length)
        buffer_drop(&c->in, used);
    else if ((size_t)used < length)
        buffer_add(&c->in, data + used, length - used);
    return reply.length ? flush_reply(c) : 0;
}

static void accept_all(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *c = calloc(1, sizeof *c);
        if (c == NULL) die("calloc");
        c->fd = fd;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    raise_limit();
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) die("listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[MAX_EVENTS];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll, events, MAX_EVENTS, -1);
        for (int i = 0; i < count; i++) {
            struct connection *c = events[i].data.ptr;
            if (c == NULL) {
                accept_all(listener);
                continue;
            }
            int failed = 0;
            reply.length = 0;
            if (events[i].events & EPOLLOUT) failed = write_rest(c);
            if (!failed && events[i].events & ~EPOLLOUT) failed = readable(c);
            if (failed) finish(c);
        }
    }
}
