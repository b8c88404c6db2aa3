/* SPDX-License-Identifier: BSD-2-Clause */
/* What the source files of latchwork._core share. */
#ifndef LATCHWORK_PYEXT_CORE_H
#define LATCHWORK_PYEXT_CORE_H

#include <latchwork/cpython.h>
#include <structmember.h> /* before 3.12 the member types live there */

/* critical_section's table: the objects that sections are entered on. */
enum { CORE_SECTION_LISTS = 64 };
typedef struct core_section_entry core_section_entry;
typedef struct core_section_list {
    lw_mutex_t mutex;
    core_section_entry *first;
} core_section_list;

typedef struct core_state {
    PyTypeObject *dict_type;
    PyTypeObject *iterator_type;
    PyTypeObject *keys_type;
    PyTypeObject *values_type;
    PyTypeObject *items_type;
    PyTypeObject *mutex_type;
    PyTypeObject *rmutex_type;
    PyTypeObject *rwlock_reader_type;
    PyTypeObject *rwlock_writer_type;
    PyTypeObject *atomic_int_type;
    PyTypeObject *section_type;
    PyTypeObject *missing_type;
    PyObject *missing;        /* latchwork.MISSING */
    PyObject *newobj;         /* copyreg.__newobj__ */
    PyObject *missing_method; /* "__missing__" */
    PyObject *broken_barrier; /* threading.BrokenBarrierError */
    bool cleared;             /* by the collector: the pointers may be NULL */
    core_section_list section_lists[CORE_SECTION_LISTS];
} core_state;

extern PyModuleDef core_module;

/* Sets the exception for an object whose module or type is gone. NULL. */
core_state *core_state_gone(void);

/* The state of the module that defined the type of `self`, or a base of it; for methods and slots
 * of our types. NULL with an exception: the collector has cleared the module or the type, and
 * somebody whose reference it does not see uses what is left of them. */
static inline core_state *core_state_of(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject *module = type->tp_mro != NULL ? PyType_GetModuleByDef(type, &core_module) : NULL;
    core_state *state = module != NULL ? (core_state *)PyModule_GetState(module) : NULL;
    return LW_LIKELY(state != NULL && !state->cleared) ? state : core_state_gone();
}

/* For binary slots, where either operand may be the one of our type. NULL as above. */
core_state *core_state_of_either(PyObject *left, PyObject *right);

/* Each adds its types to the module and the state. 0, or -1 with an exception. */
int core_add_dict(PyObject *module, core_state *state);
int core_add_views(PyObject *module, core_state *state);
int core_add_mutex(PyObject *module, core_state *state);
int core_add_rmutex(PyObject *module, core_state *state);
int core_add_condition(PyObject *module, core_state *state);
int core_add_event(PyObject *module, core_state *state);
int core_add_semaphores(PyObject *module, core_state *state);
int core_add_barrier(PyObject *module, core_state *state);
int core_add_latch(PyObject *module, core_state *state);
int core_add_once(PyObject *module, core_state *state);
int core_add_rwlock(PyObject *module, core_state *state);
int core_add_atomic_int(PyObject *module, core_state *state);
int core_add_critical(PyObject *module, core_state *state);

/* Makes a heap type of `module`. With `public_name` it becomes an attribute of the module; `base`
 * may be NULL. */
PyTypeObject *core_add_subtype(PyObject *module, PyType_Spec *spec, PyTypeObject *base,
                               const char *public_name);
PyTypeObject *core_add_type(PyObject *module, PyType_Spec *spec, const char *public_name);

/* The same for a type that nobody but the module needs. 0, or -1 with an exception. */
int core_add_public_type(PyObject *module, PyType_Spec *spec, const char *public_name);

/* What follows a tp_dealloc's own work: heap types own a reference to their type. */
static inline void core_free_object(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

/* tp_traverse of a type whose objects refer to their type alone. They take part in collection
 * because that refers to the module, and the module to whatever somebody leaves in its
 * namespace. */
static inline int core_traverse_type(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

/* tp_dealloc of a type that has weak references and owns nothing. */
void core_dealloc(PyObject *self);

/* The name of its type, for repr and messages: a new reference, or NULL with an exception. Types of
 * Python's may be renamed meanwhile: not tp_name. */
PyObject *core_type_name(PyObject *self);

/* A repr: "<NAME at ADDRESS: TEXT>", of that name and a format of PyUnicode_FromFormat. */
PyObject *core_repr(PyObject *self, const char *format, ...);

/* tp_new of a type whose objects begin as zero bytes, and that has no arguments. Those there are,
 * are for the __init__ of a subclass. */
PyObject *core_new(PyTypeObject *type, PyObject *args, PyObject *kwds);

/* The same for a type with an __init__. */
PyObject *core_new_unmade(PyTypeObject *type, PyObject *args, PyObject *kwds);

/* Whether it is of a subclass written in Python, which may override methods. */
static inline bool core_is_subclass(PyObject *self)
{
    return !PyType_HasFeature(Py_TYPE(self), Py_TPFLAGS_IMMUTABLETYPE);
}

/* For types that have subclasses and arguments: tp_init makes the object, whoever has it already,
 * and does so once. Zero is not made. */
typedef struct core_making {
    lw_atomic_u32 state;
} core_making;

enum { CORE_UNMADE, CORE_BEING_MADE, CORE_MADE };

/* false with RuntimeError: another call has begun. Nothing may fail between begin and end. */
bool core_begin_making(PyObject *self, core_making *making);
void core_end_making(core_making *making);

/* Sets the exception for it. NULL. */
PyObject *core_unmade(PyObject *self);

static inline bool core_is_made(const core_making *making)
{
    /* (1) acquire: pairs with the release (2) in module.c, for what __init__ wrote. */
    return LW_LIKELY(lw_atomic_load_acquire_u32(&making->state) == CORE_MADE);
}

#define CORE_METHOD(f) ((PyCFunction)(void (*)(void))(f))

/* A method of types without tp_new that cannot be pickled: protocols 0 and 1 would take their
 * objects for plain ones. */
PyObject *core_refuse_pickle(PyObject *self, PyObject *ignored);
#define CORE_NO_PICKLE                                                                             \
    {                                                                                              \
        "__reduce__", core_refuse_pickle, METH_NOARGS,                                             \
            PyDoc_STR("__reduce__($self, /)\n--\n\nRefuses.")                                      \
    }

/* ---- arguments of the locks ---- */

/* Sorts the arguments of a call into given[0] to given[count - 1], NULL for what is not given.
 * 0, or -1 with TypeError; `required`: how many of the first have to be there. */
int core_parse_arguments(const char *function, const char *const *known, int count, int required,
                         PyObject *const *args, Py_ssize_t nargs, PyObject *names,
                         PyObject **given);

/* A limit of more nanoseconds than there can be: as in threading, an error only where there is
 * something to wait for. acquire() of the locks calls it one at once, as threading.Lock's does. */
#define CORE_TOO_LONG INT64_MAX

/* A time limit as all but acquire() of the locks have it: None or NULL is none (-1), and what is
 * negative or NaN is 0. Nanoseconds, rounded up, or CORE_TOO_LONG. 0, or -1 with an exception. */
int core_parse_limit(PyObject *object, int64_t *timeout_ns);

/* The one argument, `timeout`, of a wait. */
int core_parse_wait(const char *function, PyObject *const *args, Py_ssize_t nargs, PyObject *names,
                    int64_t *timeout_ns);

/* The arguments of threading.Lock.acquire. */
int core_parse_acquire(PyObject *const *args, Py_ssize_t nargs, PyObject *names,
                       int64_t *timeout_ns);

/* The same for a method with another name. */
int core_parse_acquire_by(const char *function, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *names, int64_t *timeout_ns);

/* A number from `least` to `most`; without `too_large`, what is more is `most`. 0, or -1:
 * ValueError with `too_small`, OverflowError with `too_large`, or TypeError. */
int core_parse_u32(PyObject *object, uint32_t least, uint32_t most, const char *too_small,
                   const char *too_large, uint32_t *out);

/* Sets the exception for it. NULL. */
PyObject *core_too_long(void);

/* lw_py_wait_interruptible, for such a limit. CORE_TOO_LONG: LW_INVALID with OverflowError. */
lw_status core_wait(lw_py_wait_fn wait, void *arg, int64_t timeout_ns);

/* True for LW_OK, False for LW_TIMEOUT, else NULL: an exception is set. */
PyObject *core_waited(lw_status status);

/* ---- Mutex and RMutex, for Condition ---- */

typedef struct mutex_object {
    PyObject ob_base;
    lw_mutex_t mutex;
    PyObject *weakrefs;
} mutex_object;

typedef struct rmutex_object {
    PyObject ob_base;
    lw_rmutex_t mutex;
    PyObject *weakrefs;
} rmutex_object;

/* The methods; `args` of an exit and `ignored` are not looked at. */
PyObject *mutex_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names);
PyObject *mutex_release(PyObject *self, PyObject *ignored);
PyObject *mutex_at_fork_reinit(PyObject *self, PyObject *ignored);
PyObject *rmutex_acquire(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *names);
PyObject *rmutex_release(PyObject *self, PyObject *ignored);
PyObject *rmutex_release_save(PyObject *self, PyObject *ignored);
PyObject *rmutex_acquire_restore(PyObject *self, PyObject *saved);
PyObject *rmutex_at_fork_reinit(PyObject *self, PyObject *ignored);

/* ---- ConcurrentDict, for its views ---- */

typedef struct dict_object {
    PyObject ob_base;
    lw_map_t *map;
    lw_atomic_u64 popitem_position; /* where popitem found its last entry: a hint */
    PyObject *weakrefs;
} dict_object;

/* 1 and a new reference in *value (may be NULL), 0 if the key is not there, -1 with an
 * exception. Foreign code may run. */
int dict_lookup(dict_object *self, PyObject *key, PyObject **value);

/* A walk over a dictionary: yields each entry that is there throughout exactly once.
 * Zero-initialise, set `dict` (borrowed), call walker_clear at the end. Not for use by two
 * threads at a time. */
enum { WALKER_INLINE = 8 };

typedef struct walker_slot {
    PyObject *key;
    PyObject *value;
    uint64_t hash; /* of the key, when it was put in */
} walker_slot;

typedef struct walker {
    dict_object *dict;
    lw_map_cursor cursor;
    bool ended;         /* the cursor is at its end */
    size_t position;    /* next slot to yield */
    size_t filled;      /* slots that were filled; those before `position` are given away */
    size_t capacity;    /* 0: `inline_slots` */
    walker_slot *slots; /* PyMem_Raw memory, for more than fit inside */
    walker_slot inline_slots[WALKER_INLINE];
} walker;

/* 1 and new references, 0 at the end, -1 with MemoryError. Runs no foreign code. */
int walker_next(walker *w, PyObject **key, PyObject **value);
void walker_clear(walker *w);

/* What an iterator yields. */
typedef enum view_kind { VIEW_KEYS, VIEW_VALUES, VIEW_ITEMS } view_kind;

PyObject *dict_new_iterator(dict_object *self, view_kind kind);
PyObject *dict_new_view(dict_object *self, view_kind kind);

#endif /* LATCHWORK_PYEXT_CORE_H */
