/* Whole chunks of a connection in one call. */
#ifndef WSGW_CHUNKS_H
#define WSGW_CHUNKS_H

#include "arguments.h"

PyObject *take_stanzas(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *stanzas_of_frames(PyObject *module, PyObject *const *arguments, Py_ssize_t count);
PyObject *frames_of_stanzas(PyObject *module, PyObject *const *arguments, Py_ssize_t count);

#endif
