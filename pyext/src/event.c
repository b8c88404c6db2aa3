/* SPDX-License-Identifier: BSD-2-Clause */
/* Event: threading.Event over lw_event_t. */
#include "core.h"

typedef struct event_object {
    PyObject ob_base;
    lw_event_t event;
    /* How often it was set: for a wait that had to leave the queue to run a signal handler, and
     * would else miss what was set and reset meanwhile. */
    lw_atomic_u64 sets;
    PyObject *weakrefs;
} event_object;

static event_object *as_event(PyObject *self)
{
    return (event_object *)self;
}

static PyObject *event_is_set(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(lw_event_is_set(&as_event(self)->event));
}

static PyObject *event_is_set_old(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (PyErr_WarnEx(PyExc_DeprecationWarning, "isSet() is deprecated, use is_set() instead", 1) <
        0) {
        return NULL;
    }
    return PyObject_CallMethod(self, "is_set", NULL);
}

static PyObject *event_set(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    /* (1) release: pairs with (2), which stands for the event's own order. Before the event is set:
     * once that is done, it may be reset. */
    (void)lw_atomic_add_release_u64(&as_event(self)->sets, 1);
    lw_event_set(&as_event(self)->event);
    Py_RETURN_NONE;
}

static PyObject *event_clear(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    lw_event_reset(&as_event(self)->event);
    Py_RETURN_NONE;
}

typedef struct event_wait_state {
    event_object *self;
    uint64_t sets; /* when the wait began */
} event_wait_state;

static lw_status wait_once(void *arg, int64_t timeout_ns, unsigned flags)
{
    const event_wait_state *w = (const event_wait_state *)arg;
    /* (2) acquire: pairs with (1). */
    if (lw_atomic_load_acquire_u64(&w->self->sets) != w->sets) {
        return LW_OK;
    }
    return lw_event_wait_flags(&w->self->event, timeout_ns, flags);
}

static PyObject *event_wait(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    event_object *self = as_event(op);
    event_wait_state w = {self, lw_atomic_load_relaxed_u64(&self->sets)};
    int64_t timeout_ns;
    if (core_parse_wait("wait", args, nargs, names, &timeout_ns) < 0) {
        return NULL;
    }
    if (lw_event_is_set(&self->event)) {
        Py_RETURN_TRUE;
    }
    return core_waited(core_wait(wait_once, &w, timeout_ns));
}

/* It keeps its state, as threading's does; nobody waits in the child of a fork. */
static PyObject *event_at_fork_reinit(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (!lw_event_is_set(&as_event(self)->event)) {
        lw_event_init(&as_event(self)->event);
    }
    Py_RETURN_NONE;
}

static PyObject *event_repr(PyObject *self)
{
    return core_repr(self, lw_event_is_set(&as_event(self)->event) ? "set" : "unset");
}

PyDoc_STRVAR(event_doc, "Event()\n--\n\n"
                        "A flag that threads wait for, with the methods of threading.Event.");
PyDoc_STRVAR(is_set_doc, "is_set($self, /)\n--\n\nWhether it is set.");
PyDoc_STRVAR(is_set_old_doc, "isSet($self, /)\n--\n\nThe old name of is_set.");
PyDoc_STRVAR(set_doc, "set($self, /)\n--\n\nSet it, and wake all that wait.");
PyDoc_STRVAR(clear_doc, "clear($self, /)\n--\n\nMake it not set.");
PyDoc_STRVAR(
    wait_doc,
    "wait($self, /, timeout=None)\n--\n\n"
    "Wait until it is set, at most timeout seconds; return whether it was. Who waits when\n"
    "it is set returns, even if it is cleared at once.");
PyDoc_STRVAR(reinit_doc, "_at_fork_reinit($self, /)\n--\n\nForget who waits, after a fork.");

static PyMethodDef event_methods[] = {
    CORE_NO_PICKLE,
    {"is_set", event_is_set, METH_NOARGS, is_set_doc},
    {"isSet", event_is_set_old, METH_NOARGS, is_set_old_doc},
    {"set", event_set, METH_NOARGS, set_doc},
    {"clear", event_clear, METH_NOARGS, clear_doc},
    {"wait", CORE_METHOD(event_wait), METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"_at_fork_reinit", event_at_fork_reinit, METH_NOARGS, reinit_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef event_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(event_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot event_slots[] = {
    {Py_tp_doc, (void *)event_doc},
    {Py_tp_new, (void *)core_new}, /* zero bytes are an event that is not set */
    {Py_tp_dealloc, (void *)core_dealloc},
    {Py_tp_traverse, (void *)core_traverse_type},
    {Py_tp_repr, (void *)event_repr},
    {Py_tp_methods, event_methods},
    {Py_tp_members, event_members},
    {0, NULL},
};

static PyType_Spec event_spec = {
    "latchwork.Event",
    sizeof(event_object),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    event_slots,
};

int core_add_event(PyObject *module, core_state *Py_UNUSED(state))
{
    return core_add_public_type(module, &event_spec, "Event");
}
