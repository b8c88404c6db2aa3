/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/latch.h>

#include "../platform/platform.h"

/* Waits are beside the latch: who is woken does not look again, so that no other wake may come. */

LW_COLD void lw_latch_init_large_(void)
{
    lw_fatal_("lw_latch_init", "the count is larger than LW_LATCH_MAX");
}

static LW_NORETURN void lw_latch_below_zero(void)
{
    lw_fatal_("lw_latch_count_down", "counted down below zero");
}

typedef struct lw_latch_opening {
    lw_latch_t *latch;
    uint32_t n;
} lw_latch_opening;

static int lw_latch_choose(void *arg, void *waiter)
{
    (void)arg;
    (void)waiter;
    return LW_UNPARK_TAKE_;
}

static uintptr_t lw_latch_decide(void *arg, lw_unpark_result result)
{
    const lw_latch_opening *opening = (const lw_latch_opening *)arg;
    (void)result;
    /* (5) release: pairs with (1) and (3). Acquire: pairs with (2) and (4), for the waiters that
     * are woken and look no more, and for the thread that arrived last. */
    if (lw_atomic_exchange_acq_rel_u32(&opening->latch->word, 0) >> 1 != opening->n) {
        lw_latch_below_zero();
    }
    return 0;
}

static void lw_latch_open(lw_latch_t *l, uint32_t n)
{
    lw_latch_opening opening;
    opening.latch = l;
    opening.n = n;
    (void)lw_unpark_some_(lw_park_beside_(l), lw_latch_choose, lw_latch_decide, &opening);
}

LW_COLD void lw_latch_count_down_slow_(lw_latch_t *l, uint32_t n)
{
    /* The count only falls: if it is n, this opens the latch. */
    if (n > lw_latch_count(l)) {
        lw_latch_below_zero();
    }
    lw_latch_open(l, n);
}

static bool lw_latch_validate(void *arg)
{
    lw_latch_t *l = (lw_latch_t *)arg;
    /* (3) acquire, here and in the cas that fails: pairs with (2) and (5), if it is open. */
    uint32_t word = lw_atomic_load_acquire_u32(&l->word);
    while (word >= LW_LATCH_ONE_) {
        if ((word & LW_LATCH_WAITED_) != 0 ||
            lw_atomic_cas_acquire_u32(&l->word, &word, word | LW_LATCH_WAITED_)) {
            return true;
        }
    }
    return false;
}

static void lw_latch_leave(void *arg, bool last)
{
    if (last) {
        (void)lw_atomic_and_relaxed_u32(&((lw_latch_t *)arg)->word, ~LW_LATCH_WAITED_);
    }
}

LW_COLD lw_status lw_latch_wait_slow_(lw_latch_t *l, int64_t timeout_ns, unsigned flags)
{
    lw_status status;
    if (timeout_ns == 0) {
        return LW_TIMEOUT;
    }
    status =
        lw_park(lw_park_beside_(l), lw_latch_validate, lw_latch_leave, l, timeout_ns, flags, NULL);
    return status == LW_AGAIN ? LW_OK : status;
}

/* Arrives, unless it is the last to do so. */
static bool lw_latch_validate_arrival(void *arg)
{
    lw_latch_t *l = (lw_latch_t *)arg;
    uint32_t word = lw_atomic_load_relaxed_u32(&l->word);
    while (word >> 1 > 1) {
        /* (4) release: pairs with (1), (3) and (5). */
        if (lw_atomic_cas_release_u32(&l->word, &word, (word - LW_LATCH_ONE_) | LW_LATCH_WAITED_)) {
            return true;
        }
    }
    return false;
}

lw_status lw_latch_arrive_(lw_latch_t *l, int64_t timeout_ns, unsigned flags)
{
    lw_status status = lw_park(lw_park_beside_(l), lw_latch_validate_arrival, lw_latch_leave, l,
                               timeout_ns, flags, NULL);
    if (status == LW_AGAIN) {
        lw_latch_open(l, 1);
        status = LW_OK;
    }
    return status;
}
