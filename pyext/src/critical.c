/* SPDX-License-Identifier: BSD-2-Clause */
/* critical_section: sections on any Python objects, over lw_critical_t. */
#include "core.h"

/* The mutex of an object while sections are entered on it, or about to be: found by the object's
 * address, in a table of short lists. */
struct core_section_entry {
    core_section_entry *next;
    PyObject *object; /* borrowed from the sections, which keep it */
    size_t sections;
    lw_mutex_t mutex;
};

static core_section_list *section_list(core_state *state, PyObject *object)
{
    uint64_t h = (uint64_t)(uintptr_t)object * UINT64_C(0x9e3779b97f4a7c15);
    return &state->section_lists[(h >> 32) % CORE_SECTION_LISTS];
}

/* NULL with MemoryError. */
static core_section_entry *entry_get(core_state *state, PyObject *object)
{
    core_section_list *list = section_list(state, object);
    core_section_entry *fresh = NULL, *entry;
    for (;;) {
        lw_mutex_lock(&list->mutex);
        for (entry = list->first; entry != NULL && entry->object != object;) {
            entry = entry->next;
        }
        if (entry == NULL && fresh != NULL) {
            entry = fresh;
            fresh = NULL;
            entry->object = object;
            entry->next = list->first;
            list->first = entry;
        }
        if (entry != NULL) {
            entry->sections++;
        }
        lw_mutex_unlock(&list->mutex);
        if (entry != NULL) {
            PyMem_Free(fresh);
            return entry;
        }
        fresh = PyMem_Calloc(1, sizeof(*fresh)); /* with no lock held */
        if (fresh == NULL) {
            PyErr_NoMemory();
            return NULL;
        }
    }
}

static void entry_put(core_state *state, core_section_entry *entry)
{
    core_section_list *list = section_list(state, entry->object);
    bool last;
    lw_mutex_lock(&list->mutex);
    last = --entry->sections == 0;
    if (last) {
        core_section_entry **at = &list->first;
        while (*at != entry) {
            at = &(*at)->next;
        }
        *at = entry->next;
    }
    lw_mutex_unlock(&list->mutex);
    if (last) {
        PyMem_Free(entry);
    }
}

enum { SECTION_INLINE = 4 };

enum {
    SECTION_OUTSIDE,
    SECTION_BUSY,   /* a thread enters or leaves */
    SECTION_INSIDE, /* the thread's list points to it, and owns a reference */
    SECTION_LEFT,   /* likewise, but its block is over (LW_HELD_LEFT_) */
};

typedef struct section_object {
    PyObject ob_base;
    lw_critical_t section;
    lw_atomic_u32 state;
    PyObject *objects; /* a tuple; keeps them, and so their addresses */
    PyObject *weakrefs;
    core_state *core;     /* while entered; our type keeps the module, and so this */
    unsigned long thread; /* that entered it */
    lw_mutex_t **set;
    core_section_entry **entries;
    lw_mutex_t *inline_set[SECTION_INLINE];
    core_section_entry *inline_entries[SECTION_INLINE];
} section_object;

static section_object *as_section(PyObject *self)
{
    return (section_object *)self;
}

static bool section_move(section_object *self, uint32_t from, uint32_t to)
{
    return lw_atomic_cas_acq_rel_u32(&self->state, &from, to);
}

static void section_put_entries(section_object *self, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        entry_put(self->core, self->entries[i]);
    }
}

static Py_ssize_t section_count(const section_object *self)
{
    return self->objects != NULL ? PyTuple_GET_SIZE(self->objects) : 0;
}

/* What the library does with sections; `left` gets those whose block is over. */
static void section_release(lw_held_ *held)
{
    lw_critical_ops_.release(held);
}

static bool section_take(lw_held_ *held, int64_t timeout_ns, unsigned flags)
{
    return lw_critical_ops_.take(held, timeout_ns, flags);
}

static void section_left(lw_held_ *held)
{
    section_object *self =
        (section_object *)(void *)((char *)held - offsetof(section_object, section.held));
    /* By C code that ends a section of its own while detached: then this one is never freed. */
    if (lw_py_is_attached()) {
        section_put_entries(self, section_count(self));
        (void)section_move(self, SECTION_LEFT, SECTION_OUTSIDE);
        Py_DECREF((PyObject *)self);
    }
}

static const lw_held_ops_ section_ops = {LW_HELD_CRITICAL_, section_release, section_take,
                                         section_left};

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
    Py_ssize_t count = section_count(self), got = 0;
    self->core = state;
    while (got < count) {
        self->entries[got] = entry_get(state, PyTuple_GET_ITEM(self->objects, got));
        if (self->entries[got] == NULL) {
            goto failed;
        }
        got++;
    }
    for (;;) {
        for (Py_ssize_t i = 0; i < count; i++) {
            self->set[i] = &self->entries[i]->mutex;
        }
        lw_status status = lw_critical_begin_flags(&self->section, self->set, (size_t)count, -1,
                                                   LW_WAIT_INTERRUPTIBLE);
        if (status == LW_OK) {
            break;
        }
        if (PyErr_CheckSignals() < 0) {
            goto failed;
        }
    }
    self->section.held.ops = &section_ops;
    self->thread = PyThread_get_thread_ident();
    Py_INCREF(op); /* for the thread's list */
    (void)section_move(self, SECTION_BUSY, SECTION_INSIDE);
    Py_RETURN_NONE;

failed:
    section_put_entries(self, got);
    (void)section_move(self, SECTION_BUSY, SECTION_OUTSIDE);
    return NULL;
}

static PyObject *section_exit(PyObject *op, PyObject *const *Py_UNUSED(args),
                              Py_ssize_t Py_UNUSED(nargs))
{
    section_object *self = as_section(op);
    if (!section_move(self, SECTION_INSIDE, SECTION_BUSY)) {
        PyErr_SetString(PyExc_RuntimeError, "this critical section has not been entered");
        return NULL;
    }
    if (self->section.root != lw_held_root_() || self->thread != PyThread_get_thread_ident()) {
        (void)section_move(self, SECTION_BUSY, SECTION_INSIDE);
        PyErr_SetString(PyExc_RuntimeError,
                        "this critical section was entered by another thread, which alone can "
                        "leave it");
        return NULL;
    }
    if (lw_held_top_() != &self->section.held) {
        /* A generator that was closed inside of another section, say: it ends after that. */
        (void)section_move(self, SECTION_BUSY, SECTION_LEFT);
        self->section.held.state |= LW_HELD_LEFT_;
        Py_RETURN_NONE;
    }
    lw_critical_end(&self->section);
    section_put_entries(self, section_count(self));
    (void)section_move(self, SECTION_BUSY, SECTION_OUTSIDE);
    Py_DECREF(op);
    Py_RETURN_NONE;
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
    self->entries = self->inline_entries;
    if (count > SECTION_INLINE) {
        self->set = PyMem_New(lw_mutex_t *, (size_t)count);
        self->entries = PyMem_New(core_section_entry *, (size_t)count);
        if (self->set == NULL || self->entries == NULL) {
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
        PyMem_Free((void *)self->entries);
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
