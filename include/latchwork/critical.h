/* SPDX-License-Identifier: BSD-2-Clause */
/* Critical sections over mutexes: as lw_mutex_lock and lw_mutex_unlock, but the thread lets go of
 * the mutexes while it sleeps, in whatever wait of this library, and has them again when that
 * returns. So sections do not wait for each other in a circle, however they are nested; the price
 * is that what they guard may have changed over everything that can block. After PEP 703.
 *
 *   LW_CRITICAL_BEGIN(&object->mutex) {
 *       if (object->count == 0) {
 *           return false;                      // ends the section
 *       }
 *       object->count--;
 *   } LW_CRITICAL_END();
 *
 * While a thread sleeps, or waits for another section, all its sections are suspended; after a wait
 * the innermost is resumed, and each outer one when the one inside of it ends. A section on a mutex
 * that the thread has in an outer one already is allowed. lw_block_begin and lw_block_end
 * (domain.h) suspend and resume around a wait outside of the library; a host's own way to detach
 * (Py_BEGIN_ALLOW_THREADS) leaves sections as they are, as it does plain locks. docs/critical.md
 * has the argument, also beside CPython's own sections.
 *
 * Leaving the block by return, goto, break, or a C++ exception ends the section; with a C compiler
 * that knows no cleanup (MSVC) only LW_CRITICAL_END does, and the next end of a section on the
 * thread ends the process with a message. longjmp is never allowed. If a host ends the thread in a
 * wait, the sections that it was in are over, and hold nothing. Sections end on their thread
 * and in the opposite order to their beginning. All memory is the caller's; nothing can fail.
 * Memory orders are those of lw_mutex_lock and lw_mutex_unlock. */
#ifndef LATCHWORK_CRITICAL_H
#define LATCHWORK_CRITICAL_H

#include <latchwork/mutex.h>
#include <latchwork/thread.h>

LW_EXTERN_C_BEGIN

typedef struct lw_critical {
    lw_held_ held;    /* first. `ops` is NULL until it has begun */
    uint32_t count;   /* this and root: where its state has no number */
    lw_held_ **root;  /* the list that it is in */
    lw_mutex_t **set; /* the mutexes in the order of their addresses, but for one and two. Bit 0 is
                         set in those that an outer section has */
    lw_mutex_t *pair[2];
} lw_critical_t;

/* In the state of those that have one to four mutexes, none of which is an outer section's, and are
 * in the list of the thread's record: how many. One and two are in `pair`. */
#define LW_CRITICAL_ONE_ UINT32_C(4)
#define LW_CRITICAL_TWO_ (2 * LW_CRITICAL_ONE_)

extern LW_API const lw_held_ops_ lw_critical_ops_;

LW_API void lw_critical_begin_slow_(lw_critical_t *section, lw_mutex_t *mutex);
LW_API void lw_critical_begin2_slow_(lw_critical_t *section, lw_mutex_t *first, lw_mutex_t *second);
LW_API void lw_critical_end_slow_(lw_critical_t *section);
/* Sorts pointers of any type by address; how many there are without those that came twice. */
LW_API size_t lw_critical_sort_(void *set, size_t count);

/* The record of a thread that can begin a section the quick way, or NULL. */
static inline lw_thread *lw_critical_self_(void)
{
    /* Not by a pointer to the slot: UBSan's check of it reads flags that ld's relaxation of a
     * thread-local address does not set. */
    lw_thread *self = LW_TLS_SLOT_()->self;
    return LW_LIKELY(LW_TLS_SLOT_()->held == NULL) ? self : NULL;
}

/* It has locked its mutexes, and begins. Few stores: the next locked operation waits for them. */
static inline void lw_critical_link_(lw_critical_t *section, lw_held_ **root, uint32_t state)
{
    section->held.outer = *root;
    section->held.ops = &lw_critical_ops_;
    section->held.state = LW_HELD_ACTIVE_ | state;
    *root = &section->held;
}

/* Begins a section on one mutex. `section` is the caller's, uninitialised, and stays where it is
 * until the end. Blocking; detaches while it sleeps. */
LW_INLINE_ void lw_critical_begin(lw_critical_t *section, lw_mutex_t *mutex)
{
    lw_thread *self = lw_critical_self_();
    if (LW_LIKELY(self != NULL) && LW_LIKELY(lw_mutex_trylock(mutex))) {
        section->pair[0] = mutex;
        lw_critical_link_(section, &self->held, LW_CRITICAL_ONE_);
    } else {
        lw_critical_begin_slow_(section, mutex);
    }
}

/* On two mutexes, which may be the same. */
LW_INLINE_ void lw_critical_begin2(lw_critical_t *section, lw_mutex_t *a, lw_mutex_t *b)
{
    lw_mutex_t *first = (uintptr_t)a < (uintptr_t)b ? a : b;
    lw_mutex_t *second = (uintptr_t)a < (uintptr_t)b ? b : a;
    lw_thread *self = lw_critical_self_();
    if (LW_LIKELY(self != NULL && first != second) && LW_LIKELY(lw_mutex_trylock(first))) {
        if (LW_LIKELY(lw_mutex_trylock(second))) {
            section->pair[0] = first;
            section->pair[1] = second;
            lw_critical_link_(section, &self->held, LW_CRITICAL_TWO_);
            return;
        }
        lw_mutex_unlock(first);
    }
    lw_critical_begin2_slow_(section, first, second);
}

/* On `count` mutexes, none of them NULL. The array is sorted, loses what it has twice, and is the
 * section's until the end. Waits for timeout_ns nanoseconds at most (negative: no limit; 0: not at
 * all), with flags of park.h; resuming an outer section has no limit.
 * LW_OK (acquire); LW_TIMEOUT, LW_INTERRUPTED: no section has begun. */
LW_API LW_NODISCARD lw_status lw_critical_begin_flags(lw_critical_t *section, lw_mutex_t **mutexes,
                                                      size_t count, int64_t timeout_ns,
                                                      unsigned flags);

/* The same without a limit. */
static inline void lw_critical_begin_n(lw_critical_t *section, lw_mutex_t **mutexes, size_t count)
{
    (void)!lw_critical_begin_flags(section, mutexes, count, -1, LW_WAIT_DEFAULT);
}

/* Ends a section of any kind: the innermost of the calling thread. Blocks if an outer one has to be
 * resumed. */
LW_INLINE_ void lw_critical_end(lw_critical_t *section)
{
    lw_thread *self = LW_TLS_SLOT_()->self;
    uint32_t state = section->held.state;
    bool one = state == (LW_HELD_ACTIVE_ | LW_CRITICAL_ONE_);
    if (LW_LIKELY(self != NULL && self->held == &section->held) &&
        LW_LIKELY(one || state == (LW_HELD_ACTIVE_ | LW_CRITICAL_TWO_))) {
        lw_held_ *outer = section->held.outer;
        self->held = outer;
        if (!one) {
            lw_mutex_unlock(section->pair[1]);
        }
        lw_mutex_unlock(section->pair[0]);
        if (LW_UNLIKELY(outer != NULL) && lw_held_has_to_act_(outer)) {
            (void)lw_held_resume_(-1, LW_WAIT_DEFAULT);
        }
    } else {
        lw_critical_end_slow_(section);
    }
}

/* Whether the calling thread has `mutex` now, by a section. For assertions. */
LW_API bool lw_critical_holds(const lw_mutex_t *mutex);

LW_EXTERN_C_END

/* The macros open and close a block, and declare a variable in it, named after the line: sections
 * inside of each other then shadow nothing. */
#define LW_CRITICAL_PASTE2_(a, b) a##b
#define LW_CRITICAL_PASTE_(a, b) LW_CRITICAL_PASTE2_(a, b)
#if defined(__cplusplus)
struct lw_critical_guard_ : lw_critical_t {
    lw_critical_guard_() {} // not initialised: it begins before anything can throw
    lw_critical_guard_(const lw_critical_guard_ &) = delete;
    lw_critical_guard_ &operator=(const lw_critical_guard_ &) = delete;
    /* It may resume an outer section, and the thread may end in that wait (domain.h). */
    ~lw_critical_guard_() noexcept(false)
    {
        lw_critical_end(this);
    }
};
#define LW_CRITICAL_NAME_ LW_CRITICAL_PASTE_(lw_section_, __LINE__)
#define LW_CRITICAL_DECLARE_(name) lw_critical_guard_ name
#define LW_CRITICAL_LEAVE_ ((void)0)
#elif defined(LW_CLEANUP_)
#define LW_CRITICAL_NAME_ LW_CRITICAL_PASTE_(lw_section_, __LINE__)
#define LW_CRITICAL_DECLARE_(name) lw_critical_t name LW_CLEANUP_(lw_critical_end)
#define LW_CRITICAL_LEAVE_ ((void)0)
#else
#define LW_CRITICAL_NAME_ lw_section_
#define LW_CRITICAL_DECLARE_(name) lw_critical_t name
#define LW_CRITICAL_LEAVE_ lw_critical_end(&lw_section_)
#endif

/* The arguments come first: what leaves the block from there finds no section to end. */
#define LW_CRITICAL_ARGUMENT_(n) LW_CRITICAL_PASTE_(lw_section_argument##n##_, __LINE__)
#define LW_CRITICAL_BEGIN(mutex)                                                                   \
    {                                                                                              \
        lw_mutex_t *LW_CRITICAL_ARGUMENT_(1) = (mutex);                                            \
        LW_CRITICAL_DECLARE_(LW_CRITICAL_NAME_);                                                   \
        lw_critical_begin(&LW_CRITICAL_NAME_, LW_CRITICAL_ARGUMENT_(1));
#define LW_CRITICAL_BEGIN2(a, b)                                                                   \
    {                                                                                              \
        lw_mutex_t *LW_CRITICAL_ARGUMENT_(1) = (a);                                                \
        lw_mutex_t *LW_CRITICAL_ARGUMENT_(2) = (b);                                                \
        LW_CRITICAL_DECLARE_(LW_CRITICAL_NAME_);                                                   \
        lw_critical_begin2(&LW_CRITICAL_NAME_, LW_CRITICAL_ARGUMENT_(1), LW_CRITICAL_ARGUMENT_(2));
#define LW_CRITICAL_BEGIN_N(mutexes, count)                                                        \
    {                                                                                              \
        lw_mutex_t **LW_CRITICAL_ARGUMENT_(1) = (mutexes);                                         \
        size_t LW_CRITICAL_ARGUMENT_(2) = (count);                                                 \
        LW_CRITICAL_DECLARE_(LW_CRITICAL_NAME_);                                                   \
        lw_critical_begin_n(&LW_CRITICAL_NAME_, LW_CRITICAL_ARGUMENT_(1), LW_CRITICAL_ARGUMENT_(2));
#define LW_CRITICAL_END()                                                                          \
    LW_CRITICAL_LEAVE_;                                                                            \
    }

#endif /* LATCHWORK_CRITICAL_H */
