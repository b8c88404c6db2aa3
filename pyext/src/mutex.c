/* SPDX-License-Identifier: BSD-2-Clause */
/* Mutex: threading.Lock over lw_mutex_t. */
#include "core.h"

static mutex_object *as_mutex(PyObject *self)
{
    return (mutex_object *)self;
}

static PyObject *acquire(mutex_object *self, int64_t timeout_ns)
{
    lw_status status = LW_OK;
    if (LW_UNLIKELY(!lw_mutex_trylock(&self->mutex))) {
        status =
            timeout_ns == 0 ? LW_TIMEOUT : lw_py_mutex_lock_interruptible(&self->mutex, timeout_ns);
    }
    return core_waited(status);
}

PyObject *mutex_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    int64_t timeout_ns = -1;
    if (LW_UNLIKELY(nargs != 0 || names != NULL) &&
        core_parse_acquire(args, nargs, names, &timeout_ns) < 0) {
        return NULL;
    }
    return acquire(as_mutex(self), timeout_ns);
}

PyObject *mutex_release(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (LW_UNLIKELY(!lw_mutex_tryunlock(&as_mutex(self)->mutex))) {
        PyErr_SetString(PyExc_RuntimeError, "release unlocked lock");
        return NULL;
    }
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
PyObject *mutex_at_fork_reinit(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    lw_mutex_init(&as_mutex(self)->mutex);
    Py_RETURN_NONE;
}

static PyObject *mutex_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<%s latchwork.Mutex object at %p>",
                                lw_mutex_is_locked(&as_mutex(self)->mutex) ? "locked" : "unlocked",
                                self);
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
PyDoc_STRVAR(acquire_lock_doc,
             "acquire_lock($self, /, blocking=True, timeout=-1)\n--\n\nThe same as acquire.");
PyDoc_STRVAR(release_lock_doc, "release_lock($self, /)\n--\n\nThe same as release.");
PyDoc_STRVAR(locked_lock_doc, "locked_lock($self, /)\n--\n\nThe same as locked.");
PyDoc_STRVAR(enter_doc, "__enter__($self, /)\n--\n\nLock, without a limit.");
PyDoc_STRVAR(exit_doc, "__exit__($self, /, *args)\n--\n\nUnlock.");
PyDoc_STRVAR(reinit_doc, "_at_fork_reinit($self, /)\n--\n\nUnlock in the child of a fork.");

static PyMethodDef mutex_methods[] = {
    {"acquire", CORE_METHOD(mutex_acquire), METH_FASTCALL | METH_KEYWORDS, acquire_doc},
    {"release", mutex_release, METH_NOARGS, release_doc},
    {"locked", mutex_locked, METH_NOARGS, locked_doc},
    {"acquire_lock", CORE_METHOD(mutex_acquire), METH_FASTCALL | METH_KEYWORDS, acquire_lock_doc},
    {"release_lock", mutex_release, METH_NOARGS, release_lock_doc},
    {"locked_lock", mutex_locked, METH_NOARGS, locked_lock_doc},
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
    {Py_tp_doc, (void *)mutex_doc},        {Py_tp_new, (void *)core_new},
    {Py_tp_dealloc, (void *)core_dealloc}, {Py_tp_traverse, (void *)core_traverse_type},
    {Py_tp_repr, (void *)mutex_repr},      {Py_tp_methods, mutex_methods},
    {Py_tp_members, mutex_members},        {0, NULL},
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
