/* SPDX-License-Identifier: BSD-2-Clause */
/* Semaphore and BoundedSemaphore: threading's over lw_sem_t. */
#include "core.h"

typedef struct semaphore_object {
    PyObject ob_base;
    core_making making;
    lw_sem_t sem;
    uint32_t bound; /* of a BoundedSemaphore: what it began with; else LW_SEM_MAX */
    bool bounded;
    PyObject *weakrefs;
} semaphore_object;

#define TOO_LARGE "a semaphore's value is at most 2147483647"

static semaphore_object *as_semaphore(PyObject *self)
{
    return (semaphore_object *)self;
}

static lw_status acquire_once(void *sem, int64_t timeout_ns, unsigned flags)
{
    return lw_sem_acquire_flags((lw_sem_t *)sem, timeout_ns, flags);
}

static PyObject *acquire(PyObject *self, int64_t timeout_ns)
{
    lw_sem_t *sem = &as_semaphore(self)->sem;
    lw_status status = LW_OK;
    if (!core_is_made(&as_semaphore(self)->making)) {
        return core_unmade(self);
    }
    if (!lw_sem_try_acquire(sem)) {
        status = timeout_ns == 0 ? LW_TIMEOUT : core_wait(acquire_once, sem, timeout_ns);
    }
    return core_waited(status);
}

static PyObject *semaphore_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *names)
{
    static const char *const known[] = {"blocking", "timeout"};
    PyObject *given[2];
    int64_t timeout_ns;
    if (nargs == 0 && names == NULL) {
        return acquire(self, -1);
    }
    if (core_parse_arguments("acquire", known, 2, 0, args, nargs, names, given) < 0) {
        return NULL;
    }
    int blocking = given[0] != NULL ? PyObject_IsTrue(given[0]) : 1;
    if (blocking < 0) {
        return NULL;
    }
    if (!blocking && given[1] != NULL && given[1] != Py_None) {
        PyErr_SetString(PyExc_ValueError, "can't specify timeout for non-blocking acquire");
        return NULL;
    }
    if (core_parse_limit(given[1], &timeout_ns) < 0) {
        return NULL;
    }
    return acquire(self, blocking ? timeout_ns : 0);
}

static PyObject *release(PyObject *op, uint32_t n)
{
    semaphore_object *self = as_semaphore(op);
    if (!core_is_made(&self->making)) {
        return core_unmade(op);
    }
    if (lw_sem_release_max(&self->sem, n, self->bound) != LW_OK) {
        if (self->bounded) {
            PyErr_SetString(PyExc_ValueError, "Semaphore released too many times");
        } else {
            PyErr_SetString(PyExc_OverflowError, TOO_LARGE);
        }
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *semaphore_release(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *names)
{
    static const char *const known[] = {"n"};
    PyObject *given[1];
    uint32_t n = 1;
    if (nargs == 0 && names == NULL) {
        return release(self, 1);
    }
    if (core_parse_arguments("release", known, 1, 0, args, nargs, names, given) < 0 ||
        (given[0] != NULL &&
         core_parse_u32(given[0], 1, UINT32_MAX, "n must be one or more", NULL, &n) < 0)) {
        return NULL;
    }
    return release(self, n);
}

static PyObject *semaphore_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return acquire(self, -1);
}

static PyObject *semaphore_exit(PyObject *self, PyObject *const *Py_UNUSED(args),
                                Py_ssize_t Py_UNUSED(nargs))
{
    /* As threading's does. */
    return core_is_subclass(self) ? PyObject_CallMethod(self, "release", NULL) : release(self, 1);
}

static PyObject *semaphore_repr(PyObject *op)
{
    semaphore_object *self = as_semaphore(op);
    unsigned value = lw_sem_value(&self->sem);
    if (!core_is_made(&self->making)) {
        return core_repr(op, "__init__() not called");
    }
    return self->bounded ? core_repr(op, "value=%u/%u", value, (unsigned)self->bound)
                         : core_repr(op, "value=%u", value);
}

static PyObject *bounded_semaphore_new(PyTypeObject *type, PyObject *args, PyObject *kwds)
{
    PyObject *self = core_new_unmade(type, args, kwds);
    if (self != NULL) {
        as_semaphore(self)->bounded = true;
    }
    return self;
}

static int semaphore_init(PyObject *op, PyObject *args, PyObject *kwds)
{
    static char *known[] = {"value", NULL};
    semaphore_object *self = as_semaphore(op);
    PyObject *given = NULL;
    uint32_t value = 1;
    if (!PyArg_ParseTupleAndKeywords(args, kwds, "|O", known, &given) ||
        (given != NULL &&
         core_parse_u32(given, 0, LW_SEM_MAX, "semaphore initial value must be >= 0", TOO_LARGE,
                        &value) < 0) ||
        !core_begin_making(op, &self->making)) {
        return -1;
    }
    lw_sem_init(&self->sem, value);
    self->bound = self->bounded ? value : LW_SEM_MAX;
    core_end_making(&self->making);
    return 0;
}

PyDoc_STRVAR(semaphore_doc,
             "Semaphore(value=1)\n--\n\n"
             "A number that release raises and acquire, which waits while it is 0, lowers. The\n"
             "methods are those of threading.Semaphore; the value is at most 2147483647.");
PyDoc_STRVAR(bounded_doc,
             "BoundedSemaphore(value=1)\n--\n\n"
             "A Semaphore whose value never exceeds what it began with: a release too many is a\n"
             "ValueError.");
PyDoc_STRVAR(acquire_doc,
             "acquire($self, /, blocking=True, timeout=None)\n--\n\n"
             "Take one; return whether that was done. Waits without limit, or at most timeout\n"
             "seconds, or not at all if blocking is false.");
PyDoc_STRVAR(release_doc, "release($self, /, n=1)\n--\n\nAdd n, and wake as many that wait.");
PyDoc_STRVAR(enter_doc, "__enter__($self, /)\n--\n\nTake one, without a limit.");
PyDoc_STRVAR(exit_doc, "__exit__($self, /, *args)\n--\n\nGive it back.");

static PyMethodDef semaphore_methods[] = {
    CORE_NO_PICKLE,
    {"acquire", CORE_METHOD(semaphore_acquire), METH_FASTCALL | METH_KEYWORDS, acquire_doc},
    {"release", CORE_METHOD(semaphore_release), METH_FASTCALL | METH_KEYWORDS, release_doc},
    {"__enter__", semaphore_enter, METH_NOARGS, enter_doc},
    {"__exit__", CORE_METHOD(semaphore_exit), METH_FASTCALL, exit_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef semaphore_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(semaphore_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot semaphore_slots[] = {
    {Py_tp_doc, (void *)semaphore_doc},
    {Py_tp_new, (void *)core_new_unmade},
    {Py_tp_init, (void *)semaphore_init},
    {Py_tp_dealloc, (void *)core_dealloc},
    {Py_tp_traverse, (void *)core_traverse_type},
    {Py_tp_repr, (void *)semaphore_repr},
    {Py_tp_methods, semaphore_methods},
    {Py_tp_members, semaphore_members},
    {0, NULL},
};

static PyType_Slot bounded_slots[] = {
    {Py_tp_doc, (void *)bounded_doc},
    {Py_tp_new, (void *)bounded_semaphore_new},
    {Py_tp_init, (void *)semaphore_init},
    {Py_tp_dealloc, (void *)core_dealloc},
    {Py_tp_traverse, (void *)core_traverse_type},
    {0, NULL},
};

static PyType_Spec semaphore_spec = {
    "latchwork.Semaphore",
    sizeof(semaphore_object),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    semaphore_slots,
};

static PyType_Spec bounded_spec = {
    "latchwork.BoundedSemaphore",
    sizeof(semaphore_object),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    bounded_slots,
};

int core_add_semaphores(PyObject *module, core_state *Py_UNUSED(state))
{
    PyTypeObject *type = core_add_type(module, &semaphore_spec, "Semaphore");
    PyTypeObject *bounded =
        type != NULL ? core_add_subtype(module, &bounded_spec, type, "BoundedSemaphore") : NULL;
    Py_XDECREF(type);
    Py_XDECREF(bounded);
    return bounded != NULL ? 0 : -1;
}
