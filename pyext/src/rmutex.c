/* SPDX-License-Identifier: BSD-2-Clause */
/* RMutex: threading.RLock over lw_rmutex_t. */
#include "core.h"

static lw_rmutex_t *rmutex_of(PyObject *self)
{
    return &((rmutex_object *)self)->mutex;
}

static lw_status lock_once(void *mutex, int64_t timeout_ns, unsigned flags)
{
    return lw_rmutex_lock_flags((lw_rmutex_t *)mutex, timeout_ns, flags);
}

static PyObject *acquire(lw_rmutex_t *mutex, int64_t timeout_ns)
{
    lw_status status = LW_OK;
    if (LW_UNLIKELY(lw_rmutex_depth(mutex) == UINT32_MAX)) { /* _acquire_restore can do that */
        PyErr_SetString(PyExc_OverflowError, "RMutex is locked too often");
        return NULL;
    }
    if (LW_UNLIKELY(!lw_rmutex_trylock(mutex))) {
        status =
            timeout_ns == 0 ? LW_TIMEOUT : lw_py_wait_interruptible(lock_once, mutex, timeout_ns);
    }
    return core_waited(status);
}

PyObject *rmutex_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    int64_t timeout_ns = -1;
    if (LW_UNLIKELY(nargs != 0 || names != NULL) &&
        core_parse_acquire(args, nargs, names, &timeout_ns) < 0) {
        return NULL;
    }
    return acquire(rmutex_of(self), timeout_ns);
}

static bool check_owned(PyObject *self)
{
    if (LW_UNLIKELY(!lw_rmutex_is_owned(rmutex_of(self)))) {
        PyErr_SetString(PyExc_RuntimeError, "cannot release un-acquired lock");
        return false;
    }
    return true;
}

PyObject *rmutex_release(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!check_owned(self)) {
        return NULL;
    }
    lw_rmutex_unlock(rmutex_of(self));
    Py_RETURN_NONE;
}

static PyObject *rmutex_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return acquire(rmutex_of(self), -1);
}

static PyObject *rmutex_exit(PyObject *self, PyObject *const *Py_UNUSED(args),
                             Py_ssize_t Py_UNUSED(nargs))
{
    return rmutex_release(self, NULL);
}

static PyObject *rmutex_locked(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(lw_rmutex_is_locked(rmutex_of(self)));
}

static PyObject *rmutex_is_owned(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(lw_rmutex_is_owned(rmutex_of(self)));
}

static PyObject *rmutex_recursion_count(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLong(lw_rmutex_depth(rmutex_of(self)));
}

PyObject *rmutex_release_save(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return check_owned(self) ? PyLong_FromUnsignedLong(lw_rmutex_save(rmutex_of(self))) : NULL;
}

PyObject *rmutex_acquire_restore(PyObject *self, PyObject *saved)
{
    lw_rmutex_t *mutex = rmutex_of(self);
    uint32_t depth;
    if (core_parse_u32(saved, 1, UINT32_MAX, "there was nothing to restore",
                       "RMutex is locked too often", &depth) < 0) {
        return NULL;
    }
    if (lw_rmutex_is_owned(mutex)) {
        PyErr_SetString(PyExc_RuntimeError, "cannot restore an acquired lock");
        return NULL;
    }
    lw_rmutex_restore(mutex, depth, LW_WAIT_DEFAULT);
    Py_RETURN_NONE;
}

/* In the child of a fork no other thread is left that could be inside. */
PyObject *rmutex_at_fork_reinit(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    lw_rmutex_init(rmutex_of(self));
    Py_RETURN_NONE;
}

static PyObject *rmutex_repr(PyObject *self)
{
    const char *state = lw_rmutex_is_locked(rmutex_of(self)) ? "locked" : "unlocked";
    PyObject *name = core_type_name(self);
    PyObject *text =
        name != NULL ? PyUnicode_FromFormat("<%s %U object at %p>", state, name, self) : NULL;
    Py_XDECREF(name);
    return text;
}

PyDoc_STRVAR(
    rmutex_doc,
    "RMutex()\n--\n\n"
    "A mutex that its owner may lock again, with the methods of threading.RLock. Only the\n"
    "owner may release it, as often as it has locked it. A thread that waits is detached\n"
    "from Python, and Ctrl-C ends its wait.");
PyDoc_STRVAR(
    acquire_doc,
    "acquire($self, /, blocking=True, timeout=-1)\n--\n\n"
    "Lock, once more if this thread holds it; return whether that was done. Waits without\n"
    "limit, or at most timeout seconds, or not at all if blocking is false.");
PyDoc_STRVAR(release_doc, "release($self, /)\n--\n\n"
                          "Take back one acquire; RuntimeError if this thread does not hold it.");
PyDoc_STRVAR(locked_doc, "locked($self, /)\n--\n\nWhether somebody holds it now.");
PyDoc_STRVAR(enter_doc, "__enter__($self, /)\n--\n\nLock, without a limit.");
PyDoc_STRVAR(exit_doc, "__exit__($self, /, *args)\n--\n\nTake back one acquire.");
PyDoc_STRVAR(owned_doc, "_is_owned($self, /)\n--\n\nWhether this thread holds it.");
PyDoc_STRVAR(count_doc, "_recursion_count($self, /)\n--\n\nHow often this thread has locked it.");
PyDoc_STRVAR(save_doc, "_release_save($self, /)\n--\n\nUnlock at once, for _acquire_restore.");
PyDoc_STRVAR(restore_doc, "_acquire_restore($self, saved, /)\n--\n\n"
                          "Lock as often as before _release_save. Cannot be interrupted.");
PyDoc_STRVAR(reinit_doc, "_at_fork_reinit($self, /)\n--\n\nUnlock in the child of a fork.");

static PyMethodDef rmutex_methods[] = {
    CORE_NO_PICKLE,
    {"acquire", CORE_METHOD(rmutex_acquire), METH_FASTCALL | METH_KEYWORDS, acquire_doc},
    {"release", rmutex_release, METH_NOARGS, release_doc},
    {"locked", rmutex_locked, METH_NOARGS, locked_doc},
    {"__enter__", rmutex_enter, METH_NOARGS, enter_doc},
    {"__exit__", CORE_METHOD(rmutex_exit), METH_FASTCALL, exit_doc},
    {"_is_owned", rmutex_is_owned, METH_NOARGS, owned_doc},
    {"_recursion_count", rmutex_recursion_count, METH_NOARGS, count_doc},
    {"_release_save", rmutex_release_save, METH_NOARGS, save_doc},
    {"_acquire_restore", rmutex_acquire_restore, METH_O, restore_doc},
    {"_at_fork_reinit", rmutex_at_fork_reinit, METH_NOARGS, reinit_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef rmutex_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(rmutex_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot rmutex_slots[] = {
    {Py_tp_doc, (void *)rmutex_doc},
    {Py_tp_new, (void *)core_new}, /* zero bytes are an unlocked mutex */
    {Py_tp_dealloc, (void *)core_dealloc},
    {Py_tp_traverse, (void *)core_traverse_type},
    {Py_tp_repr, (void *)rmutex_repr},
    {Py_tp_methods, rmutex_methods},
    {Py_tp_members, rmutex_members},
    {0, NULL},
};

static PyType_Spec rmutex_spec = {
    "latchwork.RMutex",
    sizeof(rmutex_object),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    rmutex_slots,
};

int core_add_rmutex(PyObject *module, core_state *state)
{
    state->rmutex_type = core_add_type(module, &rmutex_spec, "RMutex");
    return state->rmutex_type != NULL ? 0 : -1;
}
