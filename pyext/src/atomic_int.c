/* SPDX-License-Identifier: BSD-2-Clause */
/* AtomicInt: 64 bits with a sign. A result that does not fit is an OverflowError, and nothing was
 * changed.
 *
 * There is no arithmetic by operators, and no +=: `a += 1` is a read, a sum and a write, and
 * would look atomic. There is no comparison by value and no hash of the value either, since the
 * value may change under a dictionary or between a comparison and what follows from it: two
 * AtomicInts are equal if they are one. int(a) and a.load() give a number to calculate and
 * compare with. */
#include "core.h"

typedef struct atomic_int_object {
    PyObject ob_base;
    lw_atomic_u64 value; /* the bits of an int64_t */
} atomic_int_object;

static lw_atomic_u64 *value_of(PyObject *self)
{
    return &((atomic_int_object *)self)->value;
}

/* Two's complement, without the sign conversion that C leaves to the implementation. */
static int64_t as_signed(uint64_t bits)
{
    return bits <= INT64_MAX ? (int64_t)bits : -(int64_t)(UINT64_MAX - bits) - 1;
}

static PyObject *overflow_error(void)
{
    PyErr_SetString(PyExc_OverflowError, "AtomicInt holds 64 bits: the result does not fit");
    return NULL;
}

static PyObject *as_int(uint64_t bits)
{
    return PyLong_FromLongLong(as_signed(bits));
}

/* 0, or -1 with TypeError or OverflowError. */
static int parse(PyObject *object, uint64_t *out)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (overflow != 0) {
        PyErr_SetString(PyExc_OverflowError, "AtomicInt holds 64 bits: the argument does not fit");
        return -1;
    }
    if (value == -1 && PyErr_Occurred()) {
        return -1;
    }
    *out = (uint64_t)value;
    return 0;
}

/* Every operation acquires and releases: a value that was read here says what was done before it
 * was written. */
static PyObject *atomic_int_load(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    /* (1) acquire: pairs with the release half of (2) to (5). */
    return as_int(lw_atomic_load_acquire_u64(value_of(self)));
}

static PyObject *atomic_int_store(PyObject *self, PyObject *arg)
{
    uint64_t value;
    if (parse(arg, &value) < 0) {
        return NULL;
    }
    /* (2) release: pairs with (1) and the acquire half of (3) to (5). */
    lw_atomic_store_release_u64(value_of(self), value);
    Py_RETURN_NONE;
}

static PyObject *atomic_int_exchange(PyObject *self, PyObject *arg)
{
    uint64_t value;
    if (parse(arg, &value) < 0) {
        return NULL;
    }
    /* (3) */
    return as_int(lw_atomic_exchange_acq_rel_u64(value_of(self), value));
}

static PyObject *atomic_int_compare_exchange(PyObject *self, PyObject *const *args,
                                             Py_ssize_t nargs)
{
    uint64_t expected;
    uint64_t desired;
    if (nargs != 2) {
        return PyErr_Format(PyExc_TypeError, "compare_exchange expected 2 arguments, got %zd",
                            nargs);
    }
    if (parse(args[0], &expected) < 0 || parse(args[1], &desired) < 0) {
        return NULL;
    }
    /* (4) */
    return PyBool_FromLong(lw_atomic_cas_acq_rel_u64(value_of(self), &expected, desired));
}

/* Both sums are of 64-bit numbers with a sign, as bits; false if the result does not fit. */
static bool checked_add(uint64_t a, uint64_t b, uint64_t *result)
{
    *result = a + b;
    /* The signs of a and b agree, and that of the result differs. */
    return (((a ^ *result) & (b ^ *result)) >> 63) == 0;
}

static bool checked_sub(uint64_t a, uint64_t b, uint64_t *result)
{
    *result = a - b;
    return (((a ^ b) & (a ^ *result)) >> 63) == 0;
}

static PyObject *arithmetic(PyObject *self, PyObject *arg,
                            bool (*operation)(uint64_t, uint64_t, uint64_t *))
{
    uint64_t operand;
    if (parse(arg, &operand) < 0) {
        return NULL;
    }
    uint64_t value = lw_atomic_load_relaxed_u64(value_of(self));
    uint64_t result;
    do {
        if (!operation(value, operand, &result)) {
            return overflow_error();
        }
        /* (5) */
    } while (!lw_atomic_cas_acq_rel_u64(value_of(self), &value, result));
    return as_int(value);
}

static PyObject *atomic_int_add(PyObject *self, PyObject *arg)
{
    return arithmetic(self, arg, checked_add);
}

static PyObject *atomic_int_sub(PyObject *self, PyObject *arg)
{
    return arithmetic(self, arg, checked_sub);
}

static PyObject *atomic_int_and(PyObject *self, PyObject *arg)
{
    uint64_t operand;
    if (parse(arg, &operand) < 0) {
        return NULL;
    }
    return as_int(lw_atomic_and_acq_rel_u64(value_of(self), operand)); /* (5) */
}

static PyObject *atomic_int_or(PyObject *self, PyObject *arg)
{
    uint64_t operand;
    if (parse(arg, &operand) < 0) {
        return NULL;
    }
    return as_int(lw_atomic_or_acq_rel_u64(value_of(self), operand)); /* (5) */
}

static PyObject *atomic_int_xor(PyObject *self, PyObject *arg)
{
    uint64_t operand;
    if (parse(arg, &operand) < 0) {
        return NULL;
    }
    return as_int(lw_atomic_xor_acq_rel_u64(value_of(self), operand)); /* (5) */
}

static PyObject *atomic_int_number(PyObject *self)
{
    return atomic_int_load(self, NULL);
}

static int atomic_int_bool(PyObject *self)
{
    return lw_atomic_load_acquire_u64(value_of(self)) != 0;
}

static PyObject *atomic_int_repr(PyObject *self)
{
    return PyUnicode_FromFormat("AtomicInt(%lld)",
                                (long long)as_signed(lw_atomic_load_acquire_u64(value_of(self))));
}

static PyObject *atomic_int_new(PyTypeObject *type, PyObject *args, PyObject *kwds)
{
    PyObject *initial = NULL;
    if (kwds != NULL && PyDict_GET_SIZE(kwds) != 0) {
        PyErr_SetString(PyExc_TypeError, "AtomicInt() takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_UnpackTuple(args, "AtomicInt", 0, 1, &initial)) {
        return NULL;
    }
    uint64_t value = 0;
    if (initial != NULL && parse(initial, &value) < 0) {
        return NULL;
    }
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL) {
        lw_atomic_store_relaxed_u64(value_of(self), value);
    }
    return self;
}

static void atomic_int_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    core_free_object(self);
}

PyDoc_STRVAR(
    atomic_int_doc,
    "AtomicInt(value=0, /)\n--\n\n"
    "A 64-bit integer that threads change without a lock. Methods that read and write return\n"
    "the value from before. An argument or a result that does not fit is an OverflowError, and\n"
    "then nothing was changed. Compared and hashed by identity; int(a) is the value.");
PyDoc_STRVAR(load_doc, "load($self, /)\n--\n\nThe value.");
PyDoc_STRVAR(store_doc, "store($self, value, /)\n--\n\nSet the value.");
PyDoc_STRVAR(exchange_doc,
             "exchange($self, value, /)\n--\n\nSet the value; return the one before.");
PyDoc_STRVAR(compare_exchange_doc,
             "compare_exchange($self, expected, desired, /)\n--\n\n"
             "If the value is expected, set desired and return True; else return False.");
PyDoc_STRVAR(add_doc, "add($self, n, /)\n--\n\nAdd n; return the value from before.");
PyDoc_STRVAR(sub_doc, "sub($self, n, /)\n--\n\nSubtract n; return the value from before.");
PyDoc_STRVAR(and_doc, "and_($self, n, /)\n--\n\nKeep the bits of n; return the value from before.");
PyDoc_STRVAR(or_doc, "or_($self, n, /)\n--\n\nSet the bits of n; return the value from before.");
PyDoc_STRVAR(xor_doc, "xor($self, n, /)\n--\n\nFlip the bits of n; return the value from before.");

static PyMethodDef atomic_int_methods[] = {
    {"load", atomic_int_load, METH_NOARGS, load_doc},
    {"store", atomic_int_store, METH_O, store_doc},
    {"exchange", atomic_int_exchange, METH_O, exchange_doc},
    {"compare_exchange", CORE_METHOD(atomic_int_compare_exchange), METH_FASTCALL,
     compare_exchange_doc},
    {"add", atomic_int_add, METH_O, add_doc},
    {"sub", atomic_int_sub, METH_O, sub_doc},
    {"and_", atomic_int_and, METH_O, and_doc},
    {"or_", atomic_int_or, METH_O, or_doc},
    {"xor", atomic_int_xor, METH_O, xor_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot atomic_int_slots[] = {
    {Py_tp_doc, (void *)atomic_int_doc},         {Py_tp_new, (void *)atomic_int_new},
    {Py_tp_dealloc, (void *)atomic_int_dealloc}, {Py_tp_traverse, (void *)core_traverse_type},
    {Py_tp_repr, (void *)atomic_int_repr},       {Py_tp_methods, atomic_int_methods},
    {Py_nb_int, (void *)atomic_int_number},      {Py_nb_index, (void *)atomic_int_number},
    {Py_nb_bool, (void *)atomic_int_bool},       {0, NULL},
};

static PyType_Spec atomic_int_spec = {
    "latchwork.AtomicInt",
    sizeof(atomic_int_object),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    atomic_int_slots,
};

int core_add_atomic_int(PyObject *module, core_state *state)
{
    state->atomic_int_type = core_add_type(module, &atomic_int_spec, "AtomicInt");
    return state->atomic_int_type != NULL ? 0 : -1;
}
