/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/cpython.h>

#include <string.h>

#include "../base/domain_internal.h"

#define LW_PY_CAPSULE "latchwork.domain"

/* ---- attach and detach ---- */

/* Not by way of Py_IsInitialized(), which says no from the beginning of finalization on, while
 * modules and their objects have yet to be cleared. */
bool lw_py_is_attached(void)
{
#if PY_VERSION_HEX >= 0x030d0000
    return PyThreadState_GetUnchecked() != NULL;
#elif PY_VERSION_HEX >= 0x030c0000
    /* The current thread state is a thread-local there; this asks for it without insisting. */
    return PyThreadState_GetDict() != NULL;
#else
    return PyGILState_GetThisThreadState() != NULL && PyGILState_Check();
#endif
}

static void *lw_py_before_block(void)
{
    return lw_py_is_attached() ? PyEval_SaveThread() : NULL;
}

static void lw_py_after_block(void *token)
{
    PyEval_RestoreThread((PyThreadState *)token);
}

static const lw_block_hooks lw_py_hooks = {lw_py_before_block, lw_py_after_block};

static void *lw_py_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return PyMem_RawCalloc(1, size);
}

static void lw_py_release_memory(void *ctx, void *ptr)
{
    (void)ctx;
    PyMem_RawFree(ptr);
}

static const lw_allocator lw_py_allocator = {lw_py_alloc, lw_py_release_memory, NULL};

/* ---- interpreters ---- */

/* What references that are to be dropped later know of their interpreter. In a list of the domain,
 * one for each interpreter that has imported an extension (seldom two: lw_py_init); never freed,
 * since notes may outlive any interpreter. */
typedef struct lw_py_home {
    struct lw_py_home *next;
    int64_t id; /* the interpreter's number; numbers come again once Python was finalized */
    lw_atomic_u32 ended; /* the interpreter's dictionary is gone, and soon its objects are */
} lw_py_home;

static lw_py_home *lw_py_homes(void)
{
    /* (1) acquire: pairs with (2), for a home's fields. */
    return (lw_py_home *)lw_atomic_load_acquire_ptr(&lw_domain_get()->host_homes);
}

static int64_t lw_py_here(void)
{
    return PyInterpreterState_GetID(PyInterpreterState_Get());
}

/* The newest home of the interpreter that this thread is attached to; NULL: none. It has ended if
 * this is called by an object that outlives the interpreter's dictionary: what is retired then is
 * forgotten with the interpreter. */
static lw_py_home *lw_py_home_here(void)
{
    lw_py_home *home;
    int64_t id;
    if (!lw_py_is_attached()) {
        return NULL;
    }
    id = lw_py_here();
    home = lw_py_homes();
    while (home != NULL && home->id != id) {
        home = home->next;
    }
    return home;
}

static bool lw_py_home_ended(const lw_py_home *home)
{
    return lw_atomic_load_relaxed_u32(&home->ended) != 0;
}

/* Whether this thread may drop references to objects of `home`, which has not ended: so its number
 * means that interpreter still. */
static bool lw_py_at_home(const lw_py_home *home)
{
    return lw_py_is_attached() && lw_py_here() == home->id;
}

static lw_py_home *lw_py_home_required(const char *function)
{
    lw_py_home *home = lw_py_home_here();
    if (home == NULL) {
        lw_fatal_(function, "this thread is not attached to an interpreter, or lw_py_init was not "
                            "called in it");
    }
    return home;
}

static lw_py_home *lw_py_home_new(void)
{
    lw_domain *d = lw_domain_get();
    lw_py_home *home = (lw_py_home *)lw_alloc(sizeof *home);
    void *first = lw_atomic_load_relaxed_ptr(&d->host_homes);
    if (home != NULL) {
        home->id = lw_py_here();
        do {
            home->next = (lw_py_home *)first;
            /* (2) release: pairs with (1). */
        } while (!lw_atomic_cas_release_ptr(&d->host_homes, &first, home));
    }
    return home;
}

/* How often the end of an interpreter looks for references that only it can drop, while other
 * threads have sections open. */
#define LW_PY_END_ROUNDS 100

static void lw_py_interpreter_end(PyObject *capsule)
{
    const lw_py_home *own = (const lw_py_home *)PyCapsule_GetContext(capsule);
    lw_py_home *home;
    unsigned round;
    for (round = 0; round < LW_PY_END_ROUNDS; round++) {
        (void)lw_smr_poll();
        if (lw_smr_get_stats().pending == 0) {
            break;
        }
        lw_yield_();
    }
    /* All of this interpreter's, not its own alone: lw_py_init. */
    for (home = lw_py_homes(); home != NULL; home = home->next) {
        if (home->id == own->id) {
            lw_atomic_store_relaxed_u32(&home->ended, 1);
        }
    }
}

/* ---- joining the domain ---- */

static int lw_py_refuse(PyObject *module, const lw_domain *other)
{
    const lw_domain_header *header = lw_domain_describe(other);
    const char *name = PyModule_GetName(module);
    if (name == NULL) {
        PyErr_Clear();
        name = "this module";
    }
    if (header->magic != LW_DOMAIN_MAGIC) {
        PyErr_Format(PyExc_ImportError, "%s: something that is not latchwork's is in its place",
                     name);
    } else if (!lw_domain_fits_(other)) {
        PyErr_Format(PyExc_ImportError,
                     "%s carries latchwork %s (ABI %u, platform %u), but another extension in this "
                     "process carries %.16s (ABI %u, platform %u), and the two cannot share locks "
                     "and containers; build both with the same latchwork and the same options",
                     name, LW_VERSION_STRING, (unsigned)(LW_DOMAIN_ABI & 0xffff),
                     (unsigned)(LW_DOMAIN_ABI >> 16), header->version,
                     (unsigned)(header->abi & 0xffff), (unsigned)(header->abi >> 16));
    } else {
        PyErr_Format(PyExc_ImportError,
                     "%s has used its own copy of latchwork before it met the one of this "
                     "interpreter; import both in the main interpreter first",
                     name);
    }
    return -1;
}

int lw_py_init(PyObject *module)
{
    PyObject *dict = PyInterpreterState_GetDict(PyInterpreterState_Get()); /* borrowed */
    PyObject *key, *fresh, *capsule;
    lw_domain *other, *foreign;
    if (dict == NULL) {
        PyErr_SetString(PyExc_ImportError, "latchwork: this interpreter has no dictionary");
        return -1;
    }
    key = PyUnicode_InternFromString(LW_PY_CAPSULE);
    if (key == NULL) {
        return -1;
    }
    capsule =
        PyDict_GetItemWithError(dict, key); /* borrowed; it stays as long as the interpreter */
    if (capsule == NULL && PyErr_Occurred()) {
        Py_DECREF(key);
        return -1;
    }
    if (capsule != NULL) {
        other = (lw_domain *)PyCapsule_GetPointer(capsule, LW_PY_CAPSULE);
        if (other == NULL || lw_domain_adopt(other) != LW_OK) {
            Py_DECREF(key);
            return other == NULL ? -1 : lw_py_refuse(module, other);
        }
    }
    foreign = lw_domain_foreign_();
    if (foreign != NULL && !lw_domain_fits_(foreign)) {
        Py_DECREF(key);
        return lw_py_refuse(module, foreign);
    }
    /* Too late if C code used the library before: then the first allocator stays. */
    (void)lw_domain_set_allocator(&lw_py_allocator);
    if (capsule == NULL) {
        /* Two threads may import an extension each, and both come here: each makes a capsule and a
         * home, and one of the capsules gets into the dictionary. By then both homes are in the
         * list, since whoever finds the capsule there may make a map at once and needs one; it may
         * find the home of the thread that has yet to see that it came too late. So that home has
         * to go on as well, and to end with the interpreter: the capsule in the dictionary ends
         * all homes of its interpreter, and the other one, which is dropped here, ends none. */
        lw_py_home *home;
        fresh = PyCapsule_New(lw_domain_get(), LW_PY_CAPSULE, NULL);
        if (fresh == NULL) {
            Py_DECREF(key);
            return -1;
        }
        home = lw_py_home_new();
        if (home == NULL || PyCapsule_SetContext(fresh, home) < 0) {
            Py_DECREF(fresh);
            Py_DECREF(key);
            return PyErr_Occurred() != NULL ? -1 : lw_py_set_error(LW_NOMEM);
        }
        capsule = PyDict_SetDefault(dict, key, fresh);
        if (capsule == fresh) {
            (void)PyCapsule_SetDestructor(fresh, lw_py_interpreter_end); /* cannot fail */
        }
        Py_DECREF(fresh);
        if (capsule == NULL) {
            Py_DECREF(key);
            return -1;
        }
        other = (lw_domain *)PyCapsule_GetPointer(capsule, LW_PY_CAPSULE);
        if (other == NULL || lw_domain_adopt(other) != LW_OK) {
            Py_DECREF(key);
            return other == NULL ? -1 : lw_py_refuse(module, other);
        }
    }
    Py_DECREF(key);
    lw_domain_set_block_hooks(&lw_py_hooks);
    return 0;
}

/* ---- references ---- */

/* What an object that exports its memory (an array) counts as. How large it is can only be told by
 * its own code, which may do anything; so a few of them fill a batch (smr.h): few enough that a
 * batch of large ones stays small, and enough that small ones share a grace period. */
#define LW_PY_BUFFER_WEIGHT (LW_SMR_BATCH_BYTES / 8)

/* About how many bytes an object that waits for its release keeps in memory: its own, and not what
 * it refers to. Runs no foreign code; the object may be in use by other threads. */
static size_t lw_py_weight(PyObject *object)
{
    size_t bytes = (size_t)Py_TYPE(object)->tp_basicsize;
    if (PyUnicode_Check(object)) {
        return bytes + (size_t)PyUnicode_GET_LENGTH(object) * (size_t)PyUnicode_KIND(object);
    }
    if (PyBytes_Check(object)) {
        return bytes + (size_t)PyBytes_GET_SIZE(object);
    }
    if (PyTuple_Check(object)) {
        return bytes + (size_t)PyTuple_GET_SIZE(object) * sizeof(PyObject *);
    }
    if (PyList_Check(object)) {
        return bytes + (size_t)PyList_Size(object) * sizeof(PyObject *);
    }
    /* An entry takes at least two words. */
    if (PyDict_Check(object)) {
        return bytes + (size_t)PyDict_Size(object) * 2 * sizeof(PyObject *);
    }
    if (PyAnySet_Check(object)) {
        return bytes + (size_t)PySet_Size(object) * 2 * sizeof(PyObject *);
    }
    if (PyByteArray_Check(object)) {
        return bytes + (size_t)PyByteArray_Size(object);
    }
    if (PyObject_CheckBuffer(object)) {
        return bytes + LW_PY_BUFFER_WEIGHT;
    }
    return bytes;
}

static size_t lw_py_weigh(void *context, uint64_t key, uint64_t value, unsigned what)
{
    (void)context;
    return ((what & LW_MAP_VALUE) != 0 ? lw_py_weight((PyObject *)lw_ptr_value(value)) : 0) +
           ((what & LW_MAP_KEY) != 0 ? lw_py_weight((PyObject *)lw_ptr_value(key)) : 0);
}

typedef struct lw_py_note {
    lw_smr_node node; /* first; context: the home */
    PyObject *object;
} lw_py_note;

static bool lw_py_free_note(lw_smr_node *node)
{
    lw_py_note *note = (lw_py_note *)(void *)node;
    lw_py_home *home = (lw_py_home *)node->context;
    PyObject *object = note->object;
    bool ended = lw_py_home_ended(home);
    if (!ended && !lw_py_at_home(home)) {
        return false;
    }
    lw_free(note);
    if (!ended) {
        Py_DECREF(object);
    }
    return true;
}

int lw_py_retire_decref(PyObject *object)
{
    lw_py_home *home = lw_py_home_required("lw_py_retire_decref");
    lw_py_note *note = (lw_py_note *)lw_alloc(sizeof *note);
    if (note == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    note->object = object;
    note->node.context = home;
    lw_smr_retire_node(&note->node, lw_py_free_note, sizeof *note + lw_py_weight(object));
    return 0;
}

static void lw_py_ref(void *context, uint64_t value)
{
    (void)context;
    Py_INCREF((PyObject *)lw_ptr_value(value));
}

static void lw_py_drop(uint64_t key, uint64_t value, unsigned what)
{
    if ((what & LW_MAP_VALUE) != 0) {
        Py_DECREF((PyObject *)lw_ptr_value(value));
    }
    if ((what & LW_MAP_KEY) != 0) {
        Py_DECREF((PyObject *)lw_ptr_value(key));
    }
}

#ifdef Py_GIL_DISABLED
static bool lw_py_release(void *context, uint64_t key, uint64_t value, unsigned what)
{
    lw_py_home *home = (lw_py_home *)context;
    if (!lw_py_home_ended(home)) {
        if (!lw_py_at_home(home)) {
            return false;
        }
        lw_py_drop(key, value, what);
    }
    return true;
}
#else
/* Exclusive maps release inside of an operation, which is attached. */
static bool lw_py_release(void *context, uint64_t key, uint64_t value, unsigned what)
{
    (void)context;
    lw_py_drop(key, value, what);
    return true;
}
#endif

lw_map_config lw_py_map_config(lw_key_kind keys)
{
    lw_map_config config = {keys, 0, 0, 0, lw_py_ref, lw_py_release, lw_py_weigh, NULL, false};
#ifdef Py_GIL_DISABLED
    config.context = lw_py_home_required("lw_py_map_config");
#else
    config.exclusive = true;
#endif
    return config;
}

/* ---- errors ---- */

int lw_py_set_error(lw_status status)
{
    PyObject *type = PyExc_RuntimeError;
    switch (status) {
    case LW_OK:
        return 0;
    case LW_INTERRUPTED:
        /* The handler's exception may be set already (lw_py_mutex_lock_interruptible). */
        return PyErr_Occurred() != NULL || PyErr_CheckSignals() < 0 ? -1 : 0;
    case LW_NOMEM:
        PyErr_NoMemory();
        return -1;
    case LW_TIMEOUT:
        type = PyExc_TimeoutError;
        break;
    case LW_NOT_FOUND:
        type = PyExc_KeyError;
        break;
    case LW_INVALID:
        type = PyExc_ValueError;
        break;
    default:
        break;
    }
    PyErr_Format(type, "latchwork: %s", lw_status_string(status));
    return -1;
}

lw_status lw_py_wait_interruptible(lw_py_wait_fn wait, void *arg, int64_t timeout_ns)
{
    int64_t deadline_ns = lw_deadline_(timeout_ns), left_ns = timeout_ns;
    for (;;) {
        lw_status status = wait(arg, left_ns, LW_WAIT_INTERRUPTIBLE);
        if (status != LW_INTERRUPTED && status != LW_AGAIN) {
            return status;
        }
        if (PyErr_CheckSignals() < 0) {
            return LW_INTERRUPTED;
        }
        left_ns = lw_left_(deadline_ns);
    }
}

static lw_status lw_py_mutex_lock_once(void *mutex, int64_t timeout_ns, unsigned flags)
{
    return lw_mutex_lock_flags((lw_mutex_t *)mutex, timeout_ns, flags);
}

lw_status lw_py_mutex_lock_interruptible(lw_mutex_t *mutex, int64_t timeout_ns)
{
    return lw_py_wait_interruptible(lw_py_mutex_lock_once, mutex, timeout_ns);
}

/* ---- sections ---- */

#ifdef Py_GIL_DISABLED
#if PY_VERSION_HEX < 0x030f0000
/* The low bits of the pointer to the innermost section: it is suspended, which that of an attached
 * thread is not; it is a PyCriticalSection2. */
bool lw_py_critical_has_(const PyMutex *a, const PyMutex *b)
{
    enum { SUSPENDED = 1, TWO = 2 };
    uintptr_t top = PyThreadState_Get()->critical_section;
    const PyCriticalSection2 *c = (const PyCriticalSection2 *)(top & ~(uintptr_t)(SUSPENDED | TWO));
    const PyMutex *first, *second;
    if (c == NULL || (top & SUSPENDED) != 0) {
        return false;
    }
    first = c->_cs_base._cs_mutex;
    second = (top & TWO) != 0 ? c->_cs_mutex2 : first;
    return (a == first || a == second) && (b == first || b == second);
}
#endif

void lw_py_critical_begin_n_(lw_py_critical_n_ *section, PyObject **objects, size_t count)
{
    size_t kept = lw_critical_sort_(objects, count);
    section->objects = objects;
    section->count = 0;
    memset(&section->mutex, 0, sizeof section->mutex);
    lw_py_critical_begin_(&section->inner, &section->mutex);
    /* CPython's sections on two objects go by the addresses of the mutexes as well. */
    for (; section->count < kept; section->count++) {
        PyMutex_Lock(&objects[section->count]->ob_mutex);
    }
}

void lw_py_critical_end_n_(lw_py_critical_n_ *section)
{
    size_t i;
    for (i = 0; i < section->count; i++) {
        PyMutex_Unlock(&section->objects[i]->ob_mutex);
    }
    lw_py_critical_end_(&section->inner);
}
#endif
