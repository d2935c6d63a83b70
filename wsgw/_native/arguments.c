#include "arguments.h"

bool count_arguments(Py_ssize_t given, Py_ssize_t wanted)
{
    if (given != wanted)
        PyErr_Format(PyExc_TypeError, "%zd arguments instead of %zd", given, wanted);
    return given == wanted;
}

bool read_bytes(PyObject *object, Data *data)
{
    char *start;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(object, &start, &size) < 0)
        return false;
    data->start = (const uint8_t *)start;
    data->end = data->start + size;
    return true;
}

bool read_size(PyObject *object, size_t *size)
{
    *size = PyLong_AsSize_t(object);
    return *size != (size_t)-1 || !PyErr_Occurred();
}

bool read_bytes_from(PyObject *object, PyObject *start, Data *data)
{
    size_t place;
    if (!read_bytes(object, data) || !read_size(start, &place))
        return false;
    if (place > (size_t)(data->end - data->start)) {
        PyErr_SetString(PyExc_ValueError, "the place is after the end of the bytes");
        return false;
    }
    data->start += place;
    return true;
}

/* At most `room`: the result fits into an int. */
static int within(size_t number, int room)
{
    return number < (size_t)room ? (int)number : room;
}

bool read_bounds(PyObject *const *objects, Bounds *bounds)
{
    size_t levels, attributes;
    if (!read_size(objects[0], &bounds->size) || !read_size(objects[1], &levels) || !read_size(objects[2], &attributes))
        return false;
    bounds->levels = within(levels, MAX_LEVELS);
    bounds->attributes = within(attributes, MAX_ATTRIBUTES);
    return true;
}
