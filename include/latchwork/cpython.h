/* SPDX-License-Identifier: BSD-2-Clause */
/* Latchwork beside Python: all that an extension module includes. Works on CPython 3.11 and later,
 * with the GIL and free-threaded, and uses no private call of CPython; but sections on Python
 * objects look into CPython's own on 3.13 and 3.14 (free-threaded).
 *
 *   static int exec(PyObject *module) { return lw_py_init(module); }   // in the Py_mod_exec slot
 *
 * After lw_py_init, a wait in any lock of this library detaches the thread from Python while it
 * sleeps (the GIL is released, or the thread state detached), if the thread is attached, and
 * attaches again once it has left the wait queue. On 3.11 a process with sub-interpreters cannot
 * tell by public means whether a thread that uses the library is attached; there, call the library
 * detached only through Py_BEGIN_ALLOW_THREADS with LW_WAIT_ATTACHED, or in the main interpreter
 * alone. */
#ifndef LATCHWORK_CPYTHON_H
#define LATCHWORK_CPYTHON_H

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

#include <latchwork/latchwork.h>

#if PY_VERSION_HEX < 0x030b0000
#error "latchwork needs CPython 3.11 or later"
#endif

LW_EXTERN_C_BEGIN

/* Joins this module's copy of the library to the process's domain, and teaches it to detach. To be
 * called from the module's Py_mod_exec slot, in every interpreter that imports it; again is
 * harmless. 0, or -1 with ImportError set: another extension in this process carries a copy with
 * another ABI version (the message names both), or MemoryError. Attached. */
LW_API int lw_py_init(PyObject *module);

/* Drops a reference once no section (smr.h) can be reading through it: for objects taken out of
 * structures that others read without a lock, who may then simply Py_INCREF inside of their
 * section. The drop happens attached to the interpreter that is current now. Until then the object
 * counts towards the byte budget of smr.h with its own size, as far as CPython tells it without
 * running foreign code (docs/cpython.md). 0, or -1 with MemoryError set (the reference is the
 * caller's still). Attached. */
LW_API int lw_py_retire_decref(PyObject *object);

/* A configuration for maps whose values are PyObject *, owned by the map: what is stored is given
 * away (Py_NewRef before a put, Py_DECREF if nothing was stored: see lw_map_config), and
 * lw_map_get_key and the like return new references. For LW_KEY_CUSTOM the keys are PyObject * too,
 * owned likewise. What waits for its release counts as with lw_py_retire_decref. Attached, and so
 * must be every later use of the map, in the same interpreter. */
LW_API lw_map_config lw_py_map_config(lw_key_kind keys);

/* Sets the exception that fits: MemoryError, TimeoutError, KeyError, ValueError, RuntimeError; for
 * LW_INTERRUPTED, what the signal handler raised, if it did. -1 if one is set, else 0. Attached. */
LW_API int lw_py_set_error(lw_status status);

/* One try of a wait with a limit and flags of park.h, as the waits of this library are. LW_AGAIN,
 * too, asks for another try. */
typedef lw_status (*lw_py_wait_fn)(void *arg, int64_t timeout_ns, unsigned flags);

/* Waits as threading's waits do: signal handlers run meanwhile, and what they raise ends it. Calls
 * wait(arg, time left, LW_WAIT_INTERRUPTIBLE) until that says something else than LW_INTERRUPTED
 * and LW_AGAIN, and between the calls what handlers there are to run. What `wait` said, or
 * LW_INTERRUPTED with a Python exception set. A negative timeout_ns: no limit. Attached; the waits
 * of this library detach while they sleep. */
LW_API lw_status lw_py_wait_interruptible(lw_py_wait_fn wait, void *arg, int64_t timeout_ns);

/* Locks so. LW_OK, LW_TIMEOUT, or LW_INTERRUPTED with a Python exception set. */
LW_API lw_status lw_py_mutex_lock_interruptible(lw_mutex_t *mutex, int64_t timeout_ns);

/* ---- critical sections over Python objects ----
 *
 *   LW_PY_CRITICAL_BEGIN(object) {
 *       if (self->closed) {
 *           return NULL;                       // ends the section
 *       }
 *       self->count++;
 *   } LW_PY_CRITICAL_END();
 *
 * CPython's own (Py_BEGIN_CRITICAL_SECTION), on every version, and ended in whatever way the block
 * is left (critical.h says by which compilers). Suspended when the thread detaches, in this
 * library's waits too. With the GIL they are nothing, since the GIL gives the same: nobody else
 * runs until the thread lets go of it. A section on a mutex of your own, with or without the GIL,
 * is LW_CRITICAL_BEGIN; both may be inside of each other in any order without a deadlock. Attached.
 * One directly inside of another on the same object or two begins nothing, and suspends nothing:
 * CPython 3.13 would wait for itself, and let others into the outer one.
 *
 * LW_PY_CRITICAL_BEGIN_MUTEX and _MUTEX2 are sections on a PyMutex or two, from 3.13 on.
 *
 * LW_PY_CRITICAL_BEGIN_N is for three objects and more: CPython has no such section, so it locks
 * them in the order of their addresses and keeps them until the end, whatever happens; sections
 * around it are suspended until then if it has to wait. Hence the block may not wait, nor call what
 * may, nor begin a section on one of the objects (which is nearly all that Python offers, Py_DECREF
 * of unknown objects included). The array is the section's until the end, and may be sorted and
 * lose what it has twice. */
#if defined(Py_GIL_DISABLED)

LW_API bool lw_py_is_attached(void);

/* Where the end of a thread unwinds its stack (C++, or C with -fexceptions), it may have been ended
 * on its way into a section, or in a wait inside of one, detached: then CPython has no section. */
#if defined(__cplusplus) || defined(__EXCEPTIONS)
#define LW_PY_CRITICAL_THERE_(section) ((section)->begun && lw_py_is_attached())
#else
#define LW_PY_CRITICAL_THERE_(section) ((section)->begun)
#endif

/* Whether the thread's innermost section has both. */
#if PY_VERSION_HEX < 0x030f0000
LW_API bool lw_py_critical_has_(const PyMutex *a, const PyMutex *b);

static inline bool lw_py_critical_may_have_(const PyMutex *mutex)
{
    const lw_atomic_u8 *bits = (const lw_atomic_u8 *)(const void *)&mutex->_bits;
    return (lw_atomic_load_relaxed_u8(bits) & 1) != 0; /* locked */
}
#else
#define lw_py_critical_has_(a, b) ((void)(a), (void)(b), false)
#define lw_py_critical_may_have_(mutex) ((void)(mutex), false)
#endif

#if PY_VERSION_HEX < 0x030e0000
/* All that a section reads of an object is its mutex: 3.14 has functions that take just that. */
static inline PyObject *lw_py_critical_object_(PyMutex *mutex)
{
    return (PyObject *)((uintptr_t)mutex - offsetof(PyObject, ob_mutex));
}
#define LW_PY_SECTION_BEGIN_(c, m) PyCriticalSection_Begin(c, lw_py_critical_object_(m))
#define LW_PY_SECTION_BEGIN2_(c, a, b)                                                             \
    PyCriticalSection2_Begin(c, lw_py_critical_object_(a), lw_py_critical_object_(b))
#else
#define LW_PY_SECTION_BEGIN_(c, m) PyCriticalSection_BeginMutex(c, m)
#define LW_PY_SECTION_BEGIN2_(c, a, b) PyCriticalSection2_BeginMutex(c, a, b)
#endif

typedef struct lw_py_critical_ {
    PyCriticalSection section;
    bool begun;
} lw_py_critical_;

static inline void lw_py_critical_begin_(lw_py_critical_ *c, PyMutex *mutex)
{
    c->begun = false;
    if (LW_UNLIKELY(lw_py_critical_may_have_(mutex)) && lw_py_critical_has_(mutex, mutex)) {
        return;
    }
    LW_PY_SECTION_BEGIN_(&c->section, mutex);
    c->begun = true;
}

static inline void lw_py_critical_end_(lw_py_critical_ *c)
{
    if (LW_PY_CRITICAL_THERE_(c)) {
        PyCriticalSection_End(&c->section);
    }
}

typedef struct lw_py_critical2_ {
    PyCriticalSection2 section;
    bool begun;
} lw_py_critical2_;

static inline void lw_py_critical_begin2_(lw_py_critical2_ *c, PyMutex *a, PyMutex *b)
{
    c->begun = false;
    if (LW_UNLIKELY(lw_py_critical_may_have_(a)) && lw_py_critical_has_(a, b)) {
        return;
    }
    LW_PY_SECTION_BEGIN2_(&c->section, a, b);
    c->begun = true;
}

static inline void lw_py_critical_end2_(lw_py_critical2_ *c)
{
    if (LW_PY_CRITICAL_THERE_(c)) {
        PyCriticalSection2_End(&c->section);
    }
}

typedef struct lw_py_critical_n_ {
    PyObject **objects;
    size_t count;
    lw_py_critical_ inner; /* on `mutex`, so that those around it are not resumed before the end */
    PyMutex mutex;
} lw_py_critical_n_;

LW_API void lw_py_critical_begin_n_(lw_py_critical_n_ *section, PyObject **objects, size_t count);
LW_API void lw_py_critical_end_n_(lw_py_critical_n_ *section);

LW_EXTERN_C_END
#if defined(__cplusplus)
template <class Section, void (*End)(Section *)>
struct lw_py_critical_guard_ : Section {
    lw_py_critical_guard_() = default;
    lw_py_critical_guard_(const lw_py_critical_guard_ &) = delete;
    lw_py_critical_guard_ &operator=(const lw_py_critical_guard_ &) = delete;
    ~lw_py_critical_guard_() noexcept(false)
    {
        End(this);
    }
};
#define LW_PY_SECTION_(name, type, end) lw_py_critical_guard_<type, end> name
#elif defined(LW_CLEANUP_)
#define LW_PY_SECTION_(name, type, end) type name LW_CLEANUP_(end)
#else
#error "sections over Python objects need a compiler that knows cleanup (gcc, clang), or C++"
#endif
LW_EXTERN_C_BEGIN

/* The arguments come first: what leaves the block from there finds no section to end. */
#define LW_PY_CRITICAL_BEGIN(object)                                                               \
    {                                                                                              \
        PyMutex *LW_CRITICAL_ARGUMENT_(1) = &((PyObject *)(object))->ob_mutex;                     \
        LW_PY_SECTION_(LW_CRITICAL_NAME_, lw_py_critical_, lw_py_critical_end_);                   \
        lw_py_critical_begin_(&LW_CRITICAL_NAME_, LW_CRITICAL_ARGUMENT_(1));
#define LW_PY_CRITICAL_BEGIN2(a, b)                                                                \
    {                                                                                              \
        PyMutex *LW_CRITICAL_ARGUMENT_(1) = &((PyObject *)(a))->ob_mutex;                          \
        PyMutex *LW_CRITICAL_ARGUMENT_(2) = &((PyObject *)(b))->ob_mutex;                          \
        LW_PY_SECTION_(LW_CRITICAL_NAME_, lw_py_critical2_, lw_py_critical_end2_);                 \
        lw_py_critical_begin2_(&LW_CRITICAL_NAME_, LW_CRITICAL_ARGUMENT_(1),                       \
                               LW_CRITICAL_ARGUMENT_(2));
#define LW_PY_CRITICAL_BEGIN_MUTEX(mutex)                                                          \
    {                                                                                              \
        PyMutex *LW_CRITICAL_ARGUMENT_(1) = (mutex);                                               \
        LW_PY_SECTION_(LW_CRITICAL_NAME_, lw_py_critical_, lw_py_critical_end_);                   \
        lw_py_critical_begin_(&LW_CRITICAL_NAME_, LW_CRITICAL_ARGUMENT_(1));
#define LW_PY_CRITICAL_BEGIN_MUTEX2(a, b)                                                          \
    {                                                                                              \
        PyMutex *LW_CRITICAL_ARGUMENT_(1) = (a);                                                   \
        PyMutex *LW_CRITICAL_ARGUMENT_(2) = (b);                                                   \
        LW_PY_SECTION_(LW_CRITICAL_NAME_, lw_py_critical2_, lw_py_critical_end2_);                 \
        lw_py_critical_begin2_(&LW_CRITICAL_NAME_, LW_CRITICAL_ARGUMENT_(1),                       \
                               LW_CRITICAL_ARGUMENT_(2));
#define LW_PY_CRITICAL_BEGIN_N(objects, count)                                                     \
    {                                                                                              \
        PyObject **LW_CRITICAL_ARGUMENT_(1) = (objects);                                           \
        size_t LW_CRITICAL_ARGUMENT_(2) = (count);                                                 \
        LW_PY_SECTION_(LW_CRITICAL_NAME_, lw_py_critical_n_, lw_py_critical_end_n_);               \
        lw_py_critical_begin_n_(&LW_CRITICAL_NAME_, LW_CRITICAL_ARGUMENT_(1),                      \
                                LW_CRITICAL_ARGUMENT_(2));
#else
#define LW_PY_CRITICAL_BEGIN(object)                                                               \
    {                                                                                              \
        (void)(object);
#define LW_PY_CRITICAL_BEGIN2(a, b)                                                                \
    {                                                                                              \
        (void)(a), (void)(b);
#define LW_PY_CRITICAL_BEGIN_MUTEX(mutex)                                                          \
    {                                                                                              \
        (void)(mutex);
#define LW_PY_CRITICAL_BEGIN_MUTEX2(a, b)                                                          \
    {                                                                                              \
        (void)(a), (void)(b);
#define LW_PY_CRITICAL_BEGIN_N(objects, count)                                                     \
    {                                                                                              \
        (void)(objects), (void)(count);
#endif
#define LW_PY_CRITICAL_END() }

/* Whether this thread is attached to Python (holds the GIL, or has an attached thread state). */
LW_API bool lw_py_is_attached(void);

LW_EXTERN_C_END

#endif /* LATCHWORK_CPYTHON_H */
