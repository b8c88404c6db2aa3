/* SPDX-License-Identifier: BSD-2-Clause */
/* The arguments that the locks have in common, and what becomes of a wait. */
#include "core.h"

#include <math.h>

int core_parse_arguments(const char *function, const char *const *known, int count, int required,
                         PyObject *const *args, Py_ssize_t nargs, PyObject *names, PyObject **given)
{
    if (nargs > count) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %d argument%s (%zd given)", function,
                     count, count == 1 ? "" : "s", nargs);
        return -1;
    }
    for (int i = 0; i < count; i++) {
        given[i] = i < nargs ? args[i] : NULL;
    }
    Py_ssize_t named = names != NULL ? PyTuple_GET_SIZE(names) : 0;
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        int which = 0;
        while (which < count && PyUnicode_CompareWithASCIIString(name, known[which]) != 0) {
            which++;
        }
        if (which == count) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function,
                         name);
            return -1;
        }
        if (given[which] != NULL) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", function,
                         name);
            return -1;
        }
        given[which] = args[nargs + i];
    }
    for (int i = 0; i < required; i++) {
        if (given[i] == NULL) {
            PyErr_Format(PyExc_TypeError, "%s() missing required argument '%s'", function,
                         known[i]);
            return -1;
        }
    }
    return 0;
}

static int overflow_error(void)
{
    PyErr_SetString(PyExc_OverflowError, "timeout value is too large");
    return -1;
}

/* Seconds, or -1 for no limit, to nanoseconds, rounded up; INT64_MIN: negative, but not -1. 0, or
 * -1 with an exception. */
static int parse_seconds(PyObject *object, int64_t *out)
{
    if (PyFloat_Check(object)) {
        double seconds = PyFloat_AS_DOUBLE(object);
        if (isnan(seconds)) {
            PyErr_SetString(PyExc_ValueError, "timeout value is not a number");
            return -1;
        }
        double ns = ceil(seconds * 1e9);
        if (ns >= 9223372036854775808.0 || ns < -9223372036854775808.0) {
            return overflow_error();
        }
        *out = seconds == -1.0 ? -1 : seconds < 0 ? INT64_MIN : (int64_t)ns;
        return 0;
    }
    int overflow;
    long long seconds = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (seconds == -1 && overflow == 0 && PyErr_Occurred()) {
        return -1;
    }
    if (overflow != 0 || seconds > INT64_MAX / 1000000000 || seconds < INT64_MIN / 1000000000) {
        return overflow_error();
    }
    *out = seconds == -1 ? -1 : seconds < 0 ? INT64_MIN : (int64_t)seconds * 1000000000;
    return 0;
}

int core_parse_limit(PyObject *object, int64_t *timeout_ns)
{
    *timeout_ns = -1;
    if (object == NULL || object == Py_None) {
        return 0;
    }
    if (parse_seconds(object, timeout_ns) < 0) {
        return -1;
    }
    *timeout_ns = *timeout_ns < 0 ? 0 : *timeout_ns;
    return 0;
}

int core_parse_wait(const char *function, PyObject *const *args, Py_ssize_t nargs, PyObject *names,
                    int64_t *timeout_ns)
{
    static const char *const known[] = {"timeout"};
    PyObject *given[1];
    if (core_parse_arguments(function, known, 1, 0, args, nargs, names, given) < 0) {
        return -1;
    }
    return core_parse_limit(given[0], timeout_ns);
}

int core_parse_acquire(PyObject *const *args, Py_ssize_t nargs, PyObject *names,
                       int64_t *timeout_ns)
{
    return core_parse_acquire_by("acquire", args, nargs, names, timeout_ns);
}

int core_parse_acquire_by(const char *function, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *names, int64_t *timeout_ns)
{
    static const char *const known[] = {"blocking", "timeout"};
    PyObject *given[2];
    if (core_parse_arguments(function, known, 2, 0, args, nargs, names, given) < 0) {
        return -1;
    }
    int blocking = given[0] != NULL ? PyObject_IsTrue(given[0]) : 1;
    *timeout_ns = -1;
    if (blocking < 0 || (given[1] != NULL && parse_seconds(given[1], timeout_ns) < 0)) {
        return -1;
    }
    if (!blocking && *timeout_ns != -1) {
        PyErr_SetString(PyExc_ValueError, "can't specify a timeout for a non-blocking call");
        return -1;
    }
    if (*timeout_ns < 0 && *timeout_ns != -1) {
        PyErr_SetString(PyExc_ValueError, "timeout value must be a non-negative number");
        return -1;
    }
    *timeout_ns = blocking ? *timeout_ns : 0;
    return 0;
}

int core_parse_u32(PyObject *object, uint32_t least, uint32_t most, const char *too_small,
                   const char *too_large, uint32_t *out)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (value == -1 && overflow == 0 && PyErr_Occurred()) {
        return -1;
    }
    if (overflow < 0 || (overflow == 0 && value < (long long)least)) {
        PyErr_SetString(PyExc_ValueError, too_small);
        return -1;
    }
    bool more = overflow > 0 || value > (long long)most;
    if (more && too_large != NULL) {
        PyErr_SetString(PyExc_OverflowError, too_large);
        return -1;
    }
    *out = more ? most : (uint32_t)value;
    return 0;
}

PyObject *core_waited(lw_status status)
{
    switch (status) {
    case LW_OK:
        Py_RETURN_TRUE;
    case LW_TIMEOUT:
        Py_RETURN_FALSE;
    default:
        return NULL;
    }
}
