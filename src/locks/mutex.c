/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/mutex.h>

#include "../platform/platform.h"

/* Looks at a held lock this often before it sleeps (bench/run.py --vary LW_MUTEX_SPINS=...). On one
 * processor it would be waste, but so short a one that asking is not worth it. */
#ifndef LW_MUTEX_SPINS
#define LW_MUTEX_SPINS 40
#endif

static bool lw_mutex_validate(void *arg)
{
    const lw_mutex_t *m = (const lw_mutex_t *)arg;
    return lw_atomic_load_relaxed_u32(&m->word) == (LW_MUTEX_LOCKED_ | LW_MUTEX_PARKED_);
}

static void lw_mutex_leave(void *arg, bool last)
{
    lw_mutex_t *m = (lw_mutex_t *)arg;
    if (last) {
        /* The queue's lock is held: no unlock is between its look at the queue and its store
         * (4). */
        (void)lw_atomic_and_relaxed_u32(&m->word, ~(uint32_t)LW_MUTEX_PARKED_);
    }
}

LW_COLD lw_status lw_mutex_lock_slow_(lw_mutex_t *m, int64_t timeout_ns, unsigned flags)
{
    int64_t deadline_ns = -1;
    unsigned spins = 0;
    if (timeout_ns == 0) {
        return LW_TIMEOUT;
    }
    if (timeout_ns > 0) {
        int64_t now_ns = lw_now_();
        deadline_ns = timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns;
    }
    for (;;) {
        uint32_t word = lw_atomic_load_relaxed_u32(&m->word);
        if ((word & LW_MUTEX_LOCKED_) == 0) {
            /* (3) acquire: pairs with the releases (2) and (4). PARKED stays set for those who
             * still wait. */
            if (lw_atomic_cas_acquire_u32(&m->word, &word, word | LW_MUTEX_LOCKED_)) {
                return LW_OK;
            }
            continue;
        }
        if ((word & LW_MUTEX_PARKED_) == 0) {
            if (spins < LW_MUTEX_SPINS) {
                spins++;
                lw_cpu_relax();
                continue;
            }
            if (!lw_atomic_cas_relaxed_u32(&m->word, &word, word | LW_MUTEX_PARKED_)) {
                continue;
            }
        }
        {
            int64_t left_ns = -1;
            lw_status status;
            if (deadline_ns >= 0) {
                left_ns = deadline_ns - lw_now_();
                if (left_ns <= 0) {
                    return LW_TIMEOUT;
                }
            }
            status = lw_park(m, lw_mutex_validate, lw_mutex_leave, m, left_ns, flags, NULL);
            if (status == LW_TIMEOUT || status == LW_INTERRUPTED) {
                return status;
            }
            spins = 0;
        }
    }
}

static uintptr_t lw_mutex_decide(void *arg, lw_unpark_result result)
{
    lw_mutex_t *m = (lw_mutex_t *)arg;
    /* (4) release: pairs with the acquires (1) and (3). The queue's lock is held and LOCKED is set,
     * so the only change that another thread can make is to set PARKED, and it then fails to queue
     * itself: its validate sees this store. After it the mutex may be gone: only the waiter's own
     * memory is touched. */
    lw_atomic_store_release_u32(&m->word, result.more ? LW_MUTEX_PARKED_ : 0);
    return 0;
}

LW_COLD void lw_mutex_unlock_slow_(lw_mutex_t *m)
{
    if (!lw_mutex_is_locked(m)) {
        lw_fatal_("lw_mutex_unlock", "the mutex is not locked");
    }
    (void)lw_unpark_one(m, lw_mutex_decide, m);
}
