/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/sem.h>

#include "../platform/platform.h"

LW_COLD void lw_sem_init_large_(void)
{
    lw_fatal_("lw_sem_init", "the value is larger than LW_SEM_MAX");
}

/* ---- release, where somebody may wait ---- */

typedef struct lw_sem_giving {
    lw_sem_t *sem;
    uint32_t n, max;
    uint32_t left; /* how many more to wake */
    lw_status status;
} lw_sem_giving;

static int lw_sem_choose(void *arg, void *waiter)
{
    lw_sem_giving *giving = (lw_sem_giving *)arg;
    (void)waiter;
    if (giving->left == 0) {
        return LW_UNPARK_STOP_;
    }
    giving->left--;
    return LW_UNPARK_TAKE_;
}

static uintptr_t lw_sem_decide(void *arg, lw_unpark_result result)
{
    lw_sem_giving *giving = (lw_sem_giving *)arg;
    lw_atomic_u32 *word = &giving->sem->word;
    uint32_t old = lw_atomic_load_relaxed_u32(word), value, waited;
    do {
        /* Acquirers may be taking from it, and where nobody waits any more, others add. */
        value = old >> 1;
        giving->status = LW_OK;
        if (giving->n > giving->max || value > giving->max - giving->n) {
            /* Who was woken for it finds nothing, and sleeps again. */
            giving->status = LW_INVALID;
        } else {
            value += giving->n;
        }
        waited = result.more ? LW_SEM_WAITED_ : 0;
        /* (3) release: pairs with (1). From here on the semaphore may be gone. */
    } while (!lw_atomic_cas_release_u32(word, &old, value << 1 | waited));
    return 0;
}

LW_COLD lw_status lw_sem_release_slow_(lw_sem_t *s, uint32_t n, uint32_t max)
{
    lw_sem_giving giving;
    giving.sem = s;
    giving.n = n;
    giving.max = max;
    giving.left = n;
    giving.status = LW_OK;
    (void)lw_unpark_some_(s, lw_sem_choose, lw_sem_decide, &giving);
    return giving.status;
}

/* ---- acquire ---- */

static bool lw_sem_validate(void *arg)
{
    uint32_t word = 0;
    return lw_atomic_cas_relaxed_u32(&((lw_sem_t *)arg)->word, &word, LW_SEM_WAITED_) ||
           word == LW_SEM_WAITED_;
}

static void lw_sem_leave(void *arg, bool last)
{
    if (last) {
        (void)lw_atomic_and_relaxed_u32(&((lw_sem_t *)arg)->word, ~LW_SEM_WAITED_);
    }
}

/* The thread ends while it attaches: another may take what it was woken for. Adds nothing. */
static void lw_sem_lost(void *arg)
{
    lw_sem_giving giving;
    giving.sem = (lw_sem_t *)arg;
    giving.n = 0;
    giving.max = LW_SEM_MAX;
    giving.left = 1;
    (void)lw_unpark_some_(arg, lw_sem_choose, lw_sem_decide, &giving);
}

LW_COLD lw_status lw_sem_acquire_slow_(lw_sem_t *s, int64_t timeout_ns, unsigned flags)
{
    lw_park_how_ how = {lw_sem_validate, lw_sem_leave, NULL, NULL, lw_sem_lost, s, 0, false, true};
    int64_t deadline_ns, left_ns = timeout_ns;
    if (timeout_ns == 0) {
        return LW_TIMEOUT;
    }
    how.since_ns = lw_now_();
    deadline_ns = lw_deadline_from_(how.since_ns, timeout_ns);
    for (;;) {
        lw_status status = lw_park_with_(s, &how, left_ns, flags, NULL);
        if (status == LW_TIMEOUT || status == LW_INTERRUPTED) {
            return status;
        }
        if (lw_sem_try_acquire(s)) {
            return LW_OK;
        }
        left_ns = lw_left_(deadline_ns);
        if (left_ns == 0) {
            return LW_TIMEOUT;
        }
    }
}
