/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/event.h>

/* Waits are beside the event: a wake that strays there from a mutex could not be told from one that
 * a set has given. */

static bool lw_event_validate(void *arg)
{
    uint32_t word = 0;
    /* (4) acquire, for the one that fails because it is set: pairs with (2), (3) and (5). */
    return lw_atomic_cas_acquire_u32(&((lw_event_t *)arg)->word, &word, LW_EVENT_WAITED_) ||
           word == LW_EVENT_WAITED_;
}

static void lw_event_leave(void *arg, bool last)
{
    uint32_t word = LW_EVENT_WAITED_;
    if (last) {
        (void)lw_atomic_cas_relaxed_u32(&((lw_event_t *)arg)->word, &word, 0);
    }
}

LW_COLD lw_status lw_event_wait_slow_(lw_event_t *e, int64_t timeout_ns, unsigned flags)
{
    lw_status status;
    if (timeout_ns == 0) {
        return LW_TIMEOUT;
    }
    /* Who is woken does not look again: by now it may be reset, or gone. */
    status =
        lw_park(lw_park_beside_(e), lw_event_validate, lw_event_leave, e, timeout_ns, flags, NULL);
    return status == LW_AGAIN ? LW_OK : status;
}

static int lw_event_choose(void *arg, void *waiter)
{
    (void)arg;
    (void)waiter;
    return LW_UNPARK_TAKE_;
}

static uintptr_t lw_event_decide(void *arg, lw_unpark_result result)
{
    (void)result;
    /* (5) release, for who looks without the queue's lock: pairs with (1), (4) and (6). An exchange
     * and no store: another may have set it meanwhile, whose release goes on with this one. */
    (void)lw_atomic_exchange_release_u32(&((lw_event_t *)arg)->word, LW_EVENT_SET_);
    return 0;
}

LW_COLD void lw_event_set_slow_(lw_event_t *e, uint32_t word)
{
    while (word != LW_EVENT_WAITED_) {
        /* (3) release, of an event that is set already too: pairs with (1), (4) and (6). */
        if (lw_atomic_cas_release_u32(&e->word, &word, LW_EVENT_SET_)) {
            return;
        }
    }
    (void)lw_unpark_some_(lw_park_beside_(e), lw_event_choose, lw_event_decide, e);
}
