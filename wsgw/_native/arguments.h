/* The arguments that the functions of the module share. */
#ifndef WSGW_ARGUMENTS_H
#define WSGW_ARGUMENTS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>

#include "stanza.h"

typedef struct {
    const uint8_t *start, *end;
} Data;

/* Each returns false with an exception set. */
bool count_arguments(Py_ssize_t given, Py_ssize_t wanted);
bool read_bytes(PyObject *object, Data *data);
bool read_size(PyObject *object, size_t *size);
/* The bytes of `object` from the place `start` on. */
bool read_bytes_from(PyObject *object, PyObject *start, Data *data);
/* Three integers: bytes, levels, attributes. Levels and attributes above the room for them count as that room. */
bool read_bounds(PyObject *const *objects, Bounds *bounds);

#endif
