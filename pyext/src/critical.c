/* SPDX-License-Identifier: BSD-2-Clause */
/* critical_section: sections on any Python objects, over lw_critical_t. */
#include "core.h"

/* An object's mutex is found by its address. Two objects that share one are a section on both,
 * which is slower and not wrong: a section on what an outer one has is allowed. */
static lw_mutex_t *mutex_of(core_state *state, PyObject *object)
{
    uint64_t h = (uint64_t)(uintptr_t)object * UINT64_C(0x9e3779b97f4a7c15);
    return &state->section_mutexes[(h >> 32) % CORE_SECTION_MUTEXES];
}

enum { SECTION_INLINE = 4 };

enum {
    SECTION_OUTSIDE,
    SECTION_BUSY,   /* a thread enters or leaves */
    SECTION_INSIDE, /* the thread's list points to it, and owns a reference */
    SECTION_LEFT,   /* likewise, but its block is over: it ends when it is the innermost again */
};

typedef struct section_object {
    PyObject ob_base;
    lw_critical_t section;
    lw_atomic_u32 state;
    PyObject *objects; /* a tuple; keeps them, and so their addresses */
    PyObject *weakrefs;
    lw_mutex_t **set;
    lw_mutex_t *inline_set[SECTION_INLINE];
} section_object;

static section_object *as_section(PyObject *self)
{
    return (section_object *)self;
}

static bool section_move(section_object *self, uint32_t from, uint32_t to)
{
    return lw_atomic_cas_acq_rel_u32(&self->state, &from, to);
}

/* What the library does with sections; the address says that one lies in a section_object. */
static void section_release(lw_held_ *held)
{
    lw_critical_ops_.release(held);
}

static void section_take(lw_held_ *held)
{
    lw_critical_ops_.take(held);
}

static const lw_held_ops_ section_ops = {LW_HELD_CRITICAL_, section_release, section_take};

static section_object *section_of(lw_held_ *held)
{
    return held != NULL && held->ops == &section_ops
               ? (section_object *)(void *)((char *)held - offsetof(section_object, section.held))
               : NULL;
}

static PyObject *section_enter(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    section_object *self = as_section(op);
    core_state *state = core_state_of(op);
    if (state == NULL) {
        return NULL;
    }
    if (!section_move(self, SECTION_OUTSIDE, SECTION_BUSY)) {
        PyErr_SetString(PyExc_RuntimeError,
                        "this critical section has been entered already: make another one");
        return NULL;
    }
    Py_ssize_t count = self->objects != NULL ? PyTuple_GET_SIZE(self->objects) : 0;
    for (;;) {
        for (Py_ssize_t i = 0; i < count; i++) {
            self->set[i] = mutex_of(state, PyTuple_GET_ITEM(self->objects, i));
        }
        lw_status status = lw_critical_begin_flags(&self->section, self->set, (size_t)count, -1,
                                                   LW_WAIT_INTERRUPTIBLE);
        if (status == LW_OK) {
            break;
        }
        if (PyErr_CheckSignals() < 0) {
            (void)section_move(self, SECTION_BUSY, SECTION_OUTSIDE);
            return NULL;
        }
    }
    self->section.held.ops = &section_ops;
    Py_INCREF(op);
    (void)section_move(self, SECTION_BUSY, SECTION_INSIDE);
    Py_RETURN_NONE;
}

static void section_end(section_object *self, uint32_t state)
{
    lw_critical_end(&self->section);
    (void)section_move(self, state, SECTION_OUTSIDE);
    Py_DECREF((PyObject *)self);
}

static PyObject *section_exit(PyObject *op, PyObject *const *Py_UNUSED(args),
                              Py_ssize_t Py_UNUSED(nargs))
{
    section_object *self = as_section(op);
    lw_held_ **root = lw_held_root_();
    if (!section_move(self, SECTION_INSIDE, SECTION_BUSY)) {
        PyErr_SetString(PyExc_RuntimeError, "this critical section has not been entered");
        return NULL;
    }
    if (self->section.root != root) {
        (void)section_move(self, SECTION_BUSY, SECTION_INSIDE);
        PyErr_SetString(PyExc_RuntimeError,
                        "this critical section was entered by another thread, which alone can "
                        "leave it");
        return NULL;
    }
    if (*root != &self->section.held) {
        /* A generator that was closed inside of another section, say. */
        (void)section_move(self, SECTION_BUSY, SECTION_LEFT);
        Py_RETURN_NONE;
    }
    section_end(self, SECTION_BUSY);
    for (;;) {
        section_object *next = section_of(*root);
        if (next == NULL || !section_move(next, SECTION_LEFT, SECTION_BUSY)) {
            Py_RETURN_NONE;
        }
        section_end(next, SECTION_BUSY);
    }
}

static PyObject *section_repr(PyObject *self)
{
    static const char *const names[] = {"not entered", "not entered", "entered", "left"};
    return PyUnicode_FromFormat("<latchwork.critical_section %s at %p>",
                                names[lw_atomic_load_relaxed_u32(&as_section(self)->state)], self);
}

static PyObject *section_new(PyTypeObject *type, PyObject *args, PyObject *kwds)
{
    if (kwds != NULL && PyDict_GET_SIZE(kwds) != 0) {
        PyErr_SetString(PyExc_TypeError, "critical_section() takes no keyword arguments");
        return NULL;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    section_object *self = as_section(type->tp_alloc(type, 0));
    if (self == NULL) {
        return NULL;
    }
    self->objects = Py_NewRef(args);
    self->set = self->inline_set;
    if (count > SECTION_INLINE) {
        self->set = PyMem_New(lw_mutex_t *, (size_t)count);
        if (self->set == NULL) {
            self->set = self->inline_set;
            Py_DECREF((PyObject *)self);
            return PyErr_NoMemory();
        }
    }
    return (PyObject *)self;
}

static int section_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(as_section(self)->objects);
    return 0;
}

static int section_clear(PyObject *self)
{
    Py_CLEAR(as_section(self)->objects);
    return 0;
}

static void section_dealloc(PyObject *op)
{
    section_object *self = as_section(op);
    PyObject_GC_UnTrack(op);
    if (self->weakrefs != NULL) {
        PyObject_ClearWeakRefs(op);
    }
    Py_CLEAR(self->objects);
    if (self->set != self->inline_set) {
        PyMem_Free((void *)self->set);
    }
    core_free_object(op);
}

PyDoc_STRVAR(
    section_doc,
    "critical_section(*objects)\n--\n\n"
    "A context manager: while a thread is inside, no other thread is inside of a section on any\n"
    "of the objects. Any objects will do; they are told apart by identity. Sections may be inside\n"
    "of each other in any order without a deadlock: a thread that has to wait for a section, or\n"
    "in any other wait of latchwork, lets go of those that it is in until the wait is over, so\n"
    "what they protect may have changed by then. Only sections keep each other out: code that\n"
    "uses the objects without one is not stopped.");
PyDoc_STRVAR(section_enter_doc, "__enter__($self, /)\n--\n\nEnter; waits without a limit.");
PyDoc_STRVAR(section_exit_doc, "__exit__($self, /, *args)\n--\n\nLeave.");

static PyMethodDef section_methods[] = {
    {"__enter__", section_enter, METH_NOARGS, section_enter_doc},
    {"__exit__", CORE_METHOD(section_exit), METH_FASTCALL, section_exit_doc},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef section_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(section_object, weakrefs), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot section_slots[] = {
    {Py_tp_doc, (void *)section_doc},
    {Py_tp_new, (void *)section_new},
    {Py_tp_dealloc, (void *)section_dealloc},
    {Py_tp_traverse, (void *)section_traverse},
    {Py_tp_clear, (void *)section_clear},
    {Py_tp_repr, (void *)section_repr},
    {Py_tp_methods, section_methods},
    {Py_tp_members, section_members},
    {0, NULL},
};

static PyType_Spec section_spec = {
    "latchwork.critical_section",
    sizeof(section_object),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    section_slots,
};

int core_add_critical(PyObject *module, core_state *state)
{
    state->section_type = core_add_type(module, &section_spec, "critical_section");
    return state->section_type != NULL ? 0 : -1;
}
