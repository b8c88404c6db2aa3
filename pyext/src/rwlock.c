/* SPDX-License-Identifier: BSD-2-Clause */
/* RWLock: a read-write lock over lw_rwlock_t. */
#include "core.h"

/* One side of a lock, for with statements: what read() and write() return, the same object each
 * time. The lock itself lies in its reading side, and its other two objects refer to that. So
 * whatever of the three somebody keeps is enough, and there is no cycle between them. */
typedef struct side_object {
    PyObject ob_base;
    struct side_object *reader; /* owned by the writing side; the reading side's own address */
    PyObject *weakrefs;
    /* The rest is used in the reading side alone. */
    lw_rwlock_t lock;
    /* What there is to release: how many read locks, or WRITER. lw_rwlock_t ends the process if it
     * is unlocked once too often, and its own word counts readers that it has only refused, too. So
     * who has locked it adds one here, and who unlocks it, rightly or not, has to take one away
     * first, and else gets an exception. */
    lw_atomic_u32 owed;
} side_object;

typedef struct rwlock_object {
    PyObject ob_base;
    side_object *reader;
    side_object *writer;
    PyObject *weakrefs;
} rwlock_object;

#define WRITER UINT32_C(0x80000000)
/* This many readers or more: no further ones. lw_rwlock_t ends the process at twice as many, which
 * threads that look at the same time do not reach. */
#define MANY UINT32_C(0x08000000)

/* ---- what is owed ---- */

/* (1) release: pairs with (2), so that whoever takes what is added here finds the lock locked.
 *
 * Readers and writers are never both in it: who takes something away does so before it unlocks, and
 * that comes before the next one locks and adds. */
static void add_reader(side_object *s)
{
    (void)lw_atomic_add_release_u32(&s->owed, 1);
}

static void add_writer(side_object *s)
{
    lw_atomic_store_release_u32(&s->owed, WRITER); /* (1), too */
}

static bool take_reader(side_object *s)
{
    uint32_t owed = lw_atomic_load_relaxed_u32(&s->owed);
    while (LW_LIKELY(owed != 0 && owed != WRITER)) {
        /* (2) acquire: pairs with (1). */
        if (LW_LIKELY(lw_atomic_cas_acquire_u32(&s->owed, &owed, owed - 1))) {
            return true;
        }
    }
    PyErr_SetString(PyExc_RuntimeError, "not locked for reading");
    return false;
}

static bool take_writer(side_object *s)
{
    uint32_t owed = WRITER;
    if (LW_LIKELY(lw_atomic_cas_acquire_u32(&s->owed, &owed, 0))) { /* (2), too */
        return true;
    }
    PyErr_SetString(PyExc_RuntimeError, "not locked for writing");
    return false;
}

/* ---- locking ---- */

static lw_status read_once(void *lock, int64_t timeout_ns, unsigned flags)
{
    return lw_rwlock_read_lock_flags((lw_rwlock_t *)lock, timeout_ns, flags);
}

static lw_status write_once(void *lock, int64_t timeout_ns, unsigned flags)
{
    return lw_rwlock_write_lock_flags((lw_rwlock_t *)lock, timeout_ns, flags);
}

/* True, False (timed out), or NULL with an exception. */
static PyObject *acquire_read(side_object *s, int64_t timeout_ns)
{
    lw_status status = LW_OK;
    if (LW_UNLIKELY((lw_atomic_load_relaxed_u32(&s->owed) & MANY) != 0)) {
        PyErr_SetString(PyExc_OverflowError, "too many readers");
        return NULL;
    }
    if (LW_UNLIKELY(!lw_rwlock_read_trylock(&s->lock))) {
        status = timeout_ns == 0 ? LW_TIMEOUT
                                 : lw_py_wait_interruptible(read_once, &s->lock, timeout_ns);
    }
    if (status == LW_OK) {
        add_reader(s);
    }
    return core_waited(status);
}

static PyObject *acquire_write(side_object *s, int64_t timeout_ns)
{
    lw_status status = LW_OK;
    if (LW_UNLIKELY(!lw_rwlock_write_trylock(&s->lock))) {
        status = timeout_ns == 0 ? LW_TIMEOUT
                                 : lw_py_wait_interruptible(write_once, &s->lock, timeout_ns);
    }
    if (status == LW_OK) {
        add_writer(s);
    }
    return core_waited(status);
}

static PyObject *release_read(side_object *s)
{
    if (!take_reader(s)) {
        return NULL;
    }
    lw_rwlock_read_unlock(&s->lock);
    Py_RETURN_NONE;
}

static PyObject *release_write(side_object *s)
{
    if (!take_writer(s)) {
        return NULL;
    }
    lw_rwlock_write_unlock(&s->lock);
    Py_RETURN_NONE;
}

/* ---- the sides ---- */

static side_object *reader_of_side(PyObject *self)
{
    return ((side_object *)self)->reader;
}

static PyObject *reader_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return acquire_read(reader_of_side(self), -1);
}

static PyObject *reader_exit(PyObject *self, PyObject *const *Py_UNUSED(args),
                             Py_ssize_t Py_UNUSED(nargs))
{
    return release_read(reader_of_side(self));
}

static PyObject *writer_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return acquire_write(reader_of_side(self), -1);
}

static PyObject *writer_exit(PyObject *self, PyObject *const *Py_UNUSED(args),
                             Py_ssize_t Py_UNUSED(nargs))
{
    return release_write(reader_of_side(self));
}

static int side_traverse(PyObject *self, visitproc visit, void *arg)
{
    if (reader_of_side(self) != (side_object *)self) {
        Py_VISIT(reader_of_side(self));
    }
    return core_traverse_type(self, visit, arg);
}

static void side_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    PyObject_ClearWeakRefs(self);
    if (reader_of_side(self) != (side_object *)self) {
        Py_XDECREF(reader_of_side(self));
    }
    core_free_object(self);
}

PyDoc_STRVAR(reader_doc, "The reading side of an RWLock, for with statements.");
PyDoc_STRVAR(writer_doc, "The writing side of an RWLock, for with statements.");
PyDoc_STRVAR(reader_enter_doc, "__enter__($self, /)\n--\n\nLock for reading, without a limit.");
PyDoc_STRVAR(reader_exit_doc, "__exit__($self, /, *args)\n--\n\nGive up a read lock.");
PyDoc_STRVAR(writer_enter_doc, "__enter__($self, /)\n--\n\nLock for writing, without a limit.");
PyDoc_STRVAR(writer_exit_doc, "__exit__($self, /, *args)\n--\n\nGive up the write lock.");

static PyMethodDef reader_methods[] = {
    {"__enter__", reader_enter, METH_NOARGS, reader_enter_doc},
    {"__exit__", CORE_METHOD(reader_exit), METH_FASTCALL, reader_exit_doc},
    CORE_NO_PICKLE,
    {NULL, NULL, 0, NULL},
};

static PyMethodDef writer_methods[] = {
    {"__enter__", writer_enter, METH_NOARGS, writer_enter_doc},
    {"__exit__", CORE_METHOD(writer_exit), METH_FASTCALL, writer_exit_doc},
    CORE_NO_PICKLE,
    {NULL, NULL, 0, NULL},
};

static PyMemberDef side_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(side_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot reader_slots[] = {
    {Py_tp_doc, (void *)reader_doc},         {Py_tp_dealloc, (void *)side_dealloc},
    {Py_tp_traverse, (void *)side_traverse}, {Py_tp_methods, reader_methods},
    {Py_tp_members, side_members},           {0, NULL},
};

static PyType_Slot writer_slots[] = {
    {Py_tp_doc, (void *)writer_doc},         {Py_tp_dealloc, (void *)side_dealloc},
    {Py_tp_traverse, (void *)side_traverse}, {Py_tp_methods, writer_methods},
    {Py_tp_members, side_members},           {0, NULL},
};

enum {
    SIDE_FLAGS = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
                 Py_TPFLAGS_DISALLOW_INSTANTIATION
};

static PyType_Spec reader_spec = {
    "latchwork.RWLockReader", sizeof(side_object), 0, SIDE_FLAGS, reader_slots,
};

static PyType_Spec writer_spec = {
    "latchwork.RWLockWriter", sizeof(side_object), 0, SIDE_FLAGS, writer_slots,
};

/* ---- the lock ---- */

static side_object *reader_of(PyObject *self)
{
    return ((rwlock_object *)self)->reader;
}

static PyObject *rwlock_read(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef((PyObject *)reader_of(self));
}

static PyObject *rwlock_write(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef((PyObject *)((rwlock_object *)self)->writer);
}

static PyObject *rwlock_acquire_read(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                     PyObject *names)
{
    int64_t timeout_ns = -1;
    if (LW_UNLIKELY(nargs != 0 || names != NULL) &&
        core_parse_acquire_by("acquire_read", args, nargs, names, &timeout_ns) < 0) {
        return NULL;
    }
    return acquire_read(reader_of(self), timeout_ns);
}

static PyObject *rwlock_acquire_write(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                      PyObject *names)
{
    int64_t timeout_ns = -1;
    if (LW_UNLIKELY(nargs != 0 || names != NULL) &&
        core_parse_acquire_by("acquire_write", args, nargs, names, &timeout_ns) < 0) {
        return NULL;
    }
    return acquire_write(reader_of(self), timeout_ns);
}

static PyObject *rwlock_release_read(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return release_read(reader_of(self));
}

static PyObject *rwlock_release_write(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return release_write(reader_of(self));
}

/* In between nothing is owed: until the lock is a read lock, nobody may give up one. */
static PyObject *rwlock_downgrade(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    side_object *s = reader_of(self);
    if (!take_writer(s)) {
        return NULL;
    }
    lw_rwlock_downgrade(&s->lock);
    add_reader(s);
    Py_RETURN_NONE;
}

/* While it tries, what it has taken away keeps the lock locked for reading. */
static PyObject *rwlock_try_upgrade(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    side_object *s = reader_of(self);
    if (!take_reader(s)) {
        return NULL;
    }
    if (lw_rwlock_try_upgrade(&s->lock)) {
        add_writer(s);
        Py_RETURN_TRUE;
    }
    add_reader(s);
    Py_RETURN_FALSE;
}

static PyObject *rwlock_locked(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(lw_rwlock_is_locked(&reader_of(self)->lock));
}

/* Not lw_rwlock_is_write_locked: that says yes for a writer that waits, too. */
static PyObject *rwlock_write_locked(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(lw_atomic_load_relaxed_u32(&reader_of(self)->owed) == WRITER);
}

/* In the child of a fork no other thread is left that could be inside. */
static PyObject *rwlock_at_fork_reinit(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    side_object *s = reader_of(self);
    lw_rwlock_init(&s->lock);
    lw_atomic_store_relaxed_u32(&s->owed, 0);
    Py_RETURN_NONE;
}

static PyObject *rwlock_repr(PyObject *self)
{
    uint32_t owed = lw_atomic_load_relaxed_u32(&reader_of(self)->owed);
    return PyUnicode_FromFormat("<%s latchwork.RWLock object at %p>",
                                owed == 0        ? "unlocked"
                                : owed == WRITER ? "write-locked"
                                                 : "read-locked",
                                self);
}

static PyObject *rwlock_new(PyTypeObject *type, PyObject *args, PyObject *kwds)
{
    PyObject *module = PyType_GetModule(type);
    const core_state *state = module != NULL ? (core_state *)PyModule_GetState(module) : NULL;
    if (state == NULL || state->cleared) {
        PyErr_Clear();
        return (PyObject *)core_state_gone();
    }
    rwlock_object *self = (rwlock_object *)core_new(type, args, kwds);
    if (self == NULL) {
        return NULL;
    }
    /* Zero bytes are an unlocked lock that owes nothing. */
    self->reader = (side_object *)state->rwlock_reader_type->tp_alloc(state->rwlock_reader_type, 0);
    if (self->reader == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    self->reader->reader = self->reader;
    self->writer = (side_object *)state->rwlock_writer_type->tp_alloc(state->rwlock_writer_type, 0);
    if (self->writer == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    self->writer->reader = (side_object *)Py_NewRef((PyObject *)self->reader);
    return (PyObject *)self;
}

static int rwlock_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(((rwlock_object *)self)->reader);
    Py_VISIT(((rwlock_object *)self)->writer);
    return core_traverse_type(self, visit, arg);
}

static void rwlock_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    PyObject_ClearWeakRefs(self);
    Py_XDECREF(((rwlock_object *)self)->writer);
    Py_XDECREF(((rwlock_object *)self)->reader);
    core_free_object(self);
}

PyDoc_STRVAR(
    rwlock_doc,
    "RWLock()\n--\n\n"
    "A read-write lock: many readers or one writer. Nobody starves: readers that come wait\n"
    "behind a writer that waits. So a thread that has a read lock may not take another one.\n"
    "Any thread may release. A thread that waits is detached from Python, and Ctrl-C ends its\n"
    "wait.");
PyDoc_STRVAR(read_doc,
             "read($self, /)\n--\n\n"
             "For a with statement, whose block has a read lock. Always the same object.");
PyDoc_STRVAR(write_doc,
             "write($self, /)\n--\n\n"
             "For a with statement, whose block has the write lock. Always the same object.");
PyDoc_STRVAR(
    acquire_read_doc,
    "acquire_read($self, /, blocking=True, timeout=-1)\n--\n\n"
    "Lock for reading; return whether that was done. Waits while a writer has the lock or\n"
    "waits for it: without limit, or at most timeout seconds, or not at all if blocking\n"
    "is false.");
PyDoc_STRVAR(acquire_write_doc,
             "acquire_write($self, /, blocking=True, timeout=-1)\n--\n\n"
             "Lock for writing; return whether that was done. Waits as acquire_read does, for all\n"
             "others to be gone.");
PyDoc_STRVAR(release_read_doc, "release_read($self, /)\n--\n\n"
                               "Give up a read lock; RuntimeError if there is none.");
PyDoc_STRVAR(release_write_doc, "release_write($self, /)\n--\n\n"
                                "Give up the write lock; RuntimeError if there is none.");
PyDoc_STRVAR(downgrade_doc,
             "downgrade($self, /)\n--\n\n"
             "Make the write lock a read lock; no other writer comes in between. RuntimeError if\n"
             "there is none. It is to be given up by release_read then: a with statement gives up\n"
             "what it took.");
PyDoc_STRVAR(try_upgrade_doc,
             "try_upgrade($self, /)\n--\n\n"
             "Make a read lock the write lock if there is no other reader and no writer waits;\n"
             "return whether that was done. Does not wait. RuntimeError if there is no read lock.");
PyDoc_STRVAR(locked_doc, "locked($self, /)\n--\n\nWhether somebody holds it now, in either way.");
PyDoc_STRVAR(write_locked_doc, "write_locked($self, /)\n--\n\nWhether a writer holds it now.");
PyDoc_STRVAR(reinit_doc, "_at_fork_reinit($self, /)\n--\n\nUnlock in the child of a fork.");

static PyMethodDef rwlock_methods[] = {
    {"read", rwlock_read, METH_NOARGS, read_doc},
    {"write", rwlock_write, METH_NOARGS, write_doc},
    {"acquire_read", CORE_METHOD(rwlock_acquire_read), METH_FASTCALL | METH_KEYWORDS,
     acquire_read_doc},
    {"release_read", rwlock_release_read, METH_NOARGS, release_read_doc},
    {"acquire_write", CORE_METHOD(rwlock_acquire_write), METH_FASTCALL | METH_KEYWORDS,
     acquire_write_doc},
    {"release_write", rwlock_release_write, METH_NOARGS, release_write_doc},
    {"downgrade", rwlock_downgrade, METH_NOARGS, downgrade_doc},
    {"try_upgrade", rwlock_try_upgrade, METH_NOARGS, try_upgrade_doc},
    {"locked", rwlock_locked, METH_NOARGS, locked_doc},
    {"write_locked", rwlock_write_locked, METH_NOARGS, write_locked_doc},
    {"_at_fork_reinit", rwlock_at_fork_reinit, METH_NOARGS, reinit_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef rwlock_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(rwlock_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot rwlock_slots[] = {
    {Py_tp_doc, (void *)rwlock_doc},         {Py_tp_new, (void *)rwlock_new},
    {Py_tp_dealloc, (void *)rwlock_dealloc}, {Py_tp_traverse, (void *)rwlock_traverse},
    {Py_tp_repr, (void *)rwlock_repr},       {Py_tp_methods, rwlock_methods},
    {Py_tp_members, rwlock_members},         {0, NULL},
};

static PyType_Spec rwlock_spec = {
    "latchwork.RWLock",
    sizeof(rwlock_object),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    rwlock_slots,
};

int core_add_rwlock(PyObject *module, core_state *state)
{
    state->rwlock_reader_type = core_add_type(module, &reader_spec, "RWLockReader");
    if (state->rwlock_reader_type == NULL) {
        return -1;
    }
    state->rwlock_writer_type = core_add_type(module, &writer_spec, "RWLockWriter");
    if (state->rwlock_writer_type == NULL) {
        return -1;
    }
    return core_add_public_type(module, &rwlock_spec, "RWLock");
}
