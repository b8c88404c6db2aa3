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

PyObject *core_too_long(void)
{
    PyErr_SetString(PyExc_OverflowError, "timeout value is too large");
    return NULL;
}

/* Not -1, which is no limit: another negative number of seconds, or NaN. */
enum { NEGATIVE = -2 };

/* Seconds to nanoseconds, rounded up. What is out of range: CORE_TOO_LONG or INT64_MIN. 0, or -1
 * with an exception. */
static int parse_seconds(PyObject *object, int64_t *out)
{
    if (PyFloat_Check(object)) {
        double seconds = PyFloat_AS_DOUBLE(object);
        double ns = ceil(seconds * 1e9);
        *out = ns >= 9223372036854775808.0   ? CORE_TOO_LONG
               : ns < -9223372036854775808.0 ? INT64_MIN
               : seconds == -1.0             ? -1
               : seconds >= 0                ? (int64_t)ns
                                             : NEGATIVE;
        return 0;
    }
    int overflow;
    long long seconds = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (seconds == -1 && overflow == 0 && PyErr_Occurred()) {
        return -1;
    }
    *out = overflow > 0 || seconds > INT64_MAX / 1000000000   ? CORE_TOO_LONG
           : overflow < 0 || seconds < INT64_MIN / 1000000000 ? INT64_MIN
           : seconds == -1                                    ? -1
           : seconds >= 0                                     ? (int64_t)seconds * 1000000000
                                                              : NEGATIVE;
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
    if (*timeout_ns == CORE_TOO_LONG || *timeout_ns == INT64_MIN) {
        (void)core_too_long();
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

lw_status core_wait(lw_py_wait_fn wait, void *arg, int64_t timeout_ns)
{
    if (timeout_ns == CORE_TOO_LONG) {
        (void)core_too_long();
        return LW_INVALID;
    }
    return lw_py_wait_interruptible(wait, arg, timeout_ns);
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
