/* SPDX-License-Identifier: BSD-2-Clause */
/* Once: lw_once_t, and what the run returned. */
#include "core.h"

typedef struct once_object {
    PyObject ob_base;
    lw_once_t once;
    PyObject *result; /* written by the run that succeeds, and read by whoever finds it done */
    PyObject *weakrefs;
} once_object;

static once_object *as_once(PyObject *self)
{
    return (once_object *)self;
}

typedef struct once_call_state {
    once_object *self;
    PyObject *const *args; /* the function first */
    Py_ssize_t nargs;
    PyObject *names;
} once_call_state;

static lw_status run(void *arg)
{
    const once_call_state *c = (const once_call_state *)arg;
    PyObject *result =
        PyObject_Vectorcall(c->args[0], c->args + 1, (size_t)(c->nargs - 1), c->names);
    if (result == NULL) {
        return LW_INVALID; /* with the exception set */
    }
    /* Nothing is there, but in the child of a fork that came when another thread was here. */
    Py_XSETREF(c->self->result, result);
    return LW_OK;
}

static lw_status call_once(void *arg, int64_t timeout_ns, unsigned flags)
{
    return lw_once_call_flags(&((once_call_state *)arg)->self->once, run, arg, timeout_ns, flags);
}

static PyObject *once_call(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *names)
{
    once_object *self = as_once(op);
    if (nargs == 0) {
        PyErr_SetString(PyExc_TypeError, "call() missing required argument 'function'");
        return NULL;
    }
    if (LW_UNLIKELY(!lw_once_done(&self->once))) {
        once_call_state c = {self, args, nargs, names};
        lw_status status = lw_py_wait_interruptible(call_once, &c, -1);
        if (status == LW_BUSY) {
            PyErr_SetString(PyExc_RuntimeError, "Once.call was called by what it runs");
        }
        if (status != LW_OK) {
            return NULL;
        }
    }
    return Py_NewRef(self->result);
}

static PyObject *once_is_done(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(lw_once_done(&as_once(self)->once));
}

static PyObject *once_repr(PyObject *self)
{
    return core_repr(self, lw_once_done(&as_once(self)->once) ? "done" : "not done");
}

static int once_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(as_once(self)->result);
    return core_traverse_type(self, visit, arg);
}

/* Not NULL, which a call would not expect. */
static int once_clear(PyObject *self)
{
    if (as_once(self)->result != NULL) {
        Py_SETREF(as_once(self)->result, Py_NewRef(Py_None));
    }
    return 0;
}

static void once_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    /* A chain of them, each the next one's result, must not use up the stack. */
    Py_TRASHCAN_BEGIN(self, once_dealloc);
    PyObject_ClearWeakRefs(self);
    Py_CLEAR(as_once(self)->result);
    core_free_object(self);
    Py_TRASHCAN_END;
}

PyDoc_STRVAR(once_doc,
             "Once()\n--\n\nSomething that is done once, by whichever thread comes first.");
PyDoc_STRVAR(call_doc,
             "call($self, function, /, *args, **kwargs)\n--\n\n"
             "Return what the first call that succeeded returned. If there was none yet, and no\n"
             "other thread is at it, call function(*args, **kwargs). If that raises, the caller\n"
             "gets the exception and the next one tries its own function.");

static PyMethodDef once_methods[] = {
    {"call", CORE_METHOD(once_call), METH_FASTCALL | METH_KEYWORDS, call_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef once_properties[] = {
    {"done", once_is_done, NULL, PyDoc_STR("Whether a call has succeeded."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef once_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(once_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot once_slots[] = {
    {Py_tp_doc, (void *)once_doc},
    {Py_tp_new, (void *)core_new}, /* zero bytes are not done */
    {Py_tp_dealloc, (void *)once_dealloc},
    {Py_tp_traverse, (void *)once_traverse},
    {Py_tp_clear, (void *)once_clear},
    {Py_tp_repr, (void *)once_repr},
    {Py_tp_methods, once_methods},
    {Py_tp_getset, once_properties},
    {Py_tp_members, once_members},
    {0, NULL},
};

static PyType_Spec once_spec = {
    "latchwork.Once",
    sizeof(once_object),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    once_slots,
};

int core_add_once(PyObject *module, core_state *Py_UNUSED(state))
{
    return core_add_public_type(module, &once_spec, "Once");
}
