/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/mutex.h>

#include "../platform/platform.h"

/* Looks at a held lock this often before it sleeps (bench/run.py --vary LW_MUTEX_SPINS=...). On one
 * processor it would be waste, but so short a one that asking is not worth it. */
#ifndef LW_MUTEX_SPINS
#define LW_MUTEX_SPINS 40
#endif

typedef struct lw_mutex_wait {
    lw_mutex_t *mutex;
    uint32_t ticket; /* of lw_park_announce_; 0: not announced */
} lw_mutex_wait;

static bool lw_mutex_validate(void *arg)
{
    return lw_mutex_is_locked(((const lw_mutex_wait *)arg)->mutex);
}

/* The thread ends while it attaches, and takes no wake with it. */
static void lw_mutex_lost(void *arg)
{
    const lw_mutex_wait *w = (const lw_mutex_wait *)arg;
    lw_park_retract_(w->mutex, w->ticket);
    (void)lw_unpark_one(w->mutex, NULL, NULL);
}

LW_COLD lw_status lw_mutex_lock_slow_(lw_mutex_t *m, int64_t timeout_ns, unsigned flags)
{
    lw_status status = LW_OK;
    int64_t deadline_ns = -1;
    unsigned spins = 0;
    lw_mutex_wait w;
    lw_park_how_ how = {lw_mutex_validate, NULL, NULL, NULL, lw_mutex_lost, &w, 0};
    w.mutex = m;
    w.ticket = 0;
    if (timeout_ns == 0) {
        return LW_TIMEOUT;
    }
    if (timeout_ns > 0) {
        int64_t now_ns = lw_now_();
        deadline_ns = timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns;
    }
    for (;;) {
        int64_t left_ns = -1;
        uint32_t word = lw_atomic_load_relaxed_u32(&m->word);
        if ((word & LW_MUTEX_LOCKED_) == 0) {
            /* (3) acquire: pairs with the release (2). */
            if (lw_atomic_cas_acquire_u32(&m->word, &word, LW_MUTEX_LOCKED_)) {
                break;
            }
            continue;
        }
        if (spins < LW_MUTEX_SPINS) {
            spins++;
            lw_cpu_relax();
            continue;
        }
        if (!lw_park_ticket_holds_(w.ticket)) {
            w.ticket = lw_park_announce_(m);
        }
        if (deadline_ns >= 0) {
            left_ns = deadline_ns - lw_now_();
            if (left_ns <= 0) {
                status = LW_TIMEOUT;
                break;
            }
        }
        status = lw_park_with_(m, &how, left_ns, flags, NULL);
        if (status == LW_TIMEOUT || status == LW_INTERRUPTED) {
            break;
        }
        status = LW_OK;
        spins = 0;
    }
    lw_park_retract_(m, w.ticket);
    return status;
}

/* ---- LW_DEBUG ---- */

static uint32_t lw_mutex_owner(void)
{
    return (uint32_t)(lw_thread_number_() * UINT64_C(0x9e3779b97f4a7c15) >> 32) & LW_MUTEX_OWNER_;
}

void lw_mutex_own_(lw_mutex_t *m)
{
    (void)lw_atomic_or_relaxed_u32(&m->word, lw_mutex_owner());
}

void lw_mutex_check_(const lw_mutex_t *m)
{
    if (!lw_mutex_is_locked(m)) {
        lw_fatal_("lw_mutex_unlock", "the mutex is not locked");
    }
}

void lw_mutex_assert_held_(const lw_mutex_t *m)
{
    uint32_t word = lw_atomic_load_relaxed_u32(&m->word);
    if ((word & LW_MUTEX_LOCKED_) == 0) {
        lw_fatal_("lw_mutex_assert_held", "the mutex is not locked");
    }
    if ((word & LW_MUTEX_OWNER_) != 0 && (word & LW_MUTEX_OWNER_) != lw_mutex_owner()) {
        lw_fatal_("lw_mutex_assert_held", "another thread has locked the mutex");
    }
}
