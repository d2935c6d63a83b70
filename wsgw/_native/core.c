/*
 * The module wsgw._native._core: functions on bytes, without state. A function takes what is wholly common and says
 * where it stopped; Python reads the other bytes, judges and refuses. No function calls back into Python or releases
 * the interpreter's lock. docs/decisions/native.md gives the reasons.
 */
#include "arguments.h"
#include "characters.h"
#include "chunks.h"
#include "frame.h"

/* unmask(payload, mask) -> payload XOR the repeated mask of four bytes */
static PyObject *py_unmask(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    Data payload, mask;
    (void)module;
    if (!count_arguments(count, 2) || !read_bytes(arguments[0], &payload) || !read_bytes(arguments[1], &mask))
        return NULL;
    if (mask.end - mask.start != 4) {
        PyErr_SetString(PyExc_ValueError, "a mask has four bytes");
        return NULL;
    }
    PyObject *unmasked = PyBytes_FromStringAndSize(NULL, payload.end - payload.start);
    if (unmasked != NULL)
        unmask((uint8_t *)PyBytes_AsString(unmasked), payload.start, (size_t)(payload.end - payload.start), mask.start);
    return unmasked;
}

/*
 * text_frame(data, start, max_size) -> (payload, place after the frame) or None
 *
 * The message at the place `start`, if it is one whole text frame of UTF-8 with at most `max_size` bytes.
 */
static PyObject *py_text_frame(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    Data data;
    size_t max_size;
    Frame frame;
    (void)module;
    if (!count_arguments(count, 3) || !read_bytes_from(arguments[0], arguments[1], &data) ||
        !read_size(arguments[2], &max_size))
        return NULL;
    if (!read_text_frame(data.start, data.end, max_size, &frame))
        Py_RETURN_NONE;
    PyObject *payload = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)frame.size);
    if (payload == NULL)
        return NULL;
    uint8_t *start = (uint8_t *)PyBytes_AsString(payload);
    unmask(start, frame.payload, frame.size, frame.mask);
    if (!is_utf8(start, start + frame.size)) {
        Py_DECREF(payload);
        Py_RETURN_NONE;
    }
    const Py_ssize_t left = data.end - (frame.payload + frame.size);
    return Py_BuildValue("Nn", payload, PyBytes_Size(arguments[0]) - left);
}

/*
 * kind_of(text, inherits, size, levels, attributes) -> the number of the kind if `text` is one common stanza, or -1
 */
static PyObject *py_kind_of(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    Data text;
    Bounds bounds;
    Stanza stanza;
    (void)module;
    if (!count_arguments(count, 5) || !read_bytes(arguments[0], &text) || !read_bounds(arguments + 2, &bounds))
        return NULL;
    const bool common = read_stanza(text.start, text.end, &bounds, arguments[1] == Py_True, &stanza);
    return PyLong_FromLong(common && stanza.end == text.end ? (long)stanza.kind : -1);
}

#define FUNCTION(name, function) {name, (PyCFunction)(void (*)(void))(function), METH_FASTCALL, NULL}

static PyMethodDef functions[] = {
    FUNCTION("unmask", py_unmask),
    FUNCTION("text_frame", py_text_frame),
    FUNCTION("kind_of", py_kind_of),
    FUNCTION("take_stanzas", take_stanzas),
    FUNCTION("stanzas_of_frames", stanzas_of_frames),
    FUNCTION("frames_of_stanzas", frames_of_stanzas),
    {NULL, NULL, 0, NULL},
};

/* The build gives the hash of all sources: choice.py compares it with that of the tree. */
static int add_sources_hash(PyObject *module)
{
    return PyModule_AddStringConstant(module, "SOURCES_HASH", WSGW_SOURCES_HASH);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)add_sources_hash},
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "wsgw._native._core",
    .m_doc = "Native functions on frames and stanzas.",
    .m_size = 0,
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&definition);
}
