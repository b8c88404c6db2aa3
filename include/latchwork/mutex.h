/* SPDX-License-Identifier: BSD-2-Clause */
/* A mutual-exclusion lock of four bytes. All-zero bytes are an unlocked mutex; nothing to destroy.
 *
 * The word:
 *   bits     name      set by                              cleared by
 *   0        LOCKED    a cas of a locker                   unlock, which stores 0
 *   16-31    OWNER     lockers, with LW_DEBUG              unlock
 *
 * Who waits is not in the word: the unlock is a plain store, and then looks into memory of the
 * library whether anybody is announced there (park.h). That a release need be no
 * read-modify-write although others may be about to wait is from the asymmetric fences of liburcu
 * and P1202. docs/mutex.md has the argument.
 *
 * Not recursive; any thread may unlock. The memory may be freed by whoever locks next: unlock
 * touches nothing of the mutex after the release. A woken thread competes with newcomers, until it
 * has waited for 1 ms: then it is handed the mutex, as in WTF::Lock and parking_lot. Everything a
 * thread did before unlock happens before what the next owner does after lock. In a forked child
 * the forking thread holds what it held; what others held stays locked, until lw_mutex_init. */
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

#define LW_MUTEX_LOCKED_ UINT32_C(1)
#define LW_MUTEX_OWNER_ UINT32_C(0xffff0000)

LW_API lw_status lw_mutex_lock_slow_(lw_mutex_t *m, int64_t timeout_ns, unsigned flags);
LW_API void lw_mutex_own_(lw_mutex_t *m);
LW_API void lw_mutex_check_(const lw_mutex_t *m);
LW_API void lw_mutex_assert_held_(const lw_mutex_t *m);

#if defined(LW_DEBUG)
#define LW_MUTEX_OWN_(m) lw_mutex_own_(m)
#define LW_MUTEX_CHECK_(m) lw_mutex_check_(m)
#else
#define LW_MUTEX_OWN_(m) ((void)0)
#define LW_MUTEX_CHECK_(m) ((void)0)
#endif

/* Sets the bytes of an unlocked mutex. Not needed for zeroed memory. */
static inline void lw_mutex_init(lw_mutex_t *m)
{
    lw_atomic_store_relaxed_u32(&m->word, 0);
}

/* Whether somebody holds it, at some moment during the call: for assertions and reports. Wait-free,
 * orders nothing. */
static inline bool lw_mutex_is_locked(const lw_mutex_t *m)
{
    return (lw_atomic_load_relaxed_u32(&m->word) & LW_MUTEX_LOCKED_) != 0;
}

static inline bool lw_mutex_take_(lw_mutex_t *m)
{
    uint32_t free_word = 0;
    /* (1) acquire: pairs with the releases (2) and (5). */
    return LW_LIKELY(lw_atomic_cas_acquire_u32(&m->word, &free_word, LW_MUTEX_LOCKED_));
}

/* Locks if that needs no wait. Wait-free, any attach state; acquire when true. */
static inline bool lw_mutex_trylock(lw_mutex_t *m)
{
    if (LW_UNLIKELY(!lw_mutex_take_(m))) {
        return false;
    }
    LW_MUTEX_OWN_(m);
    return true;
}

/* Locks within timeout_ns nanoseconds (negative: no limit; 0: as trylock), with flags of park.h:
 * LW_WAIT_ATTACHED stays attached; LW_WAIT_INTERRUPTIBLE may return LW_INTERRUPTED.
 * LW_OK (acquire), LW_TIMEOUT, LW_INTERRUPTED. Blocking; detaches. */
static inline LW_NODISCARD lw_status lw_mutex_lock_flags(lw_mutex_t *m, int64_t timeout_ns,
                                                         unsigned flags)
{
    lw_status status = LW_OK;
    if (LW_UNLIKELY(!lw_mutex_take_(m))) {
        status = lw_mutex_lock_slow_(m, timeout_ns, flags);
    }
    if (LW_LIKELY(status == LW_OK)) {
        LW_MUTEX_OWN_(m);
    }
    return status;
}

/* As lw_mutex_lock_flags, detaching. */
static inline LW_NODISCARD lw_status lw_mutex_lock_for(lw_mutex_t *m, int64_t timeout_ns)
{
    return lw_mutex_lock_flags(m, timeout_ns, LW_WAIT_DEFAULT);
}

/* Locks. Blocking; detaches from the host while it sleeps. Acquire. */
static inline void lw_mutex_lock(lw_mutex_t *m)
{
    (void)!lw_mutex_lock_flags(m, -1, LW_WAIT_DEFAULT);
}

/* The two halves of unlock, for who unlocks several; the fence lies between. */
static inline void lw_mutex_drop_(lw_mutex_t *m)
{
    LW_MUTEX_CHECK_(m);
    /* (2) release: pairs with the acquires (1) and (3). From here on the mutex may be gone. */
    lw_atomic_store_release_u32(&m->word, 0);
}
static inline void lw_mutex_wake_(const lw_mutex_t *m)
{
    if (lw_park_announced_(m)) {
        lw_park_notify_(m);
    }
}

/* Unlocks. The mutex must be locked: with LW_DEBUG, unlocking one that is not ends the process with
 * a message; without, that goes unnoticed. Lock-free but for the queue's lock when somebody waits;
 * any attach state. Release. */
static inline void lw_mutex_unlock(lw_mutex_t *m)
{
    lw_mutex_drop_(m);
    /* (4) The cheap half of the fence whose dear half is in lw_park_announce_. */
    lw_fence_light();
    lw_mutex_wake_(m);
}

/* Unlocks if it is locked, by whichever thread, and says whether: of several that call this at
 * once, as many succeed as have locked it. For locks like threading.Lock, which any thread may
 * unlock, and that lw_mutex_assert_held says nothing of; one locked operation more than
 * lw_mutex_unlock. Lock-free but for the queue's lock when somebody waits; any attach state.
 * Release when true. */
static inline bool lw_mutex_tryunlock(lw_mutex_t *m)
{
    uint32_t word = lw_atomic_load_relaxed_u32(&m->word);
    /* (5) release: as (2). */
    do {
        if (LW_UNLIKELY((word & LW_MUTEX_LOCKED_) == 0)) {
            return false;
        }
    } while (LW_UNLIKELY(!lw_atomic_cas_release_u32(&m->word, &word, 0)));
    lw_fence_light(); /* as (4) */
    lw_mutex_wake_(m);
    return true;
}

/* With LW_DEBUG: ends the process with a message unless the calling thread has locked it. The owner
 * is known by 16 bits, and only where it locked with LW_DEBUG: a wrong thread may go unnoticed.
 * Without: nothing. */
static inline void lw_mutex_assert_held(const lw_mutex_t *m)
{
#if defined(LW_DEBUG)
    lw_mutex_assert_held_(m);
#else
    (void)m;
#endif
}

LW_EXTERN_C_END

#endif /* LATCHWORK_MUTEX_H */
