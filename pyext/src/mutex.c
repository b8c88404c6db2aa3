/* SPDX-License-Identifier: BSD-2-Clause */
/* Mutex: threading.Lock over lw_mutex_t. */
#include "core.h"

#include <math.h>

typedef struct mutex_object {
    PyObject ob_base;
    lw_mutex_t mutex;
    /* 1 while somebody is to release it. lw_mutex_unlock may not be called on an unlocked mutex,
     * not even by one of two threads that release at once: whoever turns this to 0 unlocks, the
     * other gets an exception. */
    lw_atomic_u32 held;
    PyObject *weakrefs;
} mutex_object;

static mutex_object *as_mutex(PyObject *self)
{
    return (mutex_object *)self;
}

/* Seconds, or -1 for no limit, to nanoseconds, rounded up. 0, or -1 with an exception. */
static int parse_timeout(PyObject *object, int64_t *out)
{
    if (PyFloat_Check(object)) {
        double seconds = PyFloat_AS_DOUBLE(object);
        if (isnan(seconds)) {
            PyErr_SetString(PyExc_ValueError, "timeout value is not a number");
            return -1;
        }
        double ns = ceil(seconds * 1e9);
        if (ns >= 9223372036854775808.0 || ns < -9223372036854775808.0) {
            PyErr_SetString(PyExc_OverflowError, "timeout value is too large");
            return -1;
        }
        *out = seconds == -1.0 ? -1 : (int64_t)ns;
        if (seconds < 0 && seconds != -1.0) {
            *out = INT64_MIN;
        }
        return 0;
    }
    int overflow;
    long long seconds = PyLong_AsLongLongAndOverflow(object, &overflow);
    if (seconds == -1 && overflow == 0 && PyErr_Occurred()) {
        return -1;
    }
    if (overflow != 0 || seconds > INT64_MAX / 1000000000 || seconds < INT64_MIN / 1000000000) {
        PyErr_SetString(PyExc_OverflowError, "timeout value is too large");
        return -1;
    }
    *out = seconds == -1 ? -1 : seconds < 0 ? INT64_MIN : (int64_t)seconds * 1000000000;
    return 0;
}

/* True, False (timed out), or NULL with an exception. */
static PyObject *acquire(mutex_object *self, int64_t timeout_ns)
{
    lw_status status = LW_OK;
    if (LW_UNLIKELY(!lw_mutex_trylock(&self->mutex))) {
        status =
            timeout_ns == 0 ? LW_TIMEOUT : lw_py_mutex_lock_interruptible(&self->mutex, timeout_ns);
    }
    if (status == LW_OK) {
        lw_atomic_store_relaxed_u32(&self->held, 1);
        Py_RETURN_TRUE;
    }
    if (status == LW_TIMEOUT) {
        Py_RETURN_FALSE;
    }
    return NULL;
}

static PyObject *mutex_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                               PyObject *names)
{
    if (LW_LIKELY(nargs == 0 && names == NULL)) {
        return acquire(as_mutex(self), -1);
    }
    static const char *const known[] = {"blocking", "timeout"};
    PyObject *given[2] = {NULL, NULL};
    if (nargs > 2) {
        return PyErr_Format(PyExc_TypeError, "acquire() takes at most 2 arguments (%zd given)",
                            nargs);
    }
    for (Py_ssize_t i = 0; i < nargs; i++) {
        given[i] = args[i];
    }
    Py_ssize_t count = names != NULL ? PyTuple_GET_SIZE(names) : 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        int which = PyUnicode_CompareWithASCIIString(name, known[0]) == 0   ? 0
                    : PyUnicode_CompareWithASCIIString(name, known[1]) == 0 ? 1
                                                                            : -1;
        if (which < 0) {
            return PyErr_Format(PyExc_TypeError,
                                "acquire() got an unexpected keyword argument '%U'", name);
        }
        if (given[which] != NULL) {
            return PyErr_Format(PyExc_TypeError, "acquire() got multiple values for argument '%U'",
                                name);
        }
        given[which] = args[nargs + i];
    }
    int blocking = given[0] != NULL ? PyObject_IsTrue(given[0]) : 1;
    int64_t timeout_ns = -1;
    if (blocking < 0 || (given[1] != NULL && parse_timeout(given[1], &timeout_ns) < 0)) {
        return NULL;
    }
    if (!blocking && timeout_ns != -1) {
        PyErr_SetString(PyExc_ValueError, "can't specify a timeout for a non-blocking call");
        return NULL;
    }
    if (timeout_ns < 0 && timeout_ns != -1) {
        PyErr_SetString(PyExc_ValueError, "timeout value must be a non-negative number");
        return NULL;
    }
    return acquire(as_mutex(self), blocking ? timeout_ns : 0);
}

static PyObject *mutex_release(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    mutex_object *self = as_mutex(op);
    uint32_t held = 1;
    if (LW_UNLIKELY(!lw_atomic_cas_relaxed_u32(&self->held, &held, 0))) {
        PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
        return NULL;
    }
    lw_mutex_unlock(&self->mutex);
    Py_RETURN_NONE;
}

static PyObject *mutex_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return acquire(as_mutex(self), -1);
}

static PyObject *mutex_exit(PyObject *self, PyObject *const *Py_UNUSED(args),
                            Py_ssize_t Py_UNUSED(nargs))
{
    return mutex_release(self, NULL);
}

static PyObject *mutex_locked(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(lw_mutex_is_locked(&as_mutex(self)->mutex));
}

/* In the child of a fork no other thread is left that could be inside. */
static PyObject *mutex_at_fork_reinit(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    lw_mutex_init(&as_mutex(self)->mutex);
    lw_atomic_store_relaxed_u32(&as_mutex(self)->held, 0);
    Py_RETURN_NONE;
}

static PyObject *mutex_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<%s latchwork.Mutex object at %p>",
                                lw_mutex_is_locked(&as_mutex(self)->mutex) ? "locked" : "unlocked",
                                self);
}

static PyObject *mutex_new(PyTypeObject *type, PyObject *args, PyObject *kwds)
{
    if (PyTuple_GET_SIZE(args) != 0 || (kwds != NULL && PyDict_GET_SIZE(kwds) != 0)) {
        PyErr_SetString(PyExc_TypeError, "Mutex() takes no arguments");
        return NULL;
    }
    return type->tp_alloc(type, 0); /* zero bytes are an unlocked mutex */
}

static void mutex_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    if (as_mutex(self)->weakrefs != NULL) {
        PyObject_ClearWeakRefs(self);
    }
    core_free_object(self);
}

PyDoc_STRVAR(
    mutex_doc,
    "Mutex()\n--\n\n"
    "A mutual-exclusion lock with the methods of threading.Lock. Not recursive; any thread may\n"
    "release it. A thread that waits is detached from Python, and Ctrl-C ends its wait.");
PyDoc_STRVAR(
    acquire_doc,
    "acquire($self, /, blocking=True, timeout=-1)\n--\n\n"
    "Lock; return whether that was done. Waits without limit, or at most timeout seconds, or\n"
    "not at all if blocking is false.");
PyDoc_STRVAR(release_doc, "release($self, /)\n--\n\nUnlock; RuntimeError if it is not locked.");
PyDoc_STRVAR(locked_doc, "locked($self, /)\n--\n\nWhether somebody holds it now.");
PyDoc_STRVAR(enter_doc, "__enter__($self, /)\n--\n\nLock, without a limit.");
PyDoc_STRVAR(exit_doc, "__exit__($self, /, *args)\n--\n\nUnlock.");
PyDoc_STRVAR(reinit_doc, "_at_fork_reinit($self, /)\n--\n\nUnlock in the child of a fork.");

static PyMethodDef mutex_methods[] = {
    {"acquire", CORE_METHOD(mutex_acquire), METH_FASTCALL | METH_KEYWORDS, acquire_doc},
    {"release", mutex_release, METH_NOARGS, release_doc},
    {"locked", mutex_locked, METH_NOARGS, locked_doc},
    {"__enter__", mutex_enter, METH_NOARGS, enter_doc},
    {"__exit__", CORE_METHOD(mutex_exit), METH_FASTCALL, exit_doc},
    {"_at_fork_reinit", mutex_at_fork_reinit, METH_NOARGS, reinit_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef mutex_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(mutex_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot mutex_slots[] = {
    {Py_tp_doc, (void *)mutex_doc},         {Py_tp_new, (void *)mutex_new},
    {Py_tp_dealloc, (void *)mutex_dealloc}, {Py_tp_traverse, (void *)core_traverse_type},
    {Py_tp_repr, (void *)mutex_repr},       {Py_tp_methods, mutex_methods},
    {Py_tp_members, mutex_members},         {0, NULL},
};

static PyType_Spec mutex_spec = {
    "latchwork.Mutex",
    sizeof(mutex_object),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    mutex_slots,
};

int core_add_mutex(PyObject *module, core_state *state)
{
    state->mutex_type = core_add_type(module, &mutex_spec, "Mutex");
    return state->mutex_type != NULL ? 0 : -1;
}
