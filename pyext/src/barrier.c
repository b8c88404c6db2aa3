/* SPDX-License-Identifier: BSD-2-Clause */
/* Barrier: threading.Barrier over lw_barrier_t. */
#include "core.h"

typedef struct barrier_object {
    PyObject ob_base;
    core_making making;
    lw_barrier_t barrier;
    PyObject *action;     /* NULL: none */
    int64_t timeout_ns;   /* of waits that name none */
    lw_atomic_u64 acting; /* the thread that runs the action, or 0 */
    /* How often it was reset: for a wait that had to leave the round to run a signal handler, and
     * would else not notice. */
    lw_atomic_u64 resets;
    PyObject *weakrefs;
} barrier_object;

static barrier_object *as_barrier(PyObject *self)
{
    return (barrier_object *)self;
}

typedef struct barrier_wait_state {
    barrier_object *self;
    uint64_t resets; /* when the wait began */
    uint32_t index;
    bool failed; /* the action did, here: its exception is set */
} barrier_wait_state;

static bool run_action(void *arg)
{
    barrier_wait_state *w = (barrier_wait_state *)arg;
    lw_atomic_store_relaxed_u64(&w->self->acting, PyThread_get_thread_ident());
    PyObject *action = Py_NewRef(w->self->action);
    PyObject *result = PyObject_CallNoArgs(action);
    Py_DECREF(action);
    Py_XDECREF(result);
    lw_atomic_store_relaxed_u64(&w->self->acting, 0);
    w->failed = result == NULL;
    return !w->failed;
}

static lw_status wait_once(void *arg, int64_t timeout_ns, unsigned flags)
{
    barrier_wait_state *w = (barrier_wait_state *)arg;
    barrier_object *self = w->self;
    if (lw_atomic_load_relaxed_u64(&self->resets) != w->resets) {
        return LW_BROKEN;
    }
    return lw_barrier_wait_then(&self->barrier, self->action != NULL ? run_action : NULL, w,
                                timeout_ns, flags, &w->index);
}

/* Whether who comes now is neither the last nor too late. */
static bool would_wait(const lw_barrier_t *barrier)
{
    return !lw_barrier_is_broken(barrier) &&
           lw_barrier_waiting(barrier) + 1 != lw_barrier_parties(barrier);
}

static PyObject *barrier_wait(PyObject *op, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *names)
{
    barrier_object *self = as_barrier(op);
    static const char *const known[] = {"timeout"};
    PyObject *given[1];
    if (!core_is_made(&self->making)) {
        return core_unmade(op);
    }
    int64_t timeout_ns = self->timeout_ns;
    if (core_parse_arguments("wait", known, 1, 0, args, nargs, names, given) < 0 ||
        (given[0] != NULL && given[0] != Py_None && core_parse_limit(given[0], &timeout_ns) < 0)) {
        return NULL;
    }
    if (lw_atomic_load_relaxed_u64(&self->acting) == PyThread_get_thread_ident()) {
        PyErr_SetString(PyExc_RuntimeError, "the action of a barrier cannot wait for it");
        return NULL;
    }
    /* As in threading, this does not break it. Should another become the last in its place, it
     * waits for as long as it was told to. */
    if (timeout_ns == CORE_TOO_LONG && would_wait(&self->barrier)) {
        return core_too_long();
    }
    barrier_wait_state w = {self, lw_atomic_load_relaxed_u64(&self->resets), 0, false};
    lw_status status = lw_py_wait_interruptible(wait_once, &w, timeout_ns);
    if (status == LW_OK) {
        return PyLong_FromUnsignedLong(w.index);
    }
    if (status != LW_INTERRUPTED && !w.failed) {
        core_state *state = core_state_of(op);
        if (state != NULL) {
            PyErr_SetNone(state->broken_barrier);
        }
    }
    return NULL;
}

static PyObject *barrier_reset(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!core_is_made(&as_barrier(self)->making)) {
        return core_unmade(self);
    }
    /* Before the reset: who comes after it waits in the round that follows. */
    (void)lw_atomic_add_relaxed_u64(&as_barrier(self)->resets, 1);
    lw_barrier_reset(&as_barrier(self)->barrier);
    Py_RETURN_NONE;
}

static PyObject *barrier_abort(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!core_is_made(&as_barrier(self)->making)) {
        return core_unmade(self);
    }
    lw_barrier_abort(&as_barrier(self)->barrier);
    Py_RETURN_NONE;
}

static PyObject *barrier_parties(PyObject *self, void *Py_UNUSED(closure))
{
    if (!core_is_made(&as_barrier(self)->making)) {
        return core_unmade(self);
    }
    return PyLong_FromUnsignedLong(lw_barrier_parties(&as_barrier(self)->barrier));
}

static PyObject *barrier_n_waiting(PyObject *self, void *Py_UNUSED(closure))
{
    if (!core_is_made(&as_barrier(self)->making)) {
        return core_unmade(self);
    }
    return PyLong_FromUnsignedLong(lw_barrier_waiting(&as_barrier(self)->barrier));
}

static PyObject *barrier_broken(PyObject *self, void *Py_UNUSED(closure))
{
    if (!core_is_made(&as_barrier(self)->making)) {
        return core_unmade(self);
    }
    return PyBool_FromLong(lw_barrier_is_broken(&as_barrier(self)->barrier));
}

static PyObject *barrier_repr(PyObject *self)
{
    const lw_barrier_t *barrier = &as_barrier(self)->barrier;
    if (!core_is_made(&as_barrier(self)->making)) {
        return core_repr(self, "__init__() not called");
    }
    if (lw_barrier_is_broken(barrier)) {
        return core_repr(self, "broken");
    }
    return core_repr(self, "waiters=%u/%u", (unsigned)lw_barrier_waiting(barrier),
                     (unsigned)lw_barrier_parties(barrier));
}

static int barrier_init(PyObject *op, PyObject *args, PyObject *kwds)
{
    static char *known[] = {"parties", "action", "timeout", NULL};
    barrier_object *self = as_barrier(op);
    PyObject *given = NULL;
    PyObject *action = NULL;
    PyObject *timeout = NULL;
    uint32_t parties;
    int64_t timeout_ns;
    if (!PyArg_ParseTupleAndKeywords(args, kwds, "O|OO", known, &given, &action, &timeout) ||
        core_parse_u32(given, 1, UINT32_MAX, "parties must be > 0",
                       "a barrier has at most 4294967295 parties", &parties) < 0 ||
        core_parse_limit(timeout, &timeout_ns) < 0 || !core_begin_making(op, &self->making)) {
        return -1;
    }
    lw_barrier_init(&self->barrier, parties);
    self->action = action != NULL && action != Py_None ? Py_NewRef(action) : NULL;
    self->timeout_ns = timeout_ns;
    core_end_making(&self->making);
    return 0;
}

static int barrier_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(as_barrier(self)->action);
    return core_traverse_type(self, visit, arg);
}

static int barrier_clear(PyObject *self)
{
    Py_CLEAR(as_barrier(self)->action);
    return 0;
}

static void barrier_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    /* A chain of barriers, each the next one's action, must not use up the stack. */
    Py_TRASHCAN_BEGIN(self, barrier_dealloc);
    PyObject_ClearWeakRefs(self);
    (void)barrier_clear(self);
    core_free_object(self);
    Py_TRASHCAN_END;
}

PyDoc_STRVAR(
    barrier_doc,
    "Barrier(parties, action=None, timeout=None)\n--\n\n"
    "Lets threads go on together once as many as parties wait, with the methods of\n"
    "threading.Barrier. The last to arrive calls action() before that. timeout is for the\n"
    "waits that name none.");
PyDoc_STRVAR(
    wait_doc,
    "wait($self, /, timeout=None)\n--\n\n"
    "Wait for the others; return a number from 0 to parties - 1, another for each thread.\n"
    "Raises BrokenBarrierError if the barrier is broken or reset meanwhile, and after\n"
    "timeout seconds, by which it is broken.");
PyDoc_STRVAR(reset_doc, "reset($self, /)\n--\n\n"
                        "Make it as new; threads that wait get BrokenBarrierError.");
PyDoc_STRVAR(abort_doc, "abort($self, /)\n--\n\n"
                        "Break it: all waits get BrokenBarrierError until it is reset.");

static PyMethodDef barrier_methods[] = {
    CORE_NO_PICKLE,
    {"wait", CORE_METHOD(barrier_wait), METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"reset", barrier_reset, METH_NOARGS, reset_doc},
    {"abort", barrier_abort, METH_NOARGS, abort_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef barrier_properties[] = {
    {"parties", barrier_parties, NULL, PyDoc_STR("How many threads it is for."), NULL},
    {"n_waiting", barrier_n_waiting, NULL, PyDoc_STR("How many wait now."), NULL},
    {"broken", barrier_broken, NULL, PyDoc_STR("Whether it is broken."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef barrier_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(barrier_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot barrier_slots[] = {
    {Py_tp_doc, (void *)barrier_doc},
    {Py_tp_new, (void *)core_new_unmade},
    {Py_tp_init, (void *)barrier_init},
    {Py_tp_dealloc, (void *)barrier_dealloc},
    {Py_tp_traverse, (void *)barrier_traverse},
    {Py_tp_clear, (void *)barrier_clear},
    {Py_tp_repr, (void *)barrier_repr},
    {Py_tp_methods, barrier_methods},
    {Py_tp_getset, barrier_properties},
    {Py_tp_members, barrier_members},
    {0, NULL},
};

static PyType_Spec barrier_spec = {
    "latchwork.Barrier",
    sizeof(barrier_object),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    barrier_slots,
};

int core_add_barrier(PyObject *module, core_state *Py_UNUSED(state))
{
    return core_add_public_type(module, &barrier_spec, "Barrier");
}
