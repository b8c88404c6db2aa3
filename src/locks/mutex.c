/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/mutex.h>

#include "../platform/platform.h"

/* A waiter that is first in the queue is handed the mutex when it has waited as long, but not more
 * often than every so many nanoseconds in a queue: each time the mutex stands idle until the waiter
 * runs (bench/run.py --vary LW_MUTEX_PAUSE_NS=...). */
#ifndef LW_MUTEX_FAIR_NS
#define LW_MUTEX_FAIR_NS INT64_C(1000000)
#endif
#ifndef LW_MUTEX_PAUSE_NS
#define LW_MUTEX_PAUSE_NS INT64_C(1000000)
#endif

#define LW_MUTEX_HANDED 1 /* the token of who owns it when it wakes */

typedef struct lw_mutex_wait {
    lw_mutex_t *mutex;
    uintptr_t token;
    int64_t since_ns;
} lw_mutex_wait;

static bool lw_mutex_validate(void *arg)
{
    return lw_mutex_is_locked(((const lw_mutex_wait *)arg)->mutex);
}

/* By an unlock that is over. The waiter keeps the memory alive, as it waits. */
static int lw_mutex_grant(void *arg, int64_t *last_ns, uintptr_t *token)
{
    const lw_mutex_wait *w = (const lw_mutex_wait *)arg;
    int64_t now_ns = lw_now_();
    if (now_ns - w->since_ns < LW_MUTEX_FAIR_NS || now_ns - *last_ns < LW_MUTEX_PAUSE_NS) {
        return LW_GRANT_YES_;
    }
    /* On its behalf, so an acquire as (1); what comes before this call comes before its return from
     * the wait. If another was quicker, that one's unlock will find the waiter: docs/mutex.md. */
    if (!lw_mutex_take_(w->mutex)) {
        return LW_GRANT_STARVED_;
    }
    *last_ns = now_ns;
    *token = LW_MUTEX_HANDED;
    return LW_GRANT_YES_;
}

/* The thread ends while it attaches, and takes neither a wake nor the mutex with it. */
static void lw_mutex_lost(void *arg)
{
    const lw_mutex_wait *w = (const lw_mutex_wait *)arg;
    if (w->token == LW_MUTEX_HANDED) {
        (void)lw_mutex_tryunlock(w->mutex); /* somebody may have, on its behalf */
    } else {
        (void)lw_unpark_one(w->mutex, NULL, NULL);
    }
}

LW_COLD lw_status lw_mutex_lock_slow_(lw_mutex_t *m, int64_t timeout_ns, unsigned flags)
{
    int64_t deadline_ns;
    unsigned looks = 0;
    lw_mutex_wait w;
    lw_park_how_ how = {
        lw_mutex_validate, NULL, NULL, lw_mutex_grant, lw_mutex_lost, &w, 0, true, true};
    if (timeout_ns == 0) {
        return LW_TIMEOUT;
    }
    w.mutex = m;
    w.since_ns = 0;
    deadline_ns = lw_deadline_(timeout_ns);
    for (;;) {
        uint32_t word = lw_atomic_load_relaxed_u32(&m->word);
        lw_status status;
        bool is_free = (word & LW_MUTEX_LOCKED_) == 0;
        if (is_free && (lw_park_spun_(looks) || !lw_park_starved_(m))) {
            /* (3) acquire: pairs with the releases (2) and (5). */
            if (lw_atomic_cas_acquire_u32(&m->word, &word, LW_MUTEX_LOCKED_)) {
                return LW_OK;
            }
            continue;
        }
        if (lw_park_spin_(&looks, deadline_ns) || is_free) {
            continue;
        }
        w.since_ns = w.since_ns == 0 ? lw_now_() : w.since_ns;
        how.since_ns = w.since_ns;
        w.token = 0;
        status = lw_park_with_(m, &how, lw_left_(deadline_ns), flags, &w.token);
        if (status == LW_TIMEOUT || status == LW_INTERRUPTED || w.token == LW_MUTEX_HANDED) {
            return status;
        }
        looks = 0;
    }
}

/* ---- LW_DEBUG ---- */

static uint32_t lw_mutex_owner(void)
{
    return (uint32_t)(lw_thread_number_() * UINT64_C(0x9e3779b97f4a7c15) >> 32) & LW_MUTEX_OWNER_;
}

void lw_mutex_own_(lw_mutex_t *m)
{
    uint32_t word = lw_atomic_load_relaxed_u32(&m->word);
    /* Not if somebody has unlocked it already, on this thread's behalf (lw_mutex_tryunlock). */
    while (word == LW_MUTEX_LOCKED_ &&
           !lw_atomic_cas_relaxed_u32(&m->word, &word, word | lw_mutex_owner())) {
    }
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
