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

static void append(Output *output, const uint8_t *from, size_t size)
{
    memcpy(output->bytes + output->size, from, size);
    output->size += size;
}

/* The bytes with the other results; the output ends. */
static PyObject *finish(Output *output, size_t elements, size_t stanzas, Py_ssize_t place)
{
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)output->bytes, (Py_ssize_t)output->size);
    PyMem_Free(output->bytes);
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
    Output output = {0};
    (void)module;
    if (!count_arguments(count, 6) || !read_bytes_from(arguments[0], arguments[1], &data) ||
        !read_size(arguments[2], &max_size) || !read_bounds(arguments + 3, &bounds))
        return NULL;
    /* A payload is shorter than its frame: all payloads fit. */
    if (!set_room(&output, (size_t)(data.end - data.start)))
        return NULL;
    const uint8_t *at = data.start;
    Frame frame;
    while (read_text_frame(at, data.end, max_size, &frame)) {
        uint8_t *payload = output.bytes + output.size, *end = payload + frame.size;
        Stanza stanza;
        unmask(payload, frame.payload, frame.size, frame.mask);
        if (!read_stanza(payload, end, &bounds, false, &stanza) || stanza.end != end)
            break;
        output.size += frame.size;
        elements++;
        stanzas += stanza.kind <= IQ;
        at = frame.payload + frame.size;
    }
    return finish(&output, elements, stanzas, PyBytes_Size(arguments[0]) - (data.end - at));
}

/* -- from the server: stanzas in, frames out -------------------------------------------------------------- */

/* Append a frame with the stanza at `at`; `declaration` is inserted unless the stanza has its own. */
static bool append_frame(Output *output, const uint8_t *at, const Stanza *stanza, Data declaration)
{
    const size_t missing = stanza->declares ? 0 : (size_t)(declaration.end - declaration.start);
    const size_t size = (size_t)(stanza->end - at) + missing;
    if (!reserve(output, MAX_HEADER + size))
        return false;
    output->size += write_header(output->bytes + output->size, size);
    append(output, at, (size_t)(stanza->after_name - at));
    append(output, declaration.start, missing);
    append(output, stanza->after_name, (size_t)(stanza->end - stanza->after_name));
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
    /* Enough for one stanza; append_frame reserves what others need. */
    const size_t declared = (size_t)(declaration.end - declaration.start);
    if (!set_room(&output, (size_t)(data.end - data.start) + MAX_HEADER + declared))
        return NULL;
    const uint8_t *at = skip_white_space(data.start, data.end);
    Stanza stanza;
    while (at < data.end && read_stanza(at, data.end, &bounds, inherits, &stanza)) {
        if (!append_frame(&output, at, &stanza, declaration))
            return NULL;
        elements++;
        stanzas += stanza.kind <= IQ;
        at = skip_white_space(stanza.end, data.end);
    }
    return finish(&output, elements, stanzas, at - data.start);
}
