/* SPDX-License-Identifier: BSD-2-Clause */
/* wordindex: counts identifiers. A worked example of latchwork/cpython.h: native entries, counted
 * by a biased reference count, in a concurrent map that many threads fill while they are detached
 * from Python.
 *
 *   index = wordindex.Index()
 *   index.add([b"to be", b"or not to be"])     # from as many threads as you like
 *   index.counts() -> {b"to": 2, b"be": 2, b"or": 1, b"not": 1}
 *
 * An identifier is a run of letters, digits and underscores that does not begin with a digit; every
 * byte from 128 on is a letter, as in CPython's own tokenizer. As a regular expression over bytes,
 * the group of each match, where it has one:
 *
 *   [0-9][0-9A-Za-z_\x80-\xff]*|([A-Za-z_\x80-\xff][0-9A-Za-z_\x80-\xff]*)
 */
#include <latchwork/cpython.h>

#include <string.h>

/* ---- Entries: plain C, no Python object among them. ---- */

typedef struct entry {
    lw_ref_t ref; /* the map holds one reference, each worker's slot that names the entry another */
    lw_atomic_u64 count;
    size_t size;
    unsigned char word[];
} entry_t;

static void entry_destroy(lw_ref_t *ref)
{
    lw_free((char *)ref - offsetof(entry_t, ref));
}

static void entry_drop(entry_t *entry)
{
    lw_ref_dec(&entry->ref, entry_destroy);
}

/* The map calls these two: one for each value that it returns, one when an entry has left it. */
static void map_ref(void *context, uint64_t value)
{
    (void)context;
    lw_ref_inc(&((entry_t *)lw_ptr_value(value))->ref);
}

static bool map_release(void *context, uint64_t key, uint64_t value, unsigned what)
{
    (void)context;
    (void)key;
    if (what & LW_MAP_VALUE) {
        entry_drop((entry_t *)lw_ptr_value(value));
    }
    return true;
}

/* A new reference to the word's entry, made if need be; NULL: no memory. */
static entry_t *find_or_add(lw_map_t *map, const unsigned char *word, size_t size)
{
    uint64_t value;
    if (lw_map_get_bytes(map, word, size, &value)) {
        return (entry_t *)lw_ptr_value(value);
    }
    entry_t *entry = (entry_t *)lw_alloc(sizeof *entry + size);
    if (entry == NULL) {
        return NULL;
    }
    lw_ref_init(&entry->ref);
    lw_ref_inc(&entry->ref); /* the first reference is the map's, this one the caller's */
    entry->size = size;
    memcpy(entry->word, word, size);
    lw_status status = lw_map_put_if_absent_bytes(map, word, size, lw_value_ptr(entry), &value);
    if (status == LW_OK) {
        return entry;
    }
    entry_drop(entry);
    entry_drop(entry);
    return status == LW_EXISTS ? (entry_t *)lw_ptr_value(value) : NULL;
}

/* ---- Scanning. Runs detached: no Python object is changed here, and no reference counted. ---- */

/* A worker remembers the entry that it met last in each of these slots, and counts there; so the
 * words that are everywhere do not make every thread write to the same few cache lines. */
enum { SLOTS = 4096 };

typedef struct slot {
    entry_t *entry;
    uint64_t pending;
} slot_t;

static void slot_flush(slot_t *slot)
{
    if (slot->entry != NULL) {
        (void)lw_atomic_add_relaxed_u64(&slot->entry->count, slot->pending);
        entry_drop(slot->entry);
        slot->entry = NULL;
    }
}

static bool count_word(lw_map_t *map, slot_t *slot, const unsigned char *word, size_t size)
{
    entry_t *entry = slot->entry;
    if (entry == NULL || entry->size != size || memcmp(entry->word, word, size) != 0) {
        slot_flush(slot);
        slot->entry = find_or_add(map, word, size);
        slot->pending = 0;
        if (slot->entry == NULL) {
            return false;
        }
    }
    slot->pending++;
    return true;
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool is_word(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || c >= 128;
}

static bool scan(lw_map_t *map, slot_t *slots, const unsigned char *at, size_t size)
{
    const unsigned char *end = at + size;
    while (at < end) {
        if (!is_word(*at)) {
            at++;
            continue;
        }
        const unsigned char *start = at;
        uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
        do {
            hash = (hash ^ *at++) * UINT64_C(0x100000001b3);
        } while (at < end && is_word(*at));
        if (!is_digit(*start) &&
            !count_word(map, &slots[(hash >> 32) % SLOTS], start, (size_t)(at - start))) {
            return false;
        }
    }
    return true;
}

/* ---- The Python type. ---- */

typedef struct {
    PyObject_HEAD
    lw_map_t *map;
} Index;

static PyObject *index_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Index", names)) {
        return NULL;
    }
    Index *self = (Index *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    lw_map_config config;
    memset(&config, 0, sizeof config);
    config.keys = LW_KEY_BYTES;
    config.ref = map_ref;
    config.release = map_release;
    self->map = lw_map_new(&config);
    if (self->map == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void index_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    lw_map_free(((Index *)op)->map);
    type->tp_free(op);
    Py_DECREF(type);
}

PyDoc_STRVAR(index_add_doc,
             "add($self, texts, /)\n--\n\n"
             "Count the identifiers of each bytes object in texts. Detached while it scans.\n"
             "After a MemoryError a part of them has been counted.");

static PyObject *index_add(PyObject *op, PyObject *texts)
{
    PyObject *owned = PySequence_Tuple(texts); /* keeps the bytes alive; bytes do not change */
    if (owned == NULL) {
        return NULL;
    }
    Py_ssize_t n = PyTuple_GET_SIZE(owned);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *text = PyTuple_GET_ITEM(owned, i);
        if (!PyBytes_Check(text)) {
            PyErr_Format(PyExc_TypeError, "texts must be bytes objects, not %.200s",
                         Py_TYPE(text)->tp_name);
            Py_DECREF(owned);
            return NULL;
        }
    }
    slot_t *slots = (slot_t *)PyMem_RawCalloc(SLOTS, sizeof *slots);
    bool ok = slots != NULL;
    lw_map_t *map = ((Index *)op)->map;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; ok && i < n; i++) {
        PyObject *text = PyTuple_GET_ITEM(owned, i);
        ok = scan(map, slots, (const unsigned char *)PyBytes_AS_STRING(text),
                  (size_t)PyBytes_GET_SIZE(text));
    }
    for (size_t i = 0; slots != NULL && i < SLOTS; i++) {
        slot_flush(&slots[i]);
    }
    Py_END_ALLOW_THREADS
    PyMem_RawFree(slots);
    Py_DECREF(owned);
    if (!ok) {
        return PyErr_NoMemory();
    }
    Py_RETURN_NONE;
}

/* The map shows its entries inside a section, where no Python code may run: take references to a
 * batch of them there, and make Python objects of them afterwards. */
typedef struct batch {
    entry_t **entries;
    size_t used;
    size_t room;
} batch_t;

static void batch_visit(void *arg, const lw_map_entry *found)
{
    batch_t *batch = (batch_t *)arg;
    if (batch->used < batch->room) {
        entry_t *entry = (entry_t *)lw_ptr_value(found->value);
        lw_ref_inc(&entry->ref);
        batch->entries[batch->used] = entry;
    }
    batch->used++; /* beyond the room: only counted, and asked for again */
}

static void batch_drop(batch_t *batch)
{
    size_t held = batch->used < batch->room ? batch->used : batch->room;
    for (size_t i = 0; i < held; i++) {
        entry_drop(batch->entries[i]);
    }
    batch->used = 0;
}

static bool batch_grow(batch_t *batch, size_t room)
{
    void *entries = PyMem_RawRealloc(batch->entries, room * sizeof(entry_t *));
    if (entries == NULL) {
        PyErr_NoMemory();
        return false;
    }
    batch->entries = (entry_t **)entries;
    batch->room = room;
    return true;
}

static bool store_count(PyObject *counts, const entry_t *entry)
{
    PyObject *word = PyBytes_FromStringAndSize((const char *)entry->word, (Py_ssize_t)entry->size);
    PyObject *count = PyLong_FromUnsignedLongLong(lw_atomic_load_relaxed_u64(&entry->count));
    bool ok = word != NULL && count != NULL && PyDict_SetItem(counts, word, count) == 0;
    Py_XDECREF(word);
    Py_XDECREF(count);
    return ok;
}

PyDoc_STRVAR(index_counts_doc, "counts($self, /)\n--\n\n"
                               "A dict of each identifier (bytes) and its count.");

static PyObject *index_counts(PyObject *op, PyObject *unused)
{
    (void)unused;
    enum { WANTED = 1024 };
    PyObject *counts = PyDict_New();
    batch_t batch = {NULL, 0, 0};
    lw_map_cursor cursor = {0, false};
    bool ok = counts != NULL && batch_grow(&batch, 2 * WANTED);
    bool more = true;
    while (ok && more) {
        lw_map_cursor before = cursor;
        more = lw_map_scan(((Index *)op)->map, &cursor, WANTED, batch_visit, &batch);
        if (batch.used > batch.room) {
            size_t room = 2 * batch.used;
            batch_drop(&batch);
            ok = batch_grow(&batch, room);
            cursor = before;
            more = true;
            continue;
        }
        for (size_t i = 0; ok && i < batch.used; i++) {
            ok = store_count(counts, batch.entries[i]);
        }
        batch_drop(&batch);
    }
    PyMem_RawFree(batch.entries);
    if (!ok) {
        Py_CLEAR(counts);
    }
    return counts;
}

static Py_ssize_t index_len(PyObject *op)
{
    return (Py_ssize_t)lw_map_size(((Index *)op)->map);
}

static PyMethodDef index_methods[] = {
    {"add", index_add, METH_O, index_add_doc},
    {"counts", index_counts, METH_NOARGS, index_counts_doc},
    {NULL, NULL, 0, NULL},
};

PyDoc_STRVAR(index_doc, "Index()\n--\n\nCounts of identifiers. len() is how many differ.");

static PyType_Slot index_slots[] = {
    {Py_tp_doc, (void *)index_doc},         {Py_tp_new, (void *)index_new},
    {Py_tp_dealloc, (void *)index_dealloc}, {Py_tp_methods, index_methods},
    {Py_mp_length, (void *)index_len},      {0, NULL},
};

static PyType_Spec index_spec = {
    .name = "wordindex.Index",
    .basicsize = sizeof(Index),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = index_slots,
};

static int module_exec(PyObject *module)
{
    if (lw_py_init(module) < 0) {
        return -1;
    }
    PyObject *type = PyType_FromModuleAndSpec(module, &index_spec, NULL);
    if (type == NULL) {
        return -1;
    }
    int result = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return result;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, (void *)module_exec},
#if PY_VERSION_HEX >= 0x030c0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#if PY_VERSION_HEX >= 0x030d0000
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "wordindex",
    .m_doc = "Counts identifiers, in C.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit_wordindex(void)
{
    return PyModuleDef_Init(&module_def);
}
