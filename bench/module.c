/* SPDX-License-Identifier: BSD-2-Clause */
/* The extension module that carries the rows: what is measured lies in a shared object that the
 * interpreter has loaded, as it will in its users' hands. */
#include "rows.h"

#include <latchwork/cpython.h>

void *bench_python_begin(void)
{
    PyGILState_STATE before = PyGILState_Ensure();
    BENCH_CHECK(before == PyGILState_UNLOCKED);
    return PyEval_SaveThread();
}

void bench_python_end(void *state)
{
    PyEval_RestoreThread((PyThreadState *)state);
    PyGILState_Release(PyGILState_UNLOCKED);
}

void bench_python_attach(void *state)
{
    PyEval_RestoreThread((PyThreadState *)state);
}

void bench_python_detach(void *state)
{
    (void)state;
    PyEval_SaveThread();
}

bool bench_python_parallel(void)
{
#ifdef Py_GIL_DISABLED
    return true;
#else
    return false;
#endif
}

/* run(["--benchmark_filter=...", ...]) -> how many rows ran */
static PyObject *run(PyObject *module, PyObject *args)
{
    PyObject *list, *fast;
    char **argv;
    Py_ssize_t argc, i;
    int ran;
    (void)module;
    if (!PyArg_ParseTuple(args, "O", &list))
        return NULL;
    fast = PySequence_Fast(list, "run: a list of options is expected");
    if (!fast)
        return NULL;
    argc = PySequence_Fast_GET_SIZE(fast) + 1;
    argv = PyMem_Calloc((size_t)argc + 1, sizeof *argv);
    if (!argv) {
        Py_DECREF(fast);
        return PyErr_NoMemory();
    }
    argv[0] = "bench";
    for (i = 1; i < argc; i++) {
        argv[i] = (char *)PyUnicode_AsUTF8(PySequence_Fast_GET_ITEM(fast, i - 1));
        if (!argv[i]) {
            PyMem_Free(argv);
            Py_DECREF(fast);
            return NULL;
        }
    }
    Py_BEGIN_ALLOW_THREADS ran = gb_run((int)argc, argv);
    Py_END_ALLOW_THREADS PyMem_Free(argv);
    Py_DECREF(fast);
    if (ran < 0)
        return PyErr_Format(PyExc_ValueError, "run: an unknown option");
    return PyLong_FromLong(ran);
}

static PyMethodDef methods[] = {
    {"run", run, METH_VARARGS, "Runs the rows with Google Benchmark's options; returns how many."},
    {NULL, NULL, 0, NULL},
};

static int exec_module(PyObject *module)
{
    static bool registered;
    if (registered) {
        PyErr_SetString(PyExc_ImportError, "the rows can be registered once a process");
        return -1;
    }
    registered = true;
    if (lw_py_init(module) != 0)
        return -1;
    bench_register_all();
    return 0;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, exec_module},
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    "latchwork_bench",
    "The rows of bench/.",
    0,
    methods,
    slots,
    NULL,
    NULL,
    NULL,
};

PyMODINIT_FUNC PyInit_latchwork_bench(void)
{
    return PyModuleDef_Init(&definition);
}
