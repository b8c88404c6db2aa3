/* SPDX-License-Identifier: BSD-2-Clause */
/* Condition: threading.Condition over lw_cond_t, for a Mutex, an RMutex, or another lock.
 *
 * Ours are unlocked when the thread is in the queue, as in lw_cond_wait: a wait is ended by a
 * notification that is meant for it. The method that unlocks another lock is foreign code, which
 * cannot run there. So such a wait lets go of the lock first and queues itself later. And a wait
 * that is interrupted leaves the queue, runs the signal handlers with no lock held, and queues
 * itself again. What is notified in between passes it by. If others take it, that is as if this
 * wait had begun later. If not, which a notification that wakes fewer than it is for shows, it was
 * for this wait too: such are counted, and end it. In the queue it would have been woken by
 * them. */
#include "core.h"

typedef enum lock_kind { LOCK_FOREIGN, LOCK_MUTEX, LOCK_RMUTEX } lock_kind;

typedef struct condition_object {
    PyObject ob_base;
    core_making making;
    PyObject *lock;
    lock_kind kind;
    lw_cond_t cond;
    lw_mutex_t queueing;  /* beside a foreign lock, for `missed` and the queue */
    lw_atomic_u64 missed; /* notifications that woke fewer than they were for */
    PyObject *weakrefs;
} condition_object;

static condition_object *as_condition(PyObject *self)
{
    return (condition_object *)self;
}

/* NULL with an exception, if it has no lock yet. */
static condition_object *made(PyObject *self)
{
    if (!core_is_made(&as_condition(self)->making)) {
        return (condition_object *)core_unmade(self);
    }
    return as_condition(self);
}

static mutex_object *mutex_of(const condition_object *self)
{
    return (mutex_object *)self->lock;
}

static lw_rmutex_t *rmutex_of(const condition_object *self)
{
    return &((rmutex_object *)self->lock)->mutex;
}

/* ---- the lock's methods ---- */

static PyObject *forward(condition_object *self, const char *name, PyObject *const *args,
                         Py_ssize_t nargs, PyObject *names)
{
    PyObject *method = PyObject_GetAttrString(self->lock, name);
    PyObject *result =
        method != NULL ? PyObject_Vectorcall(method, args, (size_t)nargs, names) : NULL;
    Py_XDECREF(method);
    return result;
}

static PyObject *condition_acquire(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *names)
{
    condition_object *self = made(op);
    if (self == NULL) {
        return NULL;
    }
    switch (self->kind) {
    case LOCK_MUTEX:
        return mutex_acquire(self->lock, args, nargs, names);
    case LOCK_RMUTEX:
        return rmutex_acquire(self->lock, args, nargs, names);
    default:
        return forward(self, "acquire", args, nargs, names);
    }
}

static PyObject *condition_release(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    condition_object *self = made(op);
    if (self == NULL) {
        return NULL;
    }
    switch (self->kind) {
    case LOCK_MUTEX:
        return mutex_release(self->lock, NULL);
    case LOCK_RMUTEX:
        return rmutex_release(self->lock, NULL);
    default:
        return forward(self, "release", NULL, 0, NULL);
    }
}

static PyObject *condition_enter(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    condition_object *self = made(op);
    if (self == NULL) {
        return NULL;
    }
    return self->kind == LOCK_FOREIGN ? forward(self, "__enter__", NULL, 0, NULL)
                                      : condition_acquire(op, NULL, 0, NULL);
}

static PyObject *condition_exit(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    condition_object *self = made(op);
    if (self == NULL) {
        return NULL;
    }
    return self->kind == LOCK_FOREIGN ? forward(self, "__exit__", args, nargs, NULL)
                                      : condition_release(op, NULL);
}

static PyObject *condition_locked(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    condition_object *self = made(op);
    return self != NULL ? forward(self, "locked", NULL, 0, NULL) : NULL;
}

/* What a lock has for conditions, or NULL: without an exception, that it does not. */
static PyObject *optional_method(condition_object *self, const char *name)
{
    PyObject *method = PyObject_GetAttrString(self->lock, name);
    if (method == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) {
        PyErr_Clear();
    }
    return method;
}

/* 1 for a true result, else 0, or -1 with an exception. Takes the reference. */
static int truth(PyObject *result)
{
    int answer = result != NULL ? PyObject_IsTrue(result) : -1;
    Py_XDECREF(result);
    return answer;
}

/* Whether the lock is held: by this thread, if it is one that knows. 1, 0, or -1 with an
 * exception. */
static int is_owned(condition_object *self)
{
    if (self->kind == LOCK_MUTEX) {
        return lw_mutex_is_locked(&mutex_of(self)->mutex);
    }
    if (self->kind == LOCK_RMUTEX) {
        return lw_rmutex_is_owned(rmutex_of(self));
    }
    PyObject *method = optional_method(self, "_is_owned");
    if (method != NULL) {
        int owned = truth(PyObject_CallNoArgs(method));
        Py_DECREF(method);
        return owned;
    }
    if (PyErr_Occurred()) {
        return -1;
    }
    PyObject *blocking = Py_False;
    int taken = truth(forward(self, "acquire", &blocking, 1, NULL));
    if (taken > 0 && truth(forward(self, "release", NULL, 0, NULL)) < 0) {
        return -1;
    }
    return taken < 0 ? -1 : !taken;
}

/* NULL with an exception, or what restore() takes. */
static PyObject *save(condition_object *self)
{
    if (self->kind == LOCK_MUTEX) {
        return mutex_release(self->lock, NULL);
    }
    if (self->kind == LOCK_RMUTEX) {
        return rmutex_release_save(self->lock, NULL);
    }
    PyObject *method = optional_method(self, "_release_save");
    PyObject *saved = NULL;
    if (method != NULL) {
        saved = PyObject_CallNoArgs(method);
        Py_DECREF(method);
    } else if (!PyErr_Occurred()) {
        saved = forward(self, "release", NULL, 0, NULL);
    }
    return saved;
}

static PyObject *restore(condition_object *self, PyObject *saved)
{
    if (self->kind == LOCK_MUTEX) {
        return mutex_acquire(self->lock, NULL, 0, NULL);
    }
    if (self->kind == LOCK_RMUTEX) {
        return rmutex_acquire_restore(self->lock, saved);
    }
    PyObject *method = optional_method(self, "_acquire_restore");
    PyObject *result = NULL;
    if (method != NULL) {
        result = PyObject_CallOneArg(method, saved);
        Py_DECREF(method);
    } else if (!PyErr_Occurred()) {
        result = forward(self, "acquire", NULL, 0, NULL);
    }
    return result;
}

static PyObject *condition_is_owned(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    condition_object *self = made(op);
    int owned = self != NULL ? is_owned(self) : -1;
    return owned < 0 ? NULL : PyBool_FromLong(owned);
}

static PyObject *condition_recursion_count(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    condition_object *self = made(op);
    return self != NULL ? forward(self, "_recursion_count", NULL, 0, NULL) : NULL;
}

static PyObject *condition_release_save(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    condition_object *self = made(op);
    return self != NULL ? save(self) : NULL;
}

static PyObject *condition_acquire_restore(PyObject *op, PyObject *saved)
{
    condition_object *self = made(op);
    return self != NULL ? restore(self, saved) : NULL;
}

/* Nobody waits in the child of a fork. */
static PyObject *condition_at_fork_reinit(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    condition_object *self = made(op);
    if (self == NULL) {
        return NULL;
    }
    lw_cond_init(&self->cond);
    lw_mutex_init(&self->queueing);
    switch (self->kind) {
    case LOCK_MUTEX:
        return mutex_at_fork_reinit(self->lock, NULL);
    case LOCK_RMUTEX:
        return rmutex_at_fork_reinit(self->lock, NULL);
    default:
        return forward(self, "_at_fork_reinit", NULL, 0, NULL);
    }
}

/* ---- waiting ---- */

typedef struct condition_wait_state {
    condition_object *self;
    uint64_t missed; /* when the wait began */
    uint32_t depth;  /* of an RMutex that was let go of */
    bool holds;      /* the lock, one of ours */
} condition_wait_state;

static uint64_t missed(const condition_object *self)
{
    /* Relaxed: in order by the lock, or by `queueing`. */
    return lw_atomic_load_relaxed_u64(&self->missed);
}

static void unlock_ours(void *arg)
{
    condition_wait_state *w = (condition_wait_state *)arg;
    w->holds = false;
    if (w->self->kind == LOCK_RMUTEX) {
        w->depth = lw_rmutex_save(rmutex_of(w->self));
    } else {
        (void)lw_mutex_tryunlock(&mutex_of(w->self)->mutex); /* another may have, in error */
    }
}

static void lock_ours(condition_wait_state *w)
{
    if (w->self->kind == LOCK_RMUTEX) {
        lw_rmutex_restore(rmutex_of(w->self), w->depth, LW_WAIT_DEFAULT);
    } else {
        lw_mutex_lock(&mutex_of(w->self)->mutex);
    }
    w->holds = true;
}

/* Not inside of lw_cond_wait_with_: signal handlers come first. */
static void lock_later(void *Py_UNUSED(arg), unsigned Py_UNUSED(flags)) {}

static lw_status wait_once_ours(void *arg, int64_t timeout_ns, unsigned flags)
{
    condition_wait_state *w = (condition_wait_state *)arg;
    lw_cond_lock_ lock = {unlock_ours, lock_later, w};
    if (!w->holds) {
        lock_ours(w);
        if (missed(w->self) != w->missed) {
            return LW_OK;
        }
    }
    return lw_cond_wait_with_(&w->self->cond, &lock, timeout_ns, flags);
}

/* LW_OK or LW_TIMEOUT, or another with an exception set. */
static lw_status wait_ours(condition_object *self, int64_t timeout_ns)
{
    if (!is_owned(self)) {
        PyErr_SetString(PyExc_RuntimeError, "cannot wait on un-acquired lock");
        return LW_INVALID;
    }
    condition_wait_state w = {self, missed(self), 0, true};
    lw_status status = core_wait(wait_once_ours, &w, timeout_ns);
    if (!w.holds) {
        lock_ours(&w); /* without a limit, whatever came; an exception stays set meanwhile */
    }
    return status;
}

static lw_status wait_once_foreign(void *arg, int64_t timeout_ns, unsigned flags)
{
    const condition_wait_state *w = (const condition_wait_state *)arg;
    condition_object *self = w->self;
    lw_status status = LW_OK;
    lw_mutex_lock(&self->queueing);
    if (missed(self) == w->missed) {
        status = lw_cond_wait_flags(&self->cond, &self->queueing, timeout_ns, flags);
    }
    lw_mutex_unlock(&self->queueing);
    return status;
}

/* restore() where an exception may be set: that of restore() replaces it. */
static bool restore_after(condition_object *self, PyObject *saved)
{
    PyObject *type;
    PyObject *value;
    PyObject *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *result = restore(self, saved);
    if (result == NULL) {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
        return false;
    }
    Py_DECREF(result);
    PyErr_Restore(type, value, traceback);
    return true;
}

/* As wait_ours. */
static lw_status wait_foreign(condition_object *self, int64_t timeout_ns)
{
    int owned = is_owned(self);
    if (owned <= 0) {
        if (owned == 0) {
            PyErr_SetString(PyExc_RuntimeError, "cannot wait on un-acquired lock");
        }
        return LW_INVALID;
    }
    condition_wait_state w = {self, missed(self), 0, false};
    PyObject *saved = save(self);
    if (saved == NULL) {
        return LW_INVALID;
    }
    lw_status status = core_wait(wait_once_foreign, &w, timeout_ns);
    bool restored = restore_after(self, saved);
    Py_DECREF(saved);
    return restored ? status : LW_INVALID;
}

static lw_status wait_for_notification(condition_object *self, int64_t timeout_ns)
{
    return self->kind == LOCK_FOREIGN ? wait_foreign(self, timeout_ns)
                                      : wait_ours(self, timeout_ns);
}

static PyObject *condition_wait(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                PyObject *names)
{
    condition_object *self = made(op);
    int64_t timeout_ns;
    if (self == NULL || core_parse_wait("wait", args, nargs, names, &timeout_ns) < 0) {
        return NULL;
    }
    return core_waited(wait_for_notification(self, timeout_ns));
}

typedef struct predicate_wait_state {
    condition_object *self;
    PyObject *predicate;
    PyObject *result; /* the last one */
} predicate_wait_state;

/* 1 for a true result, which is kept, as is a false one; or -1 with an exception. */
static int ask(predicate_wait_state *w)
{
    Py_XSETREF(w->result, PyObject_CallNoArgs(w->predicate));
    return w->result != NULL ? PyObject_IsTrue(w->result) : -1;
}

/* The method of a subclass, as threading's does. */
static lw_status wait_by_method(condition_object *self, int64_t timeout_ns)
{
    PyObject *result = timeout_ns < 0 ? PyObject_CallMethod((PyObject *)self, "wait", "O", Py_None)
                                      : PyObject_CallMethod((PyObject *)self, "wait", "d",
                                                            (double)timeout_ns * 1e-9);
    Py_XDECREF(result);
    return result == NULL ? LW_INVALID : timeout_ns == 0 ? LW_TIMEOUT : LW_OK;
}

static lw_status wait_and_ask(void *arg, int64_t timeout_ns, unsigned Py_UNUSED(flags))
{
    predicate_wait_state *w = (predicate_wait_state *)arg;
    lw_status status = core_is_subclass((PyObject *)w->self)
                           ? wait_by_method(w->self, timeout_ns)
                           : wait_for_notification(w->self, timeout_ns);
    if (status != LW_OK && status != LW_TIMEOUT) {
        return LW_INVALID;
    }
    int answer = ask(w);
    return answer < 0 ? LW_INVALID : answer > 0 ? LW_OK : status == LW_OK ? LW_AGAIN : LW_TIMEOUT;
}

static PyObject *condition_wait_for(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                    PyObject *names)
{
    static const char *const known[] = {"predicate", "timeout"};
    PyObject *given[2];
    condition_object *self = made(op);
    int64_t timeout_ns;
    if (self == NULL ||
        core_parse_arguments("wait_for", known, 2, 1, args, nargs, names, given) < 0 ||
        core_parse_limit(given[1], &timeout_ns) < 0) {
        return NULL;
    }
    predicate_wait_state w = {self, given[0], NULL};
    int answer = ask(&w);
    if (answer == 0) {
        lw_status status = lw_py_wait_interruptible(wait_and_ask, &w, timeout_ns);
        answer = status == LW_OK || status == LW_TIMEOUT ? 0 : -1;
    }
    if (answer < 0) {
        Py_CLEAR(w.result);
    }
    return w.result;
}

/* ---- notifying ---- */

static PyObject *notify(condition_object *self, size_t n)
{
    int owned = is_owned(self);
    if (owned <= 0) {
        if (owned == 0) {
            PyErr_SetString(PyExc_RuntimeError, "cannot notify on un-acquired lock");
        }
        return NULL;
    }
    if (n != 0) {
        if (self->kind == LOCK_FOREIGN) {
            lw_mutex_lock(&self->queueing);
        }
        if (lw_cond_notify(&self->cond, n) < n) {
            (void)lw_atomic_add_relaxed_u64(&self->missed, 1);
        }
        if (self->kind == LOCK_FOREIGN) {
            lw_mutex_unlock(&self->queueing);
        }
    }
    Py_RETURN_NONE;
}

static PyObject *condition_notify(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                                  PyObject *names)
{
    static const char *const known[] = {"n"};
    PyObject *given[1];
    condition_object *self = made(op);
    if (self == NULL ||
        core_parse_arguments("notify", known, 1, 0, args, nargs, names, given) < 0) {
        return NULL;
    }
    Py_ssize_t n = given[0] != NULL ? PyNumber_AsSsize_t(given[0], NULL) : 1;
    if (n == -1 && PyErr_Occurred()) {
        return NULL;
    }
    return notify(self, n < 0 ? 0 : (size_t)n);
}

static PyObject *condition_notify_all(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    condition_object *self = made(op);
    if (self != NULL && core_is_subclass(op)) { /* its notify, as threading's does */
        return PyObject_CallMethod(op, "notify", "n", PY_SSIZE_T_MAX);
    }
    return self != NULL ? notify(self, SIZE_MAX) : NULL;
}

static PyObject *condition_notify_all_old(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    if (PyErr_WarnEx(PyExc_DeprecationWarning,
                     "notifyAll() is deprecated, use notify_all() instead", 1) < 0) {
        return NULL;
    }
    return PyObject_CallMethod(op, "notify_all", NULL);
}

/* ---- the type ---- */

static int condition_init(PyObject *op, PyObject *args, PyObject *kwds)
{
    static char *known[] = {"lock", NULL};
    condition_object *self = as_condition(op);
    PyObject *lock = Py_None;
    if (!PyArg_ParseTupleAndKeywords(args, kwds, "|O", known, &lock)) {
        return -1;
    }
    const core_state *state = core_state_of(op);
    if (state == NULL) {
        return -1;
    }
    lock = lock == Py_None ? PyObject_CallNoArgs((PyObject *)state->rmutex_type) : Py_NewRef(lock);
    if (lock == NULL) {
        return -1;
    }
    /* A subclass may have methods of its own. */
    lock_kind kind = Py_IS_TYPE(lock, state->mutex_type)    ? LOCK_MUTEX
                     : Py_IS_TYPE(lock, state->rmutex_type) ? LOCK_RMUTEX
                                                            : LOCK_FOREIGN;
    if (kind == LOCK_FOREIGN &&
        (!PyObject_HasAttrString(lock, "acquire") || !PyObject_HasAttrString(lock, "release"))) {
        PyErr_Format(PyExc_TypeError, "Condition() needs a lock, not %.100s",
                     Py_TYPE(lock)->tp_name);
        Py_DECREF(lock);
        return -1;
    }
    if (!core_begin_making(op, &self->making)) {
        Py_DECREF(lock);
        return -1;
    }
    self->lock = lock;
    self->kind = kind;
    core_end_making(&self->making);
    return 0;
}

static PyObject *condition_repr(PyObject *self)
{
    if (!core_is_made(&as_condition(self)->making)) {
        return core_repr(self, "__init__() not called");
    }
    PyObject *name = core_type_name(self);
    PyObject *text =
        name != NULL ? PyUnicode_FromFormat("<%U(%R)>", name, as_condition(self)->lock) : NULL;
    Py_XDECREF(name);
    return text;
}

static int condition_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(as_condition(self)->lock);
    return core_traverse_type(self, visit, arg);
}

/* Not NULL, which the methods would not expect: something that has none of a lock's. */
static int condition_clear(PyObject *self)
{
    as_condition(self)->kind = LOCK_FOREIGN;
    Py_XSETREF(as_condition(self)->lock, Py_NewRef(Py_None));
    return 0;
}

static void condition_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    /* A chain of conditions, each the next one's lock, must not use up the stack. */
    Py_TRASHCAN_BEGIN(self, condition_dealloc);
    PyObject_ClearWeakRefs(self);
    Py_CLEAR(as_condition(self)->lock);
    core_free_object(self);
    Py_TRASHCAN_END;
}

PyDoc_STRVAR(
    condition_doc,
    "Condition(lock=None)\n--\n\n"
    "Lets threads wait, without the lock, until another notifies them, with the methods of\n"
    "threading.Condition. lock: a Mutex, an RMutex, which None makes, or any other lock.");
PyDoc_STRVAR(acquire_doc,
             "acquire($self, /, blocking=True, timeout=-1)\n--\n\nThe lock's acquire.");
PyDoc_STRVAR(release_doc, "release($self, /)\n--\n\nThe lock's release.");
PyDoc_STRVAR(locked_doc, "locked($self, /)\n--\n\nThe lock's locked.");
PyDoc_STRVAR(enter_doc, "__enter__($self, /)\n--\n\nThe lock's __enter__.");
PyDoc_STRVAR(exit_doc, "__exit__($self, /, *args)\n--\n\nThe lock's __exit__.");
PyDoc_STRVAR(wait_doc,
             "wait($self, /, timeout=None)\n--\n\n"
             "Release the lock, wait for a notification, at most timeout seconds, and acquire the\n"
             "lock again; return whether it was notified. RuntimeError if the lock is not held.");
PyDoc_STRVAR(wait_for_doc,
             "wait_for($self, /, predicate, timeout=None)\n--\n\n"
             "Wait until predicate() is true, at most timeout seconds; return what it said last.");
PyDoc_STRVAR(notify_doc,
             "notify($self, /, n=1)\n--\n\n"
             "Wake the n threads that have waited longest; RuntimeError if the lock is not held.");
PyDoc_STRVAR(notify_all_doc, "notify_all($self, /)\n--\n\n"
                             "Wake all that wait; RuntimeError if the lock is not held.");
PyDoc_STRVAR(notify_all_old_doc, "notifyAll($self, /)\n--\n\nThe old name of notify_all.");
PyDoc_STRVAR(owned_doc, "_is_owned($self, /)\n--\n\nWhether the lock is held.");
PyDoc_STRVAR(count_doc, "_recursion_count($self, /)\n--\n\nThe lock's.");
PyDoc_STRVAR(save_doc, "_release_save($self, /)\n--\n\nThe lock's, or its release.");
PyDoc_STRVAR(restore_doc, "_acquire_restore($self, saved, /)\n--\n\nThe lock's, or its acquire.");
PyDoc_STRVAR(reinit_doc, "_at_fork_reinit($self, /)\n--\n\n"
                         "Unlock in the child of a fork, and forget who waits.");

static PyMethodDef condition_methods[] = {
    CORE_NO_PICKLE,
    {"acquire", CORE_METHOD(condition_acquire), METH_FASTCALL | METH_KEYWORDS, acquire_doc},
    {"release", condition_release, METH_NOARGS, release_doc},
    {"locked", condition_locked, METH_NOARGS, locked_doc},
    {"__enter__", condition_enter, METH_NOARGS, enter_doc},
    {"__exit__", CORE_METHOD(condition_exit), METH_FASTCALL, exit_doc},
    {"wait", CORE_METHOD(condition_wait), METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"wait_for", CORE_METHOD(condition_wait_for), METH_FASTCALL | METH_KEYWORDS, wait_for_doc},
    {"notify", CORE_METHOD(condition_notify), METH_FASTCALL | METH_KEYWORDS, notify_doc},
    {"notify_all", condition_notify_all, METH_NOARGS, notify_all_doc},
    {"notifyAll", condition_notify_all_old, METH_NOARGS, notify_all_old_doc},
    {"_is_owned", condition_is_owned, METH_NOARGS, owned_doc},
    {"_recursion_count", condition_recursion_count, METH_NOARGS, count_doc},
    {"_release_save", condition_release_save, METH_NOARGS, save_doc},
    {"_acquire_restore", condition_acquire_restore, METH_O, restore_doc},
    {"_at_fork_reinit", condition_at_fork_reinit, METH_NOARGS, reinit_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef condition_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(condition_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot condition_slots[] = {
    {Py_tp_doc, (void *)condition_doc},           {Py_tp_new, (void *)core_new_unmade},
    {Py_tp_init, (void *)condition_init},         {Py_tp_dealloc, (void *)condition_dealloc},
    {Py_tp_traverse, (void *)condition_traverse}, {Py_tp_clear, (void *)condition_clear},
    {Py_tp_repr, (void *)condition_repr},         {Py_tp_methods, condition_methods},
    {Py_tp_members, condition_members},           {0, NULL},
};

static PyType_Spec condition_spec = {
    "latchwork.Condition",
    sizeof(condition_object),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    condition_slots,
};

int core_add_condition(PyObject *module, core_state *Py_UNUSED(state))
{
    return core_add_public_type(module, &condition_spec, "Condition");
}
