#include "chunks.h"

#include <string.h>

#include "frame.h"

/* Bytes under construction: `room` bytes, of which `size` are written. */
typedef struct {
    uint8_t *bytes;
    size_t size, room;
} Output;

/* False with an exception, and the bytes freed. */
static bool set_room(Output *output, size_t room)
{
    uint8_t *bytes = room <= PY_SSIZE_T_MAX ? PyMem_Realloc(output->bytes, room) : NULL;
    if (bytes == NULL) {
        PyMem_Free(output->bytes);
        PyErr_NoMemory();
        return false;
    }
    output->bytes = bytes;
    output->room = room;
    return true;
}

/* Make sure that `more` bytes can be written. The room doubles, so that all copies together cost linear time. */
static bool reserve(Output *output, size_t more)
{
    if (more <= output->room - output->size) /* size is at most room */
        return true;
    return set_room(output, 2 * output->room + more);
}

/* The first `size` of the `room` bytes of an object, which ends unless it is returned; NULL with an exception. */
static PyObject *first_of(PyObject *bytes, size_t size, size_t room)
{
    if (size == room)
        return bytes;
    PyObject *first = PyBytes_FromStringAndSize(PyBytes_AsString(bytes), (Py_ssize_t)size);
    Py_DECREF(bytes);
    return first;
}

/* The result of a function on a chunk; `bytes` passes to it, or is NULL with an exception. */
static PyObject *with_counts(PyObject *bytes, size_t elements, size_t stanzas, Py_ssize_t place)
{
    if (bytes == NULL)
        return NULL;
    return Py_BuildValue("Nnnn", bytes, (Py_ssize_t)elements, (Py_ssize_t)stanzas, place);
}

/* -- from the server, stanza by stanza ------------------------------------------------------------------- */

/* Append (name, bytes) to the list; `whole` is an object with just these bytes, or NULL. */
static bool append_event(PyObject *events, PyObject *name, PyObject *whole, const uint8_t *start, const uint8_t *end)
{
    PyObject *bytes = whole;
    if (whole != NULL)
        Py_INCREF(whole);
    else
        bytes = PyBytes_FromStringAndSize((const char *)start, end - start);
    if (bytes == NULL)
        return false;
    PyObject *event = PyTuple_Pack(2, name, bytes);
    Py_DECREF(bytes);
    if (event == NULL)
        return false;
    int status = PyList_Append(events, event);
    Py_DECREF(event);
    return status == 0;
}

/*
 * take_stanzas(data, events, names, inherits, size, levels, attributes) -> place
 *
 * Appends (name, bytes) of each common stanza at the start of `data` to `events`, and skips the white space between
 * them. `names` is a tuple with the name of each kind. Returns the place of the first byte that was not taken.
 */
PyObject *take_stanzas(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    Data data;
    Bounds bounds;
    (void)module;
    if (!count_arguments(count, 7) || !read_bytes(arguments[0], &data) || !read_bounds(arguments + 4, &bounds))
        return NULL;
    PyObject *events = arguments[1], *names = arguments[2];
    const bool inherits = arguments[3] == Py_True;
    const uint8_t *at = skip_white_space(data.start, data.end);
    Stanza stanza;
    while (at < data.end && read_stanza(at, data.end, &bounds, inherits, &stanza)) {
        PyObject *name = PyTuple_GetItem(names, stanza.kind); /* borrowed; an exception if there is none */
        PyObject *whole = at == data.start && stanza.end == data.end ? arguments[0] : NULL;
        if (name == NULL || !append_event(events, name, whole, at, stanza.end))
            return NULL;
        at = skip_white_space(stanza.end, data.end);
    }
    return PyLong_FromSsize_t(at - data.start);
}

/* -- from the browser: frames in, stanzas out ------------------------------------------------------------ */

/* The bytes of the payloads of the frames that read_text_frame takes from `at` on. */
static size_t size_of_payloads(const uint8_t *at, const uint8_t *end, size_t max_size)
{
    Frame frame;
    size_t size = 0;
    for (; read_text_frame(at, end, max_size, &frame); at = frame.payload + frame.size)
        size += frame.size;
    return size;
}

/*
 * stanzas_of_frames(data, start, max_size, size, levels, attributes) -> (stanzas, elements, stanza count, place)
 *
 * Reads the frames from the place `start` on for as long as each holds exactly one common stanza that declares its
 * namespace, in a message of at most `max_size` bytes. Returns the bytes of the elements, their number (one for each
 * frame), the number of stanzas among them, and the place of the first byte that was not taken.
 */
PyObject *stanzas_of_frames(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    Data data;
    size_t max_size, elements = 0, stanzas = 0;
    Bounds bounds;
    (void)module;
    if (!count_arguments(count, 6) || !read_bytes_from(arguments[0], arguments[1], &data) ||
        !read_size(arguments[2], &max_size) || !read_bounds(arguments + 3, &bounds))
        return NULL;
    const size_t room = size_of_payloads(data.start, data.end, max_size);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)room);
    if (bytes == NULL)
        return NULL;
    uint8_t *const first = (uint8_t *)PyBytes_AsString(bytes), *payload = first;
    const uint8_t *at = data.start;
    Frame frame;
    while (read_text_frame(at, data.end, max_size, &frame)) { /* the frames that size_of_payloads has counted */
        uint8_t *const end = payload + frame.size;
        Stanza stanza;
        unmask(payload, frame.payload, frame.size, frame.mask);
        if (!read_stanza(payload, end, &bounds, false, &stanza) || stanza.end != end)
            break;
        payload = end;
        elements++;
        stanzas += stanza.kind <= IQ;
        at = frame.payload + frame.size;
    }
    bytes = first_of(bytes, (size_t)(payload - first), room);
    return with_counts(bytes, elements, stanzas, PyBytes_Size(arguments[0]) - (data.end - at));
}

/* -- from the server: stanzas in, frames out -------------------------------------------------------------- */

static uint8_t *put(uint8_t *to, const uint8_t *from, size_t size)
{
    memcpy(to, from, size);
    return to + size;
}

/* The bytes of `declaration` that the stanza needs: none if it has its own. */
static size_t missing(const Stanza *stanza, Data declaration)
{
    return stanza->declares ? 0 : (size_t)(declaration.end - declaration.start);
}

/* Write a frame with the stanza at `at` to `to`, whose room is that of its header, the stanza and what is missing. */
static uint8_t *write_frame(uint8_t *to, const uint8_t *at, const Stanza *stanza, Data declaration)
{
    const size_t declared = missing(stanza, declaration);
    to += write_header(to, (size_t)(stanza->end - at) + declared);
    to = put(to, at, (size_t)(stanza->after_name - at));
    to = put(to, declaration.start, declared);
    return put(to, stanza->after_name, (size_t)(stanza->end - stanza->after_name));
}

/* A frame with the one stanza of a chunk: the most common case, which needs no copy. */
static PyObject *frame_of(const uint8_t *at, const Stanza *stanza, Data declaration)
{
    uint8_t header[MAX_HEADER];
    const size_t payload = (size_t)(stanza->end - at) + missing(stanza, declaration);
    PyObject *frame = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(write_header(header, payload) + payload));
    if (frame != NULL)
        write_frame((uint8_t *)PyBytes_AsString(frame), at, stanza, declaration);
    return frame;
}

/* Append a frame with the stanza at `at`. */
static bool append_frame(Output *output, const uint8_t *at, const Stanza *stanza, Data declaration)
{
    if (!reserve(output, MAX_HEADER + (size_t)(stanza->end - at) + missing(stanza, declaration)))
        return false;
    output->size = (size_t)(write_frame(output->bytes + output->size, at, stanza, declaration) - output->bytes);
    return true;
}

/*
 * frames_of_stanzas(data, declaration, inherits, size, levels, attributes) -> (frames, elements, stanza count, place)
 *
 * Makes a frame of each common stanza at the start of `data`, with `declaration` if the stanza does not declare its
 * namespace, and skips the white space between them. Returns the frames, their number, the number of stanzas among
 * them, and the place of the first byte that was not taken.
 */
PyObject *frames_of_stanzas(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    Data data, declaration;
    size_t elements = 0, stanzas = 0;
    Bounds bounds;
    Output output = {0};
    (void)module;
    if (!count_arguments(count, 6) || !read_bytes(arguments[0], &data) || !read_bytes(arguments[1], &declaration) ||
        !read_bounds(arguments + 3, &bounds))
        return NULL;
    const bool inherits = arguments[2] == Py_True;
    const uint8_t *at = skip_white_space(data.start, data.end);
    Stanza stanza;
    for (; at < data.end && read_stanza(at, data.end, &bounds, inherits, &stanza); elements++) {
        const bool only = elements == 0 && stanza.end == data.end;
        stanzas += stanza.kind <= IQ;
        if (only)
            return with_counts(frame_of(at, &stanza, declaration), 1, stanzas, data.end - data.start);
        if (!append_frame(&output, at, &stanza, declaration))
            return NULL;
        at = skip_white_space(stanza.end, data.end);
    }
    PyObject *frames = PyBytes_FromStringAndSize((const char *)output.bytes, (Py_ssize_t)output.size);
    PyMem_Free(output.bytes);
    return with_counts(frames, elements, stanzas, at - data.start);
}
