/* SPDX-License-Identifier: BSD-2-Clause */
/* Sections of both kinds, as an extension writes them: built and run by test_sections.py. */
#include <latchwork/cpython.h>

#include <sched.h>
#include <time.h>

#if PY_VERSION_HEX >= 0x030d0000
typedef PyMutex py_mutex;
#else
typedef char py_mutex; /* sections on it are nothing */
#endif

typedef struct cell {
    PyObject ob_base;
    lw_mutex_t mutex;
    py_mutex other;
    /* Under a section on the object, and under one on the mutex. */
    int inside[2];
    long values[2];
} cell;

static PyObject *wrong(const char *what)
{
    PyErr_SetString(PyExc_AssertionError, what);
    return NULL;
}

/* False: somebody else is inside. */
static bool turn(cell *c, int kind)
{
    bool alone = c->inside[kind] == 0;
    c->inside[kind] = 1;
    c->values[kind]++;
    c->inside[kind] = 0;
    return alone;
}

/* Counts up; every third time it returns from inside of the section. */
static bool count_one(cell *c, long i)
{
    LW_PY_CRITICAL_BEGIN(c)
    {
        if (!turn(c, 0)) {
            return false;
        }
        if (i % 3 == 0) {
            return true;
        }
    }
    LW_PY_CRITICAL_END();
    return true;
}

static PyObject *count(PyObject *module, PyObject *args)
{
    cell *c;
    long n, i;
    (void)module;
    if (!PyArg_ParseTuple(args, "Ol", &c, &n)) {
        return NULL;
    }
    for (i = 0; i < n; i++) {
        if (!count_one(c, i)) {
            return wrong("two were inside of a section on one object");
        }
    }
    Py_RETURN_NONE;
}

/* Sections on the mutexes of two objects, and on that of one, count the same. */
static PyObject *count_by_mutex(PyObject *module, PyObject *args)
{
    static py_mutex own;
    cell *a, *b;
    long n, i;
    bool fine = true;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOl", &a, &b, &n)) {
        return NULL;
    }
    for (i = 0; i < n; i++) {
        LW_PY_CRITICAL_BEGIN_MUTEX2(&a->other, &b->other)
        {
            fine &= turn(a, 0) && turn(b, 0);
        }
        LW_PY_CRITICAL_END();
        LW_PY_CRITICAL_BEGIN_MUTEX(&own)
        LW_PY_CRITICAL_END();
        LW_PY_CRITICAL_BEGIN_MUTEX(&a->other)
        {
            fine &= turn(a, 0);
        }
        LW_PY_CRITICAL_END();
    }
    return fine ? Py_NewRef(Py_None) : wrong("two were inside of a section on one mutex");
}

/* Leaves the block before there is a section: while its arguments are found. */
static PyObject *left_early(PyObject *module, PyObject *object)
{
    PyObject *one[1];
    (void)module;
    LW_PY_CRITICAL_BEGIN(({
        if (object == Py_True) {
            Py_RETURN_TRUE;
        }
        object;
    }))
    LW_PY_CRITICAL_BEGIN2(object, ({
                              if (object == Py_False) {
                                  Py_RETURN_FALSE;
                              }
                              object;
                          }))
    one[0] = module;
    LW_PY_CRITICAL_BEGIN_N(one, ({
                               if (object == Py_None) {
                                   Py_RETURN_NONE;
                               }
                               1;
                           }))
    LW_PY_CRITICAL_END();
    LW_PY_CRITICAL_END();
    LW_PY_CRITICAL_END();
    return Py_NewRef(object);
}

static PyObject *transfer(PyObject *module, PyObject *args)
{
    cell *a, *b;
    long n, i;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOl", &a, &b, &n)) {
        return NULL;
    }
    for (i = 0; i < n; i++) {
        LW_PY_CRITICAL_BEGIN2(a, b)
        {
            a->values[0]--;
            b->values[0]++;
        }
        LW_PY_CRITICAL_END();
    }
    Py_RETURN_NONE;
}

static void rotate_once(PyObject *list, PyObject **ring, Py_ssize_t size)
{
    Py_ssize_t at;
    LW_PY_CRITICAL_BEGIN_N(ring, (size_t)size)
    {
        for (at = 0; at < size; at++) {
            ((cell *)PyTuple_GET_ITEM(list, at))->values[0]--;
            ((cell *)PyTuple_GET_ITEM(list, (at + 1) % size))->values[0]++;
        }
    }
    LW_PY_CRITICAL_END();
}

/* Moves values around a ring of any number of cells, some of which may be the same; now and then
 * inside of a section on one that is among them, or is not. */
static PyObject *rotate(PyObject *module, PyObject *args)
{
    enum { MOST = 8 };
    PyObject *list, *ring[MOST], *around;
    Py_ssize_t size, at;
    long n, i;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!Ol", &PyTuple_Type, &list, &around, &n)) {
        return NULL;
    }
    size = PyTuple_GET_SIZE(list);
    if (size > MOST) {
        return wrong("too many");
    }
    for (i = 0; i < n; i++) {
        for (at = 0; at < size; at++) {
            ring[at] = PyTuple_GET_ITEM(list, at);
        }
        if (i % 64 == 0) {
            LW_PY_CRITICAL_BEGIN(around)
            {
                ((cell *)around)->values[1]++;
                rotate_once(list, ring, size);
                ((cell *)around)->values[1]--;
            }
            LW_PY_CRITICAL_END();
        } else {
            rotate_once(list, ring, size);
        }
    }
    Py_RETURN_NONE;
}

/* Sections on objects and on mutexes, one inside of the other, in an order that each thread has for
 * itself: whoever waits inside must keep nobody from going on. */
static PyObject *nest(PyObject *module, PyObject *args)
{
    cell *a, *b;
    long n, i;
    bool fine = true;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOl", &a, &b, &n)) {
        return NULL;
    }
    for (i = 0; i < n; i++) {
        LW_CRITICAL_BEGIN(&a->mutex)
        {
            fine &= turn(a, 1);
            LW_PY_CRITICAL_BEGIN(b)
            {
                fine &= turn(b, 0);
                LW_CRITICAL_BEGIN(&b->mutex)
                {
                    fine &= turn(b, 1);
                    LW_PY_CRITICAL_BEGIN(a)
                    {
                        fine &= turn(a, 0);
                    }
                    LW_PY_CRITICAL_END();
                    fine &= lw_critical_holds(&b->mutex);
                }
                LW_CRITICAL_END();
            }
            LW_PY_CRITICAL_END();
            fine &= lw_critical_holds(&a->mutex);
            if (i % 64 == 0) {
                void *token = lw_block_begin(); /* others get on, without the GIL too */
                fine &= !lw_critical_holds(&a->mutex);
                lw_block_end(token);
                fine &= lw_critical_holds(&a->mutex);
            }
        }
        LW_CRITICAL_END();
    }
    return fine ? Py_NewRef(Py_None) : wrong("a section was not what it should be");
}

/* Of one object, or of two: inside of a section on them, and of nothing else, sections on them
 * suspend nothing. Says so, and how often an inner section let somebody in. */
static PyObject *again(PyObject *module, PyObject *args)
{
    cell *a, *b;
    long n, i, let_in = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOl", &a, &b, &n)) {
        return NULL;
    }
    for (i = 0; i < n; i++) {
        LW_PY_CRITICAL_BEGIN2(a, b)
        {
            long before = a->values[0];
            LW_PY_CRITICAL_BEGIN(b)
            {
                b->values[1]++;
            }
            LW_PY_CRITICAL_END();
            LW_PY_CRITICAL_BEGIN2(b, a)
            {
                LW_PY_CRITICAL_BEGIN(a)
                {
                    a->values[1]++;
                }
                LW_PY_CRITICAL_END();
            }
            LW_PY_CRITICAL_END();
            let_in += a->values[0] != before;
        }
        LW_PY_CRITICAL_END();
    }
    return PyLong_FromLong(let_in);
}

static lw_atomic_u32 called, coming;

/* Attached: nobody suspends. */
static void stay(void)
{
    clock_t begin = clock();
    while (clock() - begin < CLOCKS_PER_SEC / 20) {
        sched_yield();
    }
}

/* In a section on `a`, and then inside of it in one on `b`, for which another thread has come in
 * between. If they are the same, that has to wait until both are over; else it is in its section,
 * which is waited for. Whether that was so. */
static PyObject *stand(PyObject *module, PyObject *args)
{
    cell *a, *b;
    unsigned number;
    bool fine = false;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOI", &a, &b, &number)) {
        return NULL;
    }
    LW_PY_CRITICAL_BEGIN(a)
    {
        long before = b->values[0];
        lw_atomic_store_release_u32(&called, number);
        while (lw_atomic_load_relaxed_u32(&coming) != number) {
            sched_yield();
        }
        if (a == b) {
            stay();
        }
        LW_PY_CRITICAL_BEGIN(b)
        {
            fine = b->values[0] == before + (a != b);
        }
        LW_PY_CRITICAL_END();
    }
    LW_PY_CRITICAL_END();
    return PyBool_FromLong(fine);
}

static PyObject *come(PyObject *module, PyObject *args)
{
    cell *a, *b;
    unsigned number;
    (void)module;
    if (!PyArg_ParseTuple(args, "OOI", &a, &b, &number)) {
        return NULL;
    }
    while (lw_atomic_load_acquire_u32(&called) != number) {
        sched_yield();
    }
    if (a == b) {
        lw_atomic_store_relaxed_u32(&coming, number);
    }
    LW_PY_CRITICAL_BEGIN(b)
    {
        if (a != b) {
            lw_atomic_store_relaxed_u32(&coming, number);
            stay();
        }
        b->values[0]++;
    }
    LW_PY_CRITICAL_END();
    Py_RETURN_NONE;
}

static PyObject *values(PyObject *module, PyObject *object)
{
    (void)module;
    return Py_BuildValue("ll", ((cell *)object)->values[0], ((cell *)object)->values[1]);
}

static void cell_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot cell_slots[] = {{Py_tp_dealloc, (void *)cell_dealloc}, {0, NULL}};
static PyType_Spec cell_spec = {"sections.Cell", sizeof(cell), 0, Py_TPFLAGS_DEFAULT, cell_slots};

static int exec_module(PyObject *module)
{
    PyObject *type;
    int failed;
    if (lw_py_init(module) < 0) {
        return -1;
    }
    type = PyType_FromModuleAndSpec(module, &cell_spec, NULL);
    failed = type == NULL ? -1 : PyModule_AddType(module, (PyTypeObject *)type);
    Py_XDECREF(type);
    return failed;
}

static PyMethodDef methods[] = {{"count", count, METH_VARARGS, NULL},
                                {"transfer", transfer, METH_VARARGS, NULL},
                                {"rotate", rotate, METH_VARARGS, NULL},
                                {"nest", nest, METH_VARARGS, NULL},
                                {"again", again, METH_VARARGS, NULL},
                                {"stand", stand, METH_VARARGS, NULL},
                                {"come", come, METH_VARARGS, NULL},
                                {"count_by_mutex", count_by_mutex, METH_VARARGS, NULL},
                                {"left_early", left_early, METH_O, NULL},
                                {"values", values, METH_O, NULL},
                                {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{Py_mod_exec, (void *)exec_module},
#if PY_VERSION_HEX >= 0x030d0000
                                   {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
                                   {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "sections", NULL, 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_sections(void)
{
    return PyModuleDef_Init(&definition);
}
