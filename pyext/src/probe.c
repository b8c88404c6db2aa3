/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe.h"

#include <string.h>

/* Tuples in tuples deeper than this are left to Python, which counts the depth of its recursion. */
enum { NATIVE_DEPTH = 8 };

static lw_match as_match(bool equal)
{
    return equal ? LW_MATCH_YES : LW_MATCH_NO;
}

/* For types whose own comparison is C code that neither fails nor runs anything else. */
static lw_match compare_by_slot(PyTypeObject *type, PyObject *stored, PyObject *key)
{
    PyObject *result = type->tp_richcompare(stored, key, Py_EQ);
    bool equal = result == Py_True;
    Py_DECREF(result);
    return as_match(equal);
}

static lw_match compare_native(PyObject *stored, PyObject *key, int depth)
{
    if (stored == key) {
        return LW_MATCH_YES;
    }
    PyTypeObject *type = Py_TYPE(key);
    if (Py_TYPE(stored) != type) {
        /* No number is equal to a string; all else may be (1 == 1.0, a subclass, and bytes may
         * warn). */
        bool apart = (PyUnicode_CheckExact(key) && PyLong_CheckExact(stored)) ||
                     (PyLong_CheckExact(key) && PyUnicode_CheckExact(stored));
        return apart ? LW_MATCH_NO : LW_MATCH_UNKNOWN;
    }
    if (type == &PyUnicode_Type) {
        Py_ssize_t length = PyUnicode_GET_LENGTH(key);
        if (length != PyUnicode_GET_LENGTH(stored) ||
            PyUnicode_KIND(key) != PyUnicode_KIND(stored)) {
            return LW_MATCH_NO;
        }
        return as_match(memcmp(PyUnicode_DATA(key), PyUnicode_DATA(stored),
                               (size_t)length * (size_t)PyUnicode_KIND(key)) == 0);
    }
    if (type == &PyLong_Type || type == &PyFloat_Type) {
        return compare_by_slot(type, stored, key);
    }
    if (type == &PyBytes_Type) {
        Py_ssize_t size = PyBytes_GET_SIZE(key);
        return as_match(size == PyBytes_GET_SIZE(stored) &&
                        memcmp(PyBytes_AS_STRING(key), PyBytes_AS_STRING(stored), (size_t)size) ==
                            0);
    }
    if (type == &PyTuple_Type) {
        Py_ssize_t size = PyTuple_GET_SIZE(key);
        if (size != PyTuple_GET_SIZE(stored)) {
            return LW_MATCH_NO;
        }
        if (depth == NATIVE_DEPTH) {
            return LW_MATCH_UNKNOWN;
        }
        for (Py_ssize_t i = 0; i < size; i++) {
            lw_match item =
                compare_native(PyTuple_GET_ITEM(stored, i), PyTuple_GET_ITEM(key, i), depth + 1);
            if (item != LW_MATCH_YES) {
                return item;
            }
        }
        return LW_MATCH_YES;
    }
    /* Functions, classes, plain objects: equal to themselves alone. */
    if (type->tp_richcompare == PyBaseObject_Type.tp_richcompare) {
        return LW_MATCH_NO;
    }
    return LW_MATCH_UNKNOWN;
}

lw_match probe_compare_native(PyObject *stored, PyObject *key)
{
    return compare_native(stored, key, 0);
}

lw_match probe_match(void *arg, uint64_t stored_key)
{
    probe *p = (probe *)arg;
    PyObject *stored = (PyObject *)lw_ptr_value(stored_key);
    lw_match native = compare_native(stored, p->key, 0);
    if (LW_LIKELY(native != LW_MATCH_UNKNOWN)) {
        return native;
    }
    for (size_t i = 0; i < p->count; i++) {
        size_t at = p->next + i;
        if (at >= p->count) {
            at -= p->count;
        }
        if (p->answers[at].stored == stored) {
            p->next = at + 1 < p->count ? at + 1 : 0;
            return as_match(p->answers[at].equal);
        }
    }
    if (p->undecided == NULL) {
        /* The map's own reference is not dropped before this section or lock is left. */
        p->undecided = Py_NewRef(stored);
    }
    return LW_MATCH_UNKNOWN;
}

lw_match probe_match_identity(void *arg, uint64_t stored_key)
{
    return as_match(lw_ptr_value(stored_key) == arg);
}

int probe_decide(probe *p)
{
    PyObject *stored = p->undecided;
    if (stored == NULL) {
        return 0;
    }
    if (p->count == p->capacity) {
        size_t capacity = p->capacity * 2;
        probe_answer *answers = PyMem_New(probe_answer, capacity);
        if (answers == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        memcpy(answers, p->answers, p->count * sizeof(*answers));
        if (p->answers != p->inline_answers) {
            PyMem_Free(p->answers);
        }
        p->answers = answers;
        p->capacity = capacity;
    }
    int equal = PyObject_RichCompareBool(stored, p->key, Py_EQ);
    if (equal < 0) {
        return -1;
    }
    p->answers[p->count].stored = stored;
    p->answers[p->count].equal = equal != 0;
    p->count++;
    p->undecided = NULL;
    p->next = 0;
    return 0;
}

void probe_clear_slow(probe *p)
{
    Py_CLEAR(p->undecided);
    for (size_t i = 0; i < p->count; i++) {
        Py_DECREF(p->answers[i].stored);
    }
    if (p->answers != p->inline_answers) {
        PyMem_Free(p->answers);
    }
}
