/*
 * The module wsgw._native._core: functions on bytes, without state. No function calls back into Python or releases
 * the interpreter's lock.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

/* unmask(payload, mask) -> payload XOR the repeated mask of four bytes (RFC 6455 section 5.3) */
static PyObject *py_unmask(PyObject *module, PyObject *arguments)
{
    const char *payload, *mask;
    Py_ssize_t size, mask_size;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y#y#", &payload, &size, &mask, &mask_size))
        return NULL;
    if (mask_size != 4) {
        PyErr_SetString(PyExc_ValueError, "a mask has four bytes");
        return NULL;
    }
    PyObject *unmasked = PyBytes_FromStringAndSize(NULL, size);
    if (unmasked == NULL)
        return NULL;
    char *to = PyBytes_AsString(unmasked);
    for (Py_ssize_t i = 0; i < size; i++)
        to[i] = (char)(payload[i] ^ mask[i % 4]);
    return unmasked;
}

static PyMethodDef functions[] = {
    {"unmask", py_unmask, METH_VARARGS, NULL},
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
