/* SPDX-License-Identifier: BSD-2-Clause */
/* latchwork._core: multi-phase initialisation, one state per interpreter. */
#include "core.h"

#include <stdarg.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

core_state *core_state_gone(void)
{
    PyErr_SetString(PyExc_RuntimeError, "latchwork has been taken apart by the garbage collector");
    return NULL;
}

core_state *core_state_of_either(PyObject *left, PyObject *right)
{
    core_state *state = core_state_of(left);
    if (state == NULL) {
        PyErr_Clear();
        state = core_state_of(right);
    }
    return state;
}

PyTypeObject *core_add_subtype(PyObject *module, PyType_Spec *spec, PyTypeObject *base,
                               const char *public_name)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, (PyObject *)base);
    if (type != NULL && public_name != NULL &&
        PyModule_AddObjectRef(module, public_name, type) < 0) {
        Py_CLEAR(type);
    }
    return (PyTypeObject *)type;
}

PyTypeObject *core_add_type(PyObject *module, PyType_Spec *spec, const char *public_name)
{
    return core_add_subtype(module, spec, NULL, public_name);
}

int core_add_public_type(PyObject *module, PyType_Spec *spec, const char *public_name)
{
    PyTypeObject *type = core_add_type(module, spec, public_name);
    Py_XDECREF(type);
    return type != NULL ? 0 : -1;
}

void core_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    PyObject_ClearWeakRefs(self);
    core_free_object(self);
}

PyObject *core_new(PyTypeObject *type, PyObject *args, PyObject *kwds)
{
    bool given = PyTuple_GET_SIZE(args) != 0 || (kwds != NULL && PyDict_GET_SIZE(kwds) != 0);
    if (given && type->tp_init == PyBaseObject_Type.tp_init) {
        return PyErr_Format(PyExc_TypeError, "%s() takes no arguments", type->tp_name);
    }
    return core_new_unmade(type, args, kwds);
}

PyObject *core_new_unmade(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwds))
{
    if (PyType_HasFeature(type, Py_TPFLAGS_IS_ABSTRACT)) {
        return PyErr_Format(PyExc_TypeError,
                            "Can't instantiate abstract class %s without an implementation for "
                            "its abstract methods",
                            type->tp_name);
    }
    return type->tp_alloc(type, 0);
}

PyObject *core_type_name(PyObject *self)
{
    PyObject *type = (PyObject *)Py_TYPE(self);
    if (!core_is_subclass(self)) {
        return PyUnicode_FromString(Py_TYPE(self)->tp_name);
    }
    PyObject *module = PyObject_GetAttrString(type, "__module__");
    PyObject *name = module != NULL ? PyObject_GetAttrString(type, "__qualname__") : NULL;
    PyObject *both = name != NULL ? PyUnicode_FromFormat("%S.%S", module, name) : NULL;
    Py_XDECREF(module);
    Py_XDECREF(name);
    return both;
}

PyObject *core_repr(PyObject *self, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    PyObject *text = PyUnicode_FromFormatV(format, values);
    va_end(values);
    PyObject *name = text != NULL ? core_type_name(self) : NULL;
    PyObject *whole =
        name != NULL ? PyUnicode_FromFormat("<%U at %p: %U>", name, self, text) : NULL;
    Py_XDECREF(name);
    Py_XDECREF(text);
    return whole;
}

/* RuntimeError. NULL. */
static PyObject *of_its_init(PyObject *self, const char *what)
{
    PyObject *name = core_type_name(self);
    if (name != NULL) {
        PyErr_Format(PyExc_RuntimeError, "%U.__init__() %s", name, what);
        Py_DECREF(name);
    }
    return NULL;
}

bool core_begin_making(PyObject *self, core_making *making)
{
    uint32_t unmade = CORE_UNMADE;
    if (lw_atomic_cas_relaxed_u32(&making->state, &unmade, CORE_BEING_MADE)) {
        return true;
    }
    (void)of_its_init(self, "called twice");
    return false;
}

void core_end_making(core_making *making)
{
    /* (2) release: pairs with (1) in core.h. */
    lw_atomic_store_release_u32(&making->state, CORE_MADE);
}

PyObject *core_unmade(PyObject *self)
{
    return of_its_init(self, "not called");
}

PyObject *core_refuse_pickle(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    PyErr_Format(PyExc_TypeError, "cannot pickle '%.200s' object", Py_TYPE(self)->tp_name);
    return NULL;
}

/* ---- MISSING ---- */

static PyObject *missing_repr(PyObject *Py_UNUSED(self))
{
    return PyUnicode_FromString("latchwork.MISSING");
}

static PyObject *missing_reduce(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    return PyUnicode_FromString("MISSING");
}

static void missing_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    core_free_object(self);
}

static PyMethodDef missing_methods[] = {
    {"__reduce__", missing_reduce, METH_NOARGS,
     PyDoc_STR("__reduce__($self, /)\n--\n\nFor pickle and copy: by name.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot missing_slots[] = {
    {Py_tp_doc, (void *)PyDoc_STR(
                    "The type of MISSING, which stands for no value in ConcurrentDict.compute.")},
    {Py_tp_repr, (void *)missing_repr},
    {Py_tp_dealloc, (void *)missing_dealloc},
    {Py_tp_traverse, (void *)core_traverse_type},
    {Py_tp_methods, missing_methods},
    {0, NULL},
};

static PyType_Spec missing_spec = {
    "latchwork.MissingType",
    sizeof(PyObject),
    0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
        Py_TPFLAGS_DISALLOW_INSTANTIATION,
    missing_slots,
};

static int add_missing(PyObject *module, core_state *state)
{
    state->missing_type = core_add_type(module, &missing_spec, "MissingType");
    if (state->missing_type == NULL) {
        return -1;
    }
    state->missing = state->missing_type->tp_alloc(state->missing_type, 0);
    if (state->missing == NULL) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "MISSING", state->missing);
}

/* ---- Functions ---- */

static PyObject *core_flush(PyObject *Py_UNUSED(module), PyObject *args, PyObject *names)
{
    static char *keywords[] = {"trim", NULL};
    int trim = 0;
    if (!PyArg_ParseTupleAndKeywords(args, names, "|$p:flush", keywords, &trim)) {
        return NULL;
    }
    /* LW_BUSY: called by a finalizer that a flush runs; that flush goes on. */
    bool done = lw_smr_flush() == LW_OK;
#if defined(__GLIBC__)
    if (trim) {
        Py_BEGIN_ALLOW_THREADS;
        (void)malloc_trim(0); /* it walks through all that is free */
        Py_END_ALLOW_THREADS;
    }
#endif
    return PyBool_FromLong(done);
}

static PyObject *core_stats(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    lw_smr_stats stats = lw_smr_get_stats();
    return Py_BuildValue("{snsnsnsnsK}", "threads", (Py_ssize_t)lw_thread_count(), "thread_records",
                         (Py_ssize_t)lw_thread_record_count(), "retired", (Py_ssize_t)stats.pending,
                         "retired_bytes", (Py_ssize_t)stats.pending_bytes, "epoch",
                         (unsigned long long)stats.epoch);
}

static PyMethodDef core_functions[] = {
    {"flush", CORE_METHOD(core_flush), METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("flush($module, /, *, trim=False)\n--\n\n"
               "Wait until what this thread has removed from containers is released.\n\n"
               "On a free-threaded interpreter a removed key or value is released a little later,\n"
               "when no thread can be reading it any more. Returns False, and does not wait, when\n"
               "called by a finalizer that runs because of a release.\n\n"
               "trim: also give the system back what the C library keeps of freed memory (glibc\n"
               "does, where much was freed in small pieces). That may take some milliseconds.")},
    {"stats", core_stats, METH_NOARGS,
     PyDoc_STR("stats($module, /)\n--\n\n"
               "Figures of this process: threads, thread_records, retired objects and their bytes\n"
               "that wait for their release, and the epoch of reclamation.")},
    {NULL, NULL, 0, NULL},
};

/* ---- The module ---- */

static PyObject *import_from(const char *module_name, const char *name)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *value = module != NULL ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    return value;
}

static int core_exec(PyObject *module)
{
    core_state *state = (core_state *)PyModule_GetState(module);
    if (lw_py_init(module) < 0) {
        return -1;
    }
    state->missing_method = PyUnicode_InternFromString("__missing__");
    if (state->missing_method == NULL) {
        return -1;
    }
    state->newobj = import_from("copyreg", "__newobj__");
    state->broken_barrier = import_from("threading", "BrokenBarrierError");
    if (state->newobj == NULL || state->broken_barrier == NULL) {
        return -1;
    }
    static int (*const parts[])(PyObject *, core_state *) = {
        add_missing,       core_add_dict,      core_add_views, core_add_mutex,
        core_add_rmutex,   core_add_condition, core_add_event, core_add_semaphores,
        core_add_barrier,  core_add_latch,     core_add_once,  core_add_atomic_int,
        core_add_critical, core_add_rwlock,
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i](module, state) < 0) {
            return -1;
        }
    }
    if (PyModule_AddStringConstant(module, "__version__", LW_VERSION_STRING) < 0) {
        return -1;
    }
    return PyModule_AddIntConstant(module, "ABI_VERSION", LW_ABI_VERSION);
}

static int core_traverse(PyObject *module, visitproc visit, void *arg)
{
    core_state *state = (core_state *)PyModule_GetState(module);
    Py_VISIT(state->dict_type);
    Py_VISIT(state->iterator_type);
    Py_VISIT(state->keys_type);
    Py_VISIT(state->values_type);
    Py_VISIT(state->items_type);
    Py_VISIT(state->mutex_type);
    Py_VISIT(state->rmutex_type);
    Py_VISIT(state->rwlock_reader_type);
    Py_VISIT(state->rwlock_writer_type);
    Py_VISIT(state->atomic_int_type);
    Py_VISIT(state->section_type);
    Py_VISIT(state->missing_type);
    Py_VISIT(state->missing);
    Py_VISIT(state->newobj);
    Py_VISIT(state->broken_barrier);
    return 0;
}

static int core_clear(PyObject *module)
{
    core_state *state = (core_state *)PyModule_GetState(module);
    state->cleared = true;
    Py_CLEAR(state->dict_type);
    Py_CLEAR(state->iterator_type);
    Py_CLEAR(state->keys_type);
    Py_CLEAR(state->values_type);
    Py_CLEAR(state->items_type);
    Py_CLEAR(state->mutex_type);
    Py_CLEAR(state->rmutex_type);
    Py_CLEAR(state->rwlock_reader_type);
    Py_CLEAR(state->rwlock_writer_type);
    Py_CLEAR(state->atomic_int_type);
    Py_CLEAR(state->section_type);
    Py_CLEAR(state->missing_type);
    Py_CLEAR(state->missing);
    Py_CLEAR(state->newobj);
    Py_CLEAR(state->broken_barrier);
    Py_CLEAR(state->missing_method);
    return 0;
}

static void core_free(void *module)
{
    (void)core_clear((PyObject *)module);
}

static PyModuleDef_Slot core_module_slots[] = {
    {Py_mod_exec, (void *)core_exec},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

PyModuleDef core_module = {
    .m_base = PyModuleDef_HEAD_INIT,
    .m_name = "latchwork._core",
    .m_doc = PyDoc_STR("The compiled half of latchwork."),
    .m_size = sizeof(core_state),
    .m_methods = core_functions,
    .m_slots = core_module_slots,
    .m_traverse = core_traverse,
    .m_clear = core_clear,
    .m_free = core_free,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&core_module);
}
