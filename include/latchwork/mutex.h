/* SPDX-License-Identifier: BSD-2-Clause */
/* A mutual-exclusion lock of four bytes. All-zero bytes are an unlocked mutex; nothing to destroy.
 *
 * The word:
 *   bit      set by                              cleared by
 *   LOCKED   a cas of a locker                   unlock
 *   PARKED   a locker about to sleep, while      unlock, when nobody else waits, or the last
 *            LOCKED is set                       waiter that gives up; both under the wait
 *                                                queue's lock
 *
 * Whoever is in the wait queue has PARKED set for it; the converse may fail, and costs one empty
 * look into the queue. docs/mutex.md has the argument.
 *
 * Not recursive, no owner. The memory may be freed by whoever locks next: unlock touches nothing of
 * the mutex after the release. A woken thread competes with newcomers (no hand-over). Everything a
 * thread did before unlock happens before what the next owner does after lock. */
#ifndef LATCHWORK_MUTEX_H
#define LATCHWORK_MUTEX_H

#include <latchwork/atomic.h>
#include <latchwork/park.h>
#include <latchwork/status.h>

LW_EXTERN_C_BEGIN

typedef struct lw_mutex {
    lw_atomic_u32 word;
} lw_mutex_t;

#define LW_MUTEX_INIT                                                                              \
    {                                                                                              \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

enum { LW_MUTEX_LOCKED_ = 1, LW_MUTEX_PARKED_ = 2 };

LW_API lw_status lw_mutex_lock_slow_(lw_mutex_t *m, int64_t timeout_ns, unsigned flags);
LW_API void lw_mutex_unlock_slow_(lw_mutex_t *m);

/* Sets the bytes of an unlocked mutex. Not needed for zeroed memory. */
static inline void lw_mutex_init(lw_mutex_t *m)
{
    lw_atomic_store_relaxed_u32(&m->word, 0);
}

/* Locks if that needs no wait. Lock-free, any attach state; acquire when true. */
static inline bool lw_mutex_trylock(lw_mutex_t *m)
{
    uint32_t word = 0;
    do {
        /* (1) acquire: pairs with the releases (2) and (4). */
        if (LW_LIKELY(lw_atomic_cas_acquire_u32(&m->word, &word, word | LW_MUTEX_LOCKED_))) {
            return true;
        }
    } while ((word & LW_MUTEX_LOCKED_) == 0);
    return false;
}

/* Locks. Blocking; detaches from the host while it sleeps. Acquire. */
static inline void lw_mutex_lock(lw_mutex_t *m)
{
    if (LW_UNLIKELY(!lw_mutex_trylock(m))) {
        (void)lw_mutex_lock_slow_(m, -1, LW_WAIT_DEFAULT);
    }
}

/* Locks within timeout_ns nanoseconds (negative: no limit; 0: as trylock).
 * LW_OK (acquire) or LW_TIMEOUT. Blocking; detaches. */
static inline LW_NODISCARD lw_status lw_mutex_lock_for(lw_mutex_t *m, int64_t timeout_ns)
{
    if (LW_LIKELY(lw_mutex_trylock(m))) {
        return LW_OK;
    }
    return lw_mutex_lock_slow_(m, timeout_ns, LW_WAIT_DEFAULT);
}

/* As lw_mutex_lock_for, with flags of park.h: LW_WAIT_ATTACHED stays attached;
 * LW_WAIT_INTERRUPTIBLE may return LW_INTERRUPTED. */
static inline LW_NODISCARD lw_status lw_mutex_lock_flags(lw_mutex_t *m, int64_t timeout_ns,
                                                         unsigned flags)
{
    if (LW_LIKELY(lw_mutex_trylock(m))) {
        return LW_OK;
    }
    return lw_mutex_lock_slow_(m, timeout_ns, flags);
}

/* Unlocks. The caller must hold the lock; unlocking one that is not locked ends the process with a
 * message. Lock-free but for the queue's lock when somebody waits; any attach state. Release. */
static inline void lw_mutex_unlock(lw_mutex_t *m)
{
    uint32_t word = LW_MUTEX_LOCKED_;
    /* (2) release: pairs with the acquires (1) and (3). */
    if (LW_UNLIKELY(!lw_atomic_cas_release_u32(&m->word, &word, 0))) {
        lw_mutex_unlock_slow_(m);
    }
}

/* Whether somebody holds it, at some moment during the call: for assertions and reports. Wait-free,
 * orders nothing. */
static inline bool lw_mutex_is_locked(const lw_mutex_t *m)
{
    return (lw_atomic_load_relaxed_u32(&m->word) & LW_MUTEX_LOCKED_) != 0;
}

LW_EXTERN_C_END

#endif /* LATCHWORK_MUTEX_H */
