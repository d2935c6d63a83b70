/* A load generator: many XMPP sessions over WebSocket (RFC 7395), each sending messages to itself.
 *
 * load PORT PATH DOMAIN ACCOUNTS RESOURCE [tls]
 *
 * Session i logs in with PLAIN as user<i % ACCOUNTS>, password "pw", and the resource RESOURCE<i>. Commands come
 * on standard input, a line each; every one is answered by one line of JSON:
 *
 *   login COUNT PARALLEL                     COUNT more sessions, at most PARALLEL being logged in at a time
 *   run SECONDS BODY FLIGHT SESSIONS RATE    messages with bodies of BYTES over the first SESSIONS sessions; RATE 0:
 *                                            closed loop, FLIGHT messages in flight on each; else RATE messages a
 *                                            second in all, sent when due whatever has come back, and late rather
 *                                            than never
 *   logout                                   <close/> on every session, until the server has closed
 *
 * Between commands pings are answered. A message counts when it came back whole, in order, with its number; anything
 * that should not happen counts as an error. Latency runs from the moment a message is handed to the socket. */
#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#define SECOND 1000000000ull
#define DRAIN (5 * SECOND)
#define LOGIN_DEADLINE (120 * SECOND)
#define RING 64 /* messages in flight on one session at most */
#define SUB 64  /* steps of the histogram per power of two: it is right to 1.6 % */

#define TAIL "</body></message>"
#define FRAMING "urn:ietf:params:xml:ns:xmpp-framing"
#define SASL "urn:ietf:params:xml:ns:xmpp-sasl"
#define BIND "urn:ietf:params:xml:ns:xmpp-bind"

enum stage { CONNECTING, TLS, UPGRADING, FEATURES, AUTHENTICATING, RESTARTED, BINDING, READY, LEAVING, GONE };

struct session {
    int fd, index, watching_writes;
    enum stage stage;
    SSL *ssl;
    struct buffer in, out;
    char *prefix; /* the message up to its number */
    size_t prefix_length;
    uint32_t sent, received; /* messages */
    uint64_t began;          /* of the login */
    uint64_t sent_at[RING];
};

struct histogram {
    uint64_t counts[64 * SUB], total, sum, max;
};

static int port, accounts, epoll, input_ready, input_closed;
static const char *path, *domain, *resource;
static SSL_CTX *tls;
static char cipher[64] = "";
static struct session **sessions;
static int count_sessions, in_progress, ready, gone;
static struct histogram latency, lateness;
static char chunk[CHUNK], scratch[CHUNK + 4096];
static uint64_t errors, last_received, random_state = 88172645463325252ull;
static char first_error[200];

/* Of the run that goes on. */
static int running, body_size, closed_loop;
static uint64_t run_sent, run_received;

static uint64_t next_random(void) { /* xorshift64 */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static void record(struct histogram *h, uint64_t value) {
    int shift = value < SUB ? 0 : 63 - __builtin_clzll(value) - 6;
    h->counts[shift * SUB + (value >> shift)]++;
    h->total++;
    h->sum += value;
    if (value > h->max) h->max = value;
}

static double quantile_us(struct histogram *h, double q) {
    uint64_t want = (uint64_t)(q * h->total), seen = 0;
    for (size_t i = 0; i < sizeof h->counts / sizeof *h->counts; i++) {
        seen += h->counts[i];
        if (seen > want) {
            int shift = i < 2 * SUB ? 0 : i / SUB - 1;
            return (double)((i - shift * SUB) << shift) / 1000;
        }
    }
    return (double)h->max / 1000;
}

static void print_histogram(const char *name, struct histogram *h) {
    double mean = h->total ? (double)h->sum / h->total : 0;
    printf("\"%s\": {\"mean_us\": %.2f, \"p50_us\": %.2f, \"p99_us\": %.2f, \"max_us\": %.2f}", name, mean / 1000,
           quantile_us(h, 0.5), quantile_us(h, 0.99), (double)h->max / 1000);
}

static void fail(struct session *s, const char *why, const char *data, size_t length) {
    errors++;
    if (!first_error[0])
        snprintf(first_error, sizeof first_error, "session %d: %s%s%.*s", s->index, why, length ? ": " : "",
                 (int)(length < 120 ? length : 120), length ? data : "");
}

static void end(struct session *s) {
    if (s->stage == GONE) return;
    if (s->stage < READY) in_progress--;
    if (s->stage == READY) ready--;
    gone++;
    s->stage = GONE;
    if (s->ssl) SSL_free(s->ssl);
    close(s->fd);
    free(s->in.data);
    free(s->out.data);
    free(s->prefix);
    s->ssl = NULL;
    s->prefix = NULL;
    memset(&s->in, 0, sizeof s->in);
    memset(&s->out, 0, sizeof s->out);
}

static void watch(struct session *s, int operation, int writes) {
    struct epoll_event event = {.events = EPOLLIN | (writes ? EPOLLOUT : 0), .data.ptr = s};
    epoll_ctl(epoll, operation, s->fd, &event);
    s->watching_writes = writes;
}

/* Bytes written, 0 if it would block, -1 if the connection is gone. */
static ssize_t put(struct session *s, const char *data, size_t length) {
    if (s->ssl) {
        int sent = SSL_write(s->ssl, data, length);
        if (sent > 0) return sent;
        int error = SSL_get_error(s->ssl, sent);
        return error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? 0 : -1;
    }
    ssize_t sent = send(s->fd, data, length, MSG_NOSIGNAL);
    return sent >= 0 ? sent : errno == EAGAIN ? 0 : -1;
}

static ssize_t get(struct session *s, char *data, size_t length) {
    if (s->ssl) {
        int got = SSL_read(s->ssl, data, length);
        if (got > 0) return got;
        int error = SSL_get_error(s->ssl, got);
        return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
    ssize_t got = recv(s->fd, data, length, 0);
    return got > 0 ? got : got < 0 && errno == EAGAIN ? 0 : -1;
}

static void put_all(struct session *s, const char *data, size_t length) {
    while (s->out.length == 0 && length) {
        ssize_t sent = put(s, data, length);
        if (sent < 0) {
            fail(s, "write failed", NULL, 0);
            end(s);
            return;
        }
        if (sent == 0) break;
        data += sent, length -= sent;
    }
    if (length) buffer_add(&s->out, data, length);
    if (length && !s->watching_writes) watch(s, EPOLL_CTL_MOD, 1);
}

static void put_rest(struct session *s) {
    while (s->out.length) {
        ssize_t sent = put(s, s->out.data, s->out.length);
        if (sent < 0) {
            fail(s, "write failed", NULL, 0);
            end(s);
            return;
        }
        if (sent == 0) return;
        buffer_drop(&s->out, sent);
    }
    watch(s, EPOLL_CTL_MOD, 0);
}

/* Sends what stands in scratch + 14 as one masked frame. */
static void put_frame(struct session *s, int opcode, size_t length) {
    uint32_t mask = (uint32_t)next_random();
    char header[16];
    size_t size = frame_header(header, opcode, length, (unsigned char *)&mask);
    apply_mask(scratch + 14, length, (unsigned char *)&mask);
    memcpy(scratch + 14 - size, header, size);
    put_all(s, scratch + 14 - size, size + length);
}

static void put_text(struct session *s, const char *text) {
    memcpy(scratch + 14, text, strlen(text));
    put_frame(s, TEXT, strlen(text));
}

static void send_message(struct session *s) {
    char *p = scratch + 14;
    memcpy(p, s->prefix, s->prefix_length);
    p += s->prefix_length;
    uint32_t n = s->sent;
    for (int i = 7; i >= 0; i--, n /= 10) p[i] = '0' + n % 10;
    memset(p + 8, 'x', body_size - 8);
    memcpy(p + body_size, TAIL, strlen(TAIL));
    s->sent_at[s->sent++ % RING] = now_ns();
    run_sent++;
    put_frame(s, TEXT, s->prefix_length + body_size + strlen(TAIL));
}

/* A message has come back; it must be the oldest that is in flight. */
static void message(struct session *s, char *data, size_t length) {
    char *body = memmem(data, length < 1024 ? length : 1024, "<body>", 6);
    if (body == NULL) {
        fail(s, "a message without a body", data, length);
        return;
    }
    body += 6;
    uint32_t n = 0;
    for (int i = 0; i < 8; i++) n = n * 10 + (body[i] - '0');
    const char *tail = data + length - strlen(TAIL);
    if (s->received == s->sent || n != s->received % 100000000 || tail - body != body_size ||
        memcmp(tail, TAIL, strlen(TAIL)) != 0) {
        fail(s, "not the message that was sent", data, length);
        return;
    }
    last_received = now_ns();
    record(&latency, last_received - s->sent_at[s->received++ % RING]);
    run_received++;
    if (running && closed_loop) send_message(s);
}

static void open_stream(struct session *s) {
    char text[512];
    snprintf(text, sizeof text, "<open xmlns='" FRAMING "' to='%s' version='1.0'/>", domain);
    put_text(s, text);
}

static void authenticate(struct session *s) {
    char plain[256], base64[512], text[1024];
    int size = snprintf(plain, sizeof plain, "%cuser%d%cpw", 0, s->index % accounts, 0);
    EVP_EncodeBlock((unsigned char *)base64, (unsigned char *)plain, size);
    snprintf(text, sizeof text, "<auth xmlns='" SASL "' mechanism='PLAIN'>%s</auth>", base64);
    put_text(s, text);
}

static void bind_resource(struct session *s) {
    char text[512];
    snprintf(text, sizeof text,
             "<iq xmlns='jabber:client' type='set' id='bind'><bind xmlns='" BIND "'>"
             "<resource>%s%d</resource></bind></iq>",
             resource, s->index);
    put_text(s, text);
}

static void bound(struct session *s, char *data, size_t length) {
    char *jid = memmem(data, length, "<jid>", 5), *close = memmem(data, length, "</jid>", 6);
    if (jid == NULL || close == NULL) {
        fail(s, "not bound", data, length);
        end(s);
        return;
    }
    jid += 5;
    int size = asprintf(&s->prefix, "<message xmlns='jabber:client' to='%.*s' type='chat' id='m'><body>",
                        (int)(close - jid), jid);
    if (size < 0) die("asprintf");
    s->prefix_length = size;
    s->stage = READY;
    in_progress--;
    ready++;
    record(&latency, now_ns() - s->began);
}

static void text(struct session *s, char *data, size_t length) {
    if (s->stage == READY && starts(data, length, "<message")) {
        message(s, data, length);
    } else if (starts(data, length, "<open")) {
        /* what matters comes with the features */
    } else if (s->stage == FEATURES && starts(data, length, "<stream:features")) {
        s->stage = AUTHENTICATING;
        authenticate(s);
    } else if (s->stage == AUTHENTICATING && starts(data, length, "<success")) {
        s->stage = RESTARTED;
        open_stream(s);
    } else if (s->stage == RESTARTED && starts(data, length, "<stream:features")) {
        s->stage = BINDING;
        bind_resource(s);
    } else if (s->stage == BINDING && starts(data, length, "<iq")) {
        bound(s, data, length);
    } else if (s->stage != LEAVING && (s->stage != READY || starts(data, length, "<close") ||
                                       starts(data, length, "<stream:error"))) {
        fail(s, "unexpected", data, length);
        end(s);
    } /* else: presence and the like, or what comes before the end */
}

static size_t upgraded(struct session *s, char *data, size_t length) {
    char *close = memmem(data, length, "\r\n\r\n", 4);
    if (close == NULL) return 0;
    if (!starts(data, length, "HTTP/1.1 101 ")) {
        fail(s, "refused", data, length);
        end(s);
        return length;
    }
    s->stage = FEATURES;
    open_stream(s);
    return close + 4 - data;
}

static size_t work_off(struct session *s, char *data, size_t length) {
    size_t used = 0;
    struct frame f;
    int whole = 1;
    if (s->stage == UPGRADING && (used = upgraded(s, data, length)) == 0) return 0;
    while (s->stage != GONE && (whole = frame_parse(data + used, length - used, &f)) > 0) {
        used += f.size;
        if (f.opcode == TEXT) {
            text(s, f.payload, f.length);
        } else if (f.opcode == PING) {
            memcpy(scratch + 14, f.payload, f.length);
            put_frame(s, PONG, f.length);
        } else if (f.opcode == CLOSE) {
            if (s->stage != LEAVING) fail(s, "closed by the server", f.payload + 2, f.length < 2 ? 0 : f.length - 2);
            memcpy(scratch + 14, f.payload, f.length);
            put_frame(s, CLOSE, f.length);
            s->stage = s->stage == READY ? (ready--, LEAVING) : s->stage;
        }
    }
    if (whole < 0 && s->stage != GONE) {
        fail(s, "an unexpected frame", NULL, 0);
        end(s);
    }
    return used;
}

static void readable(struct session *s) {
    do {
        ssize_t got = get(s, chunk, sizeof chunk);
        if (got == 0) return;
        if (got < 0) {
            if (s->stage != LEAVING) fail(s, "connection lost", NULL, 0);
            end(s);
            return;
        }
        char *data = chunk;
        size_t length = got;
        if (s->in.length) {
            buffer_add(&s->in, chunk, got);
            data = s->in.data, length = s->in.length;
        }
        size_t used = work_off(s, data, length);
        if (s->stage == GONE) return;
        if (s->in.length)
            buffer_drop(&s->in, used);
        else if (used < length)
            buffer_add(&s->in, data + used, length - used);
    } while (s->ssl && SSL_pending(s->ssl));
}

static void request(struct session *s) {
    unsigned char raw[16];
    char key[32], head[1024];
    for (int i = 0; i < 16; i++) raw[i] = next_random() >> 32;
    EVP_EncodeBlock((unsigned char *)key, raw, sizeof raw);
    s->stage = UPGRADING;
    int size = snprintf(head, sizeof head,
                        "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n",
                        path, domain, key);
    put_all(s, head, size);
}

static void handshake(struct session *s) {
    int done = SSL_connect(s->ssl);
    if (done == 1) {
        snprintf(cipher, sizeof cipher, "%s %s", SSL_get_version(s->ssl), SSL_get_cipher(s->ssl));
        watch(s, EPOLL_CTL_MOD, 0);
        request(s);
        return;
    }
    int error = SSL_get_error(s->ssl, done);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
        fail(s, "TLS handshake failed", NULL, 0);
        end(s);
    } else {
        watch(s, EPOLL_CTL_MOD, error == SSL_ERROR_WANT_WRITE);
    }
}

static void connected(struct session *s) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        fail(s, "connect", strerror(error), strlen(strerror(error)));
        end(s);
    } else if (tls) {
        s->ssl = SSL_new(tls);
        SSL_set_fd(s->ssl, s->fd);
        SSL_set_tlsext_host_name(s->ssl, domain);
        s->stage = TLS;
        handshake(s);
    } else {
        watch(s, EPOLL_CTL_MOD, 0);
        request(s);
    }
}

static void begin_login(void) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct session *s = calloc(1, sizeof *s);
    int one = 1;
    if (s == NULL) die("calloc");
    s->index = count_sessions;
    sessions[count_sessions++] = s;
    s->began = now_ns();
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (s->fd < 0) die("socket");
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    in_progress++;
    if (connect(s->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) {
        fail(s, "connect", strerror(errno), strlen(strerror(errno)));
        end(s);
        return;
    }
    watch(s, EPOLL_CTL_ADD, 1);
}

/* One turn of the loop, waiting until `until` at most (0: for ever). */
static void turn(uint64_t until) {
    struct epoll_event events[MAX_EVENTS];
    struct timespec wait, *timeout = NULL;
    if (until) {
        uint64_t now = now_ns(), left = until > now ? until - now : 0;
        wait.tv_sec = left / SECOND, wait.tv_nsec = left % SECOND;
        timeout = &wait;
    }
    int count = epoll_pwait2(epoll, events, MAX_EVENTS, timeout, NULL);
    for (int i = 0; i < count; i++) {
        struct session *s = events[i].data.ptr;
        if (s == NULL) {
            input_ready = 1;
        } else if (s->stage == GONE) {
            continue;
        } else if (s->stage == CONNECTING) {
            connected(s);
        } else if (s->stage == TLS) {
            handshake(s);
        } else {
            if (events[i].events & EPOLLOUT) put_rest(s);
            if (s->stage != GONE && events[i].events & ~EPOLLOUT) readable(s);
        }
    }
}

/* The part of an answer that all have; ends the line. */
static void answer(uint64_t began, uint64_t ended, double cpu) {
    for (char *p = first_error; *p; p++)
        if (*p == '"' || *p == '\\' || (unsigned char)*p < 32) *p = '\'';
    printf(", \"sessions\": %d, \"errors\": %lu, \"first_error\": \"%s\", \"seconds\": %.6f, \"cpu\": %.6f,"
           " \"cipher\": \"%s\"}\n",
           ready, errors, first_error, (double)(ended - began) / SECOND, cpu_seconds() - cpu, cipher);
    fflush(stdout);
}

static void begin(void) {
    memset(&latency, 0, sizeof latency);
    memset(&lateness, 0, sizeof lateness);
    errors = 0;
    first_error[0] = 0;
}

static void login(int wanted, int parallel) {
    uint64_t began = now_ns(), deadline = began + LOGIN_DEADLINE;
    double cpu = cpu_seconds();
    begin();
    sessions = realloc(sessions, (count_sessions + wanted) * sizeof *sessions);
    if (sessions == NULL) die("realloc");
    int until = count_sessions + wanted;
    while ((count_sessions < until || in_progress) && now_ns() < deadline) {
        /* A few at a time, so that what has come in between is looked at. */
        for (int i = 0; i < 64 && count_sessions < until && in_progress < parallel; i++) begin_login();
        turn(deadline);
    }
    printf("{");
    print_histogram("latency", &latency);
    answer(began, now_ns(), cpu);
}

/* Sends whatever is due by now and before `until`; returns when the next is. */
static uint64_t send_due(uint64_t began, uint64_t until, double rate, uint64_t *next, int over) {
    for (;;) {
        uint64_t due = began + (uint64_t)(*next / rate * SECOND), now = now_ns();
        if (due > now || due >= until) return due;
        struct session *s = sessions[*next % over];
        if (s->stage == READY && s->sent - s->received < RING) {
            record(&lateness, now - due);
            send_message(s);
        } else {
            fail(s, "cannot take more", NULL, 0);
        }
        (*next)++;
    }
}

static void run(double seconds, int body, int flight, int over, double rate) {
    begin();
    body_size = body < 8 ? 8 : body;
    closed_loop = rate == 0;
    run_sent = run_received = 0;
    if (over == 0 || over > count_sessions) over = count_sessions;
    double cpu = cpu_seconds();
    uint64_t began = now_ns(), until = began + (uint64_t)(seconds * SECOND), next = 0;
    running = 1;
    last_received = began;
    for (int i = 0; closed_loop && i < over; i++)
        for (int k = 0; k < flight && sessions[i]->stage == READY; k++) send_message(sessions[i]);
    while (now_ns() < until) {
        uint64_t due = closed_loop ? until : send_due(began, until, rate, &next, over);
        turn(due < until ? due : until);
    }
    if (!closed_loop) send_due(began, until, rate, &next, over); /* for we may have slept past the end */
    running = 0;
    while (run_received < run_sent && !errors && now_ns() < until + DRAIN) turn(until + DRAIN);
    if (run_received < run_sent && !errors) {
        errors = run_sent - run_received;
        snprintf(first_error, sizeof first_error, "%lu messages have not come back", errors);
    }
    printf("{\"sent\": %lu, \"messages\": %lu, ", run_sent, run_received);
    print_histogram("latency", &latency);
    printf(", ");
    print_histogram("lateness", &lateness);
    answer(began, last_received, cpu);
}

static void logout(void) {
    uint64_t began = now_ns(), deadline = began + DRAIN;
    double cpu = cpu_seconds();
    begin();
    for (int i = 0; i < count_sessions; i++) {
        struct session *s = sessions[i];
        if (s->stage != READY) continue;
        s->stage = LEAVING;
        ready--;
        put_text(s, "<close xmlns='" FRAMING "'/>");
        turn(now_ns());
    }
    while (gone < count_sessions && now_ns() < deadline) turn(deadline);
    for (int i = 0; i < count_sessions; i++) {
        if (sessions[i]->stage != GONE) fail(sessions[i], "not closed by the server", NULL, 0);
        end(sessions[i]);
        free(sessions[i]);
    }
    count_sessions = gone = 0;
    printf("{\"command\": \"logout\"");
    answer(began, now_ns(), cpu);
}

static void command(char *line) {
    int count, parallel, body, flight, over;
    double seconds, rate;
    if (sscanf(line, "login %d %d", &count, &parallel) == 2) {
        login(count, parallel);
    } else if (sscanf(line, "run %lf %d %d %d %lf", &seconds, &body, &flight, &over, &rate) == 5 && flight <= RING &&
               body <= CHUNK) {
        run(seconds, body, flight, over, rate);
    } else if (starts(line, strlen(line), "logout")) {
        logout();
    } else {
        fprintf(stderr, "unknown command: %s\n", line);
        exit(2);
    }
}

/* Commands are lines and come one at a time: the next is written when the last was answered. */
static void read_command(void) {
    static char line[256];
    static size_t length;
    ssize_t got = read(0, line + length, sizeof line - 1 - length);
    input_ready = 0;
    if (got <= 0) {
        input_closed = 1;
        return;
    }
    length += got;
    line[length] = 0;
    if (line[length - 1] == '\n') {
        length = 0;
        command(line);
    }
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fprintf(stderr, "usage: load PORT PATH DOMAIN ACCOUNTS RESOURCE [tls]\n");
        return 2;
    }
    port = atoi(argv[1]);
    path = argv[2];
    domain = argv[3];
    accounts = atoi(argv[4]);
    resource = argv[5];
    raise_limit();
    random_state ^= now_ns();
    if (argc > 6) {
        tls = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
    }
    epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &event);
    while (!input_closed) {
        turn(0);
        if (input_ready) read_command();
    }
    return 0;
}
