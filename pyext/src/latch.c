/* SPDX-License-Identifier: BSD-2-Clause */
/* Latch: lw_latch_t. */
#include "core.h"

typedef struct latch_object {
    PyObject ob_base;
    lw_latch_t latch;
    /* What is not spoken for yet. lw_latch_count_down ends the process when it is called for more
     * than is left, also if two threads together do: whoever takes it from here may. */
    lw_atomic_u32 left;
    PyObject *weakrefs;
} latch_object;

static latch_object *as_latch(PyObject *self)
{
    return (latch_object *)self;
}

static bool take(PyObject *self, uint32_t n)
{
    uint32_t left = lw_atomic_load_relaxed_u32(&as_latch(self)->left);
    do {
        if (n > left) {
            PyErr_SetString(PyExc_ValueError, "cannot count down by more than is left");
            return false;
        }
    } while (!lw_atomic_cas_relaxed_u32(&as_latch(self)->left, &left, left - n));
    return true;
}

static PyObject *latch_count_down(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                  PyObject *names)
{
    static const char *const known[] = {"n"};
    PyObject *given[1];
    uint32_t n = 1;
    if (core_parse_arguments("count_down", known, 1, 0, args, nargs, names, given) < 0 ||
        (given[0] != NULL &&
         core_parse_u32(given[0], 0, UINT32_MAX, "n must not be negative", NULL, &n) < 0) ||
        !take(self, n)) {
        return NULL;
    }
    lw_latch_count_down(&as_latch(self)->latch, n);
    Py_RETURN_NONE;
}

static PyObject *latch_try_wait(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return PyBool_FromLong(lw_latch_try_wait(&as_latch(self)->latch));
}

static lw_status wait_once(void *latch, int64_t timeout_ns, unsigned flags)
{
    return lw_latch_wait_flags((lw_latch_t *)latch, timeout_ns, flags);
}

static PyObject *latch_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                            PyObject *names)
{
    lw_latch_t *latch = &as_latch(self)->latch;
    int64_t timeout_ns;
    if (core_parse_wait("wait", args, nargs, names, &timeout_ns) < 0) {
        return NULL;
    }
    if (lw_latch_try_wait(latch)) {
        Py_RETURN_TRUE;
    }
    return core_waited(core_wait(wait_once, latch, timeout_ns));
}

static PyObject *latch_arrive_and_wait(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                       PyObject *names)
{
    lw_latch_t *latch = &as_latch(self)->latch;
    int64_t timeout_ns;
    if (core_parse_wait("arrive_and_wait", args, nargs, names, &timeout_ns) < 0) {
        return NULL;
    }
    /* Here, where it has not counted down yet. The last waits for those alone that are about to. */
    if (timeout_ns == CORE_TOO_LONG && lw_atomic_load_relaxed_u32(&as_latch(self)->left) > 1) {
        return core_too_long();
    }
    if (!take(self, 1)) {
        return NULL;
    }
    /* Two steps: the caller's reference keeps the latch between them. */
    lw_latch_count_down(latch, 1);
    return core_waited(lw_py_wait_interruptible(wait_once, latch, timeout_ns));
}

static PyObject *latch_count(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(lw_latch_count(&as_latch(self)->latch));
}

static PyObject *latch_repr(PyObject *self)
{
    return core_repr(self, "count=%u", (unsigned)lw_latch_count(&as_latch(self)->latch));
}

static PyObject *latch_new(PyTypeObject *type, PyObject *args, PyObject *kwds)
{
    static char *known[] = {"count", NULL};
    PyObject *given = NULL;
    uint32_t count;
    if (!PyArg_ParseTupleAndKeywords(args, kwds, "O", known, &given) ||
        core_parse_u32(given, 0, LW_LATCH_MAX, "count must not be negative",
                       "a latch's count is at most 2147483647", &count) < 0) {
        return NULL;
    }
    PyObject *self = type->tp_alloc(type, 0);
    if (self != NULL) {
        lw_latch_init(&as_latch(self)->latch, count);
        lw_atomic_store_relaxed_u32(&as_latch(self)->left, count);
    }
    return self;
}

PyDoc_STRVAR(latch_doc, "Latch(count)\n--\n\n"
                        "Opens, once and for good, when it has been counted down from count to 0.");
PyDoc_STRVAR(count_down_doc, "count_down($self, /, n=1)\n--\n\n"
                             "Count down by n; ValueError if that is more than is left.");
PyDoc_STRVAR(try_wait_doc, "try_wait($self, /)\n--\n\nWhether it is open.");
PyDoc_STRVAR(wait_doc, "wait($self, /, timeout=None)\n--\n\n"
                       "Wait until it is open, at most timeout seconds; return whether it is.");
PyDoc_STRVAR(arrive_doc,
             "arrive_and_wait($self, /, timeout=None)\n--\n\n"
             "count_down(), which stays done whatever comes of the wait, and wait(timeout).");

static PyMethodDef latch_methods[] = {
    {"count_down", CORE_METHOD(latch_count_down), METH_FASTCALL | METH_KEYWORDS, count_down_doc},
    {"try_wait", latch_try_wait, METH_NOARGS, try_wait_doc},
    {"wait", CORE_METHOD(latch_wait), METH_FASTCALL | METH_KEYWORDS, wait_doc},
    {"arrive_and_wait", CORE_METHOD(latch_arrive_and_wait), METH_FASTCALL | METH_KEYWORDS,
     arrive_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef latch_properties[] = {
    {"count", latch_count, NULL, PyDoc_STR("How much is left to be counted down."), NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef latch_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(latch_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot latch_slots[] = {
    {Py_tp_doc, (void *)latch_doc},
    {Py_tp_new, (void *)latch_new},
    {Py_tp_dealloc, (void *)core_dealloc},
    {Py_tp_traverse, (void *)core_traverse_type},
    {Py_tp_repr, (void *)latch_repr},
    {Py_tp_methods, latch_methods},
    {Py_tp_getset, latch_properties},
    {Py_tp_members, latch_members},
    {0, NULL},
};

static PyType_Spec latch_spec = {
    "latchwork.Latch",
    sizeof(latch_object),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    latch_slots,
};

int core_add_latch(PyObject *module, core_state *Py_UNUSED(state))
{
    return core_add_public_type(module, &latch_spec, "Latch");
}
