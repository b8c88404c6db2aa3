#include <latchwork/cpython.h>

typedef struct { /* begins as zero bytes, and those are an unlocked mutex */
    lw_mutex_t lock;
    uint64_t words, bytes; /* change together, under the lock */
    lw_map_t *counts;      /* word -> how often it was seen */
} state_t;

/* count(word) -> how often it was seen, and the mean length of all words so far */
static PyObject *count(PyObject *module, PyObject *word)
{
    state_t *s = PyModule_GetState(module);
    Py_ssize_t size;
    uint64_t seen;
    const char *text = PyUnicode_AsUTF8AndSize(word, &size);
    if (text == NULL || lw_py_set_error(lw_map_add_bytes(s->counts, text, size, 1, &seen)) < 0)
        return NULL;
    lw_mutex_lock(&s->lock); /* a thread that has to wait here detaches from Python */
    double mean = (double)(s->bytes += size) / ++s->words;
    lw_mutex_unlock(&s->lock);
    return Py_BuildValue("Kd", seen, mean);
}

static int init(PyObject *module)
{
    state_t *s = PyModule_GetState(module);
    if (lw_py_init(module) < 0)
        return -1;
    s->counts = lw_map_new(&(lw_map_config){.keys = LW_KEY_BYTES});
    return s->counts == NULL ? lw_py_set_error(LW_NOMEM) : 0;
}

static void destroy(void *module)
{
    lw_map_free(((state_t *)PyModule_GetState(module))->counts);
}

static PyMethodDef methods[] = {{"count", count, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, init},
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};
static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "counter", .m_size = sizeof(state_t),
    .m_methods = methods,  .m_slots = slots,    .m_free = destroy,
};

PyMODINIT_FUNC PyInit_counter(void)
{
    return PyModuleDef_Init(&definition);
}
