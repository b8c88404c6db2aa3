/* SPDX-License-Identifier: BSD-2-Clause */
/* An extension module that carries latchwork. It is built several times, under the name
 * VENDORED_NAME. */
#include <latchwork/cpython.h>

#define VENDORED_STRING_(name) #name
#define VENDORED_STRING(name) VENDORED_STRING_(name)
#define VENDORED_INIT_(name) PyInit_##name
#define VENDORED_INIT(name) VENDORED_INIT_(name)

/* Mutexes and maps pass between modules as addresses. */
static void *pointer_of(PyObject *number)
{
    return PyLong_AsVoidPtr(number);
}

static PyObject *vendored_domain(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromVoidPtr(lw_domain_get());
}

static PyObject *vendored_code(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromVoidPtr((void *)(uintptr_t)lw_domain_get);
}

static PyObject *vendored_records(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    (void)lw_thread_self();
    return PyLong_FromSize_t(lw_thread_record_count());
}

static PyObject *vendored_self(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    return PyLong_FromVoidPtr(lw_thread_self());
}

static PyObject *vendored_mutex_new(PyObject *module, PyObject *unused)
{
    lw_mutex_t *mutex = (lw_mutex_t *)lw_alloc(sizeof *mutex);
    (void)module;
    (void)unused;
    return mutex == NULL ? PyErr_NoMemory() : PyLong_FromVoidPtr(mutex);
}

static PyObject *vendored_mutex_lock(PyObject *module, PyObject *mutex)
{
    lw_mutex_t *m = (lw_mutex_t *)pointer_of(mutex);
    (void)module;
    if (m == NULL) {
        return NULL;
    }
    lw_mutex_lock(m);
    Py_RETURN_NONE;
}

static PyObject *vendored_mutex_unlock(PyObject *module, PyObject *mutex)
{
    lw_mutex_t *m = (lw_mutex_t *)pointer_of(mutex);
    (void)module;
    if (m == NULL) {
        return NULL;
    }
    lw_mutex_unlock(m);
    Py_RETURN_NONE;
}

static PyObject *vendored_mutex_free(PyObject *module, PyObject *mutex)
{
    (void)module;
    lw_free(pointer_of(mutex));
    Py_RETURN_NONE;
}

typedef struct vendored_count {
    const void *address;
    size_t count;
} vendored_count;

static void vendored_visit(void *arg, const void *address, int64_t waited_ns)
{
    vendored_count *count = (vendored_count *)arg;
    (void)waited_ns;
    count->count += address == count->address;
}

static PyObject *vendored_waiters(PyObject *module, PyObject *address)
{
    vendored_count count;
    (void)module;
    count.address = pointer_of(address);
    count.count = 0;
    lw_park_report(vendored_visit, &count);
    return PyLong_FromSize_t(count.count);
}

static PyObject *vendored_map_new(PyObject *module, PyObject *unused)
{
    lw_map_config config = lw_py_map_config(LW_KEY_U64);
    lw_map_t *map = lw_map_new(&config);
    (void)module;
    (void)unused;
    return map == NULL ? PyErr_NoMemory() : PyLong_FromVoidPtr(map);
}

static PyObject *vendored_map_free(PyObject *module, PyObject *map)
{
    (void)module;
    lw_map_free((lw_map_t *)pointer_of(map));
    Py_RETURN_NONE;
}

static PyObject *vendored_map_put(PyObject *module, PyObject *args)
{
    PyObject *map, *value;
    unsigned long long key;
    lw_status status;
    (void)module;
    if (!PyArg_ParseTuple(args, "OKO", &map, &key, &value)) {
        return NULL;
    }
    status = lw_map_put((lw_map_t *)pointer_of(map), key, lw_value_ptr(Py_NewRef(value)));
    if (status != LW_OK && status != LW_EXISTS) {
        Py_DECREF(value);
        lw_py_set_error(status);
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *vendored_map_get(PyObject *module, PyObject *args)
{
    PyObject *map;
    unsigned long long key;
    uint64_t value;
    (void)module;
    if (!PyArg_ParseTuple(args, "OK", &map, &key)) {
        return NULL;
    }
    if (!lw_map_get((lw_map_t *)pointer_of(map), key, &value)) {
        Py_RETURN_NONE;
    }
    return (PyObject *)lw_ptr_value(value);
}

static PyObject *vendored_map_remove(PyObject *module, PyObject *args)
{
    PyObject *map;
    unsigned long long key;
    (void)module;
    if (!PyArg_ParseTuple(args, "OK", &map, &key)) {
        return NULL;
    }
    return PyBool_FromLong(lw_map_remove((lw_map_t *)pointer_of(map), key, NULL));
}

static PyObject *vendored_flush(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    if (lw_py_set_error(lw_smr_flush()) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef vendored_methods[] = {
    {"domain", vendored_domain, METH_NOARGS, NULL},
    {"code", vendored_code, METH_NOARGS, NULL},
    {"records", vendored_records, METH_NOARGS, NULL},
    {"self", vendored_self, METH_NOARGS, NULL},
    {"mutex_new", vendored_mutex_new, METH_NOARGS, NULL},
    {"mutex_lock", vendored_mutex_lock, METH_O, NULL},
    {"mutex_unlock", vendored_mutex_unlock, METH_O, NULL},
    {"mutex_free", vendored_mutex_free, METH_O, NULL},
    {"waiters", vendored_waiters, METH_O, NULL},
    {"map_new", vendored_map_new, METH_NOARGS, NULL},
    {"map_free", vendored_map_free, METH_O, NULL},
    {"map_put", vendored_map_put, METH_VARARGS, NULL},
    {"map_get", vendored_map_get, METH_VARARGS, NULL},
    {"map_remove", vendored_map_remove, METH_VARARGS, NULL},
    {"flush", vendored_flush, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int vendored_exec(PyObject *module)
{
    return lw_py_init(module);
}

static PyModuleDef_Slot vendored_slots[] = {
    {Py_mod_exec, (void *)vendored_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030d0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef vendored_module = {
    PyModuleDef_HEAD_INIT,
    VENDORED_STRING(VENDORED_NAME),
    NULL,
    0,
    vendored_methods,
    vendored_slots,
    NULL,
    NULL,
    NULL,
};

PyMODINIT_FUNC VENDORED_INIT(VENDORED_NAME)(void)
{
    return PyModuleDef_Init(&vendored_module);
}
