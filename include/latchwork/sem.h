/* SPDX-License-Identifier: BSD-2-Clause */
/* A counting semaphore of four bytes. All-zero bytes are a semaphore of value 0; nothing to
 * destroy.
 *
 * The word:
 *   bits     name      set by                              cleared by
 *   0        WAITED    a waiter, where the value is 0,     a release that leaves nobody asleep, or
 *                      under the lock of the wait queue    the last waiter that gives up: both
 *                                                          under the queue's lock
 *   1-31     VALUE     init; release adds; with WAITED     acquire takes one
 *                      under the queue's lock only
 *
 * A release wakes as many as it adds. Who is woken competes with newcomers, and if those were
 * quicker sleeps again, in its old place in the queue. So nobody sleeps while there is something to
 * take and nobody on the way to it; but one thread may be overtaken again and again: there is no
 * bound on how often. Release touches nothing of the semaphore after the step that lets others
 * acquire: whoever acquires may free it, if nobody else uses it.
 *
 * Everything a thread did before a release happens before what follows an acquire that comes after
 * it. docs/sem.md has the argument. */
#ifndef LATCHWORK_SEM_H
#define LATCHWORK_SEM_H

#include <latchwork/atomic.h>
#include <latchwork/park.h>
#include <latchwork/status.h>

LW_EXTERN_C_BEGIN

typedef struct lw_sem {
    lw_atomic_u32 word;
} lw_sem_t;

#define LW_SEM_MAX UINT32_C(0x7fffffff)
/* `value`: a constant, at most LW_SEM_MAX. */
#define LW_SEM_INIT(value)                                                                         \
    {                                                                                              \
        {                                                                                          \
            (uint32_t)(value) << 1                                                                 \
        }                                                                                          \
    }

#define LW_SEM_WAITED_ UINT32_C(1)
#define LW_SEM_ONE_ UINT32_C(2)

LW_API void lw_sem_init_large_(void);
LW_API lw_status lw_sem_acquire_slow_(lw_sem_t *s, int64_t timeout_ns, unsigned flags);
LW_API lw_status lw_sem_release_slow_(lw_sem_t *s, uint32_t n, uint32_t max);

/* More than LW_SEM_MAX ends the process with a message. Nobody may be using the semaphore. */
static inline void lw_sem_init(lw_sem_t *s, uint32_t value)
{
    if (LW_UNLIKELY(value > LW_SEM_MAX)) {
        lw_sem_init_large_();
    }
    lw_atomic_store_relaxed_u32(&s->word, value << 1);
}

/* The value at some moment during the call: for reports. Wait-free, orders nothing. */
static inline uint32_t lw_sem_value(const lw_sem_t *s)
{
    return lw_atomic_load_relaxed_u32(&s->word) >> 1;
}

/* Takes one if there is one. Lock-free, any attach state; acquire when true. */
static inline bool lw_sem_try_acquire(lw_sem_t *s)
{
    uint32_t word = lw_atomic_load_relaxed_u32(&s->word);
    while (word >= LW_SEM_ONE_) {
        /* (1) acquire: pairs with the releases (2) and (3). */
        if (LW_LIKELY(lw_atomic_cas_acquire_u32(&s->word, &word, word - LW_SEM_ONE_))) {
            return true;
        }
    }
    return false;
}

/* Takes one, waiting for it timeout_ns nanoseconds at most (negative: no limit; 0: as try_acquire),
 * with flags of park.h: LW_WAIT_ATTACHED stays attached; LW_WAIT_INTERRUPTIBLE may return
 * LW_INTERRUPTED.
 * LW_OK (acquire), LW_TIMEOUT, LW_INTERRUPTED. Blocking; detaches. */
static inline LW_NODISCARD lw_status lw_sem_acquire_flags(lw_sem_t *s, int64_t timeout_ns,
                                                          unsigned flags)
{
    return LW_LIKELY(lw_sem_try_acquire(s)) ? LW_OK : lw_sem_acquire_slow_(s, timeout_ns, flags);
}

/* As lw_sem_acquire_flags, detaching. */
static inline LW_NODISCARD lw_status lw_sem_acquire_for(lw_sem_t *s, int64_t timeout_ns)
{
    return lw_sem_acquire_flags(s, timeout_ns, LW_WAIT_DEFAULT);
}

/* Takes one. Blocking; detaches from the host while it sleeps. Acquire. */
static inline void lw_sem_acquire(lw_sem_t *s)
{
    (void)!lw_sem_acquire_flags(s, -1, LW_WAIT_DEFAULT);
}

/* Adds n, unless the value would be more than `max`: for a semaphore that is bounded by what it
 * began with, whose users then notice a release too many. Wakes up to n that wait.
 *   LW_OK       done
 *   LW_INVALID  the value would be more than `max` or LW_SEM_MAX: nothing was changed
 * Lock-free but for the queue's lock when somebody waits; any attach state. Release. */
static inline LW_NODISCARD lw_status lw_sem_release_max(lw_sem_t *s, uint32_t n, uint32_t max)
{
    uint32_t word = lw_atomic_load_relaxed_u32(&s->word);
    max = max < LW_SEM_MAX ? max : LW_SEM_MAX;
    while (LW_LIKELY((word & LW_SEM_WAITED_) == 0)) {
        if (LW_UNLIKELY(n > max || word >> 1 > max - n)) {
            return LW_INVALID;
        }
        /* (2) release: pairs with (1). From here on the semaphore may be gone. */
        if (LW_LIKELY(lw_atomic_cas_release_u32(&s->word, &word, word + (n << 1)))) {
            return LW_OK;
        }
    }
    return lw_sem_release_slow_(s, n, max);
}

/* As lw_sem_release_max, bounded by LW_SEM_MAX alone. */
static inline LW_NODISCARD lw_status lw_sem_release(lw_sem_t *s, uint32_t n)
{
    return lw_sem_release_max(s, n, LW_SEM_MAX);
}

LW_EXTERN_C_END

#endif /* LATCHWORK_SEM_H */
