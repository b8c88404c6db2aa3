/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/barrier.h>

#include "../base/domain_internal.h"

#include <string.h>

/* The fields of a barrier are written, and where it matters read, under the lock of the wait queue
 * beside it: hence all of them relaxed. */

/* The tokens of wakes. */
enum { LW_BARRIER_PASS_ = 1, LW_BARRIER_FAIL_, LW_BARRIER_RETRY_ };

typedef struct lw_barrier_party {
    lw_barrier_t *barrier;
    uint32_t round; /* in which it has arrived, or tried to */
    uint32_t state; /* why it did not sleep */
    uint32_t index;
    bool detaches;
    void *host; /* what lw_host_detach_ returned */
    bool held;  /* critical sections are suspended */
    /* Of the last to arrive: */
    lw_barrier_action_fn action;
    void *action_arg;
    uint32_t others; /* given their index so far */
    bool last;       /* it is */
    bool good;       /* what the action said; then how the round ended */
    lw_unpark_taken_ taken;
} lw_barrier_party;

static uint32_t lw_barrier_get(const lw_atomic_u32 *field)
{
    return lw_atomic_load_relaxed_u32(field);
}

static void lw_barrier_next(lw_barrier_t *b, uint32_t state)
{
    lw_atomic_store_relaxed_u32(&b->state, state);
    lw_atomic_store_relaxed_u32(&b->arrived, 0);
    lw_atomic_store_relaxed_u32(&b->round, lw_barrier_get(&b->round) + 1);
}

/* Under the queue's lock: whether the round that the party came to is filling still. */
static bool lw_barrier_filling(const lw_barrier_party *p)
{
    return lw_barrier_get(&p->barrier->state) == LW_BARRIER_FILLING_ &&
           lw_barrier_get(&p->barrier->round) == p->round;
}

static bool lw_barrier_has_action(const lw_barrier_t *b)
{
    uint32_t state = lw_barrier_get(&b->state);
    return state != LW_BARRIER_FILLING_ && state != LW_BARRIER_BROKEN_;
}

static bool lw_barrier_has_door(uint32_t state)
{
    return state == LW_BARRIER_ACTING_ || state == LW_BARRIER_RESETTING_;
}

void lw_barrier_init(lw_barrier_t *b, uint32_t parties)
{
    if (parties == 0) {
        lw_fatal_("lw_barrier_init", "a barrier for no threads");
    }
    b->parties = parties;
    lw_atomic_store_relaxed_u32(&b->state, LW_BARRIER_FILLING_);
    lw_atomic_store_relaxed_u32(&b->arrived, 0);
    lw_atomic_store_relaxed_u32(&b->round, 0);
}

/* ---- a wait: the thread detaches by itself, so that it can go on with the barrier before it
 * attaches again. Attaching may end the thread, and may wait for one that waits here. ---- */

static bool lw_barrier_one_missing(const lw_barrier_t *b)
{
    return lw_barrier_get(&b->arrived) + 1 == b->parties;
}

static bool lw_barrier_validate(void *arg)
{
    lw_barrier_party *p = (lw_barrier_party *)arg;
    lw_barrier_t *b = p->barrier;
    p->round = lw_barrier_get(&b->round);
    p->state = lw_barrier_get(&b->state);
    if (p->state != LW_BARRIER_FILLING_ || lw_barrier_one_missing(b)) {
        return false;
    }
    lw_atomic_store_relaxed_u32(&b->arrived, lw_barrier_get(&b->arrived) + 1);
    return true;
}

static bool lw_barrier_validate_door(void *arg)
{
    return lw_barrier_has_door(lw_barrier_get(&((const lw_barrier_party *)arg)->barrier->state));
}

static void lw_barrier_queued(void *arg)
{
    lw_barrier_party *p = (lw_barrier_party *)arg;
    p->held |= lw_held_suspend_(); /* before park.c does, which would resume too early */
    p->host = p->detaches ? lw_host_detach_() : NULL;
}

/* It gives up, and so has not arrived. */
static void lw_barrier_leave(void *arg, bool last)
{
    lw_barrier_party *p = (lw_barrier_party *)arg;
    (void)last;
    if (lw_barrier_filling(p)) {
        lw_atomic_store_relaxed_u32(&p->barrier->arrived, lw_barrier_get(&p->barrier->arrived) - 1);
    }
}

static void lw_barrier_attach(lw_barrier_party *p)
{
    void *host = p->host;
    p->host = NULL;
    if (host != NULL) {
        lw_host_attach_(host);
    }
}

/* ---- breaking ---- */

static int lw_barrier_choose_all(void *arg, void *waiter)
{
    (void)arg;
    (void)waiter;
    return LW_UNPARK_TAKE_;
}

static int lw_barrier_choose_missed(void *arg, void *waiter)
{
    (void)waiter;
    return lw_barrier_filling((const lw_barrier_party *)arg) ? LW_UNPARK_TAKE_ : LW_UNPARK_STOP_;
}

/* A party that has timed out breaks the round that it had arrived in, if that is not over. */
static uintptr_t lw_barrier_decide_missed(void *arg, lw_unpark_result result)
{
    const lw_barrier_party *p = (const lw_barrier_party *)arg;
    (void)result;
    if (lw_barrier_filling(p)) {
        lw_atomic_store_relaxed_u32(&p->barrier->state, LW_BARRIER_BROKEN_);
    }
    return LW_BARRIER_FAIL_;
}

static uintptr_t lw_barrier_decide_abort(void *arg, lw_unpark_result result)
{
    lw_barrier_t *b = (lw_barrier_t *)arg;
    (void)result;
    lw_atomic_store_relaxed_u32(&b->state, lw_barrier_has_action(b) ? LW_BARRIER_BREAKING_
                                                                    : LW_BARRIER_BROKEN_);
    return LW_BARRIER_FAIL_;
}

void lw_barrier_abort(lw_barrier_t *b)
{
    (void)lw_unpark_some_(lw_park_beside_(b), lw_barrier_choose_all, lw_barrier_decide_abort, b);
}

static uintptr_t lw_barrier_decide_reset(void *arg, lw_unpark_result result)
{
    lw_barrier_t *b = (lw_barrier_t *)arg;
    (void)result;
    if (lw_barrier_has_action(b)) {
        lw_atomic_store_relaxed_u32(&b->state, LW_BARRIER_RESETTING_);
    } else {
        lw_barrier_next(b, LW_BARRIER_FILLING_);
    }
    return LW_BARRIER_FAIL_;
}

/* Who is at the door is woken as well, and goes back to it. */
void lw_barrier_reset(lw_barrier_t *b)
{
    (void)lw_unpark_some_(lw_park_beside_(b), lw_barrier_choose_all, lw_barrier_decide_reset, b);
}

/* ---- the last to arrive ---- */

/* While the barrier is filling, all that sleep beside it have arrived in this round. */
static int lw_barrier_choose_others(void *arg, void *waiter)
{
    lw_barrier_party *p = (lw_barrier_party *)arg;
    if (!lw_barrier_filling(p) || !lw_barrier_one_missing(p->barrier)) {
        return LW_UNPARK_STOP_;
    }
    ((lw_barrier_party *)waiter)->index = p->others++;
    return LW_UNPARK_TAKE_;
}

static uintptr_t lw_barrier_decide_last(void *arg, lw_unpark_result result)
{
    lw_barrier_party *p = (lw_barrier_party *)arg;
    lw_barrier_t *b = p->barrier;
    (void)result;
    p->last = lw_barrier_filling(p) && lw_barrier_one_missing(b);
    if (p->last && p->action != NULL) {
        lw_atomic_store_relaxed_u32(&b->arrived, b->parties);
        lw_atomic_store_relaxed_u32(&b->state, LW_BARRIER_ACTING_);
    } else if (p->last) {
        lw_barrier_next(b, LW_BARRIER_FILLING_);
    }
    return 0;
}

static uintptr_t lw_barrier_decide_acted(void *arg, lw_unpark_result result)
{
    lw_barrier_party *p = (lw_barrier_party *)arg;
    lw_barrier_t *b = p->barrier;
    uint32_t state = lw_barrier_get(&b->state);
    (void)result;
    p->good = p->good && state == LW_BARRIER_ACTING_;
    lw_barrier_next(b, p->good || state == LW_BARRIER_RESETTING_ ? LW_BARRIER_FILLING_
                                                                 : LW_BARRIER_BROKEN_);
    return LW_BARRIER_RETRY_;
}

static void lw_barrier_acted(void *arg)
{
    lw_barrier_party *p = (lw_barrier_party *)arg;
    /* While the action runs, those who sleep beside the barrier are at the door. */
    (void)lw_unpark_some_(lw_park_beside_(p->barrier), lw_barrier_choose_all,
                          lw_barrier_decide_acted, p);
    /* From the last of these wakes on the barrier may be gone. */
    lw_unpark_wake_(p->taken, p->good ? LW_BARRIER_PASS_ : LW_BARRIER_FAIL_);
}

static void lw_barrier_act(void *arg)
{
    lw_barrier_party *p = (lw_barrier_party *)arg;
    p->good = p->action(p->action_arg);
}

/* Ends the round. LW_AGAIN: others were quicker to arrive, or it is broken by now. */
static lw_status lw_barrier_trip(lw_barrier_party *p)
{
    p->others = 0;
    p->taken = lw_unpark_take_(lw_park_beside_(p->barrier), lw_barrier_choose_others,
                               lw_barrier_decide_last, p);
    if (!p->last) {
        return LW_AGAIN;
    }
    p->index = p->others;
    if (p->action == NULL) {
        /* The barrier is in its next round already, or gone. */
        lw_unpark_wake_(p->taken, LW_BARRIER_PASS_);
        return LW_OK;
    }
    lw_guard_(lw_barrier_act, p, lw_barrier_acted, p);
    lw_barrier_acted(p);
    return p->good ? LW_OK : LW_BROKEN;
}

/* LW_AGAIN: nothing has come of it yet. */
static lw_status lw_barrier_try(lw_barrier_party *p, int64_t timeout_ns, unsigned flags)
{
    const void *address = lw_park_beside_(p->barrier);
    lw_park_how_ inside = {
        lw_barrier_validate, lw_barrier_leave, lw_barrier_queued, NULL, NULL, p, 0, false, false};
    lw_park_how_ door = {
        lw_barrier_validate_door, NULL, lw_barrier_queued, NULL, NULL, p, 0, false, false};
    uintptr_t token = 0;
    lw_status status = lw_park_with_(address, &inside, timeout_ns, flags, &token);
    switch (status) {
    case LW_OK:
        return token == LW_BARRIER_PASS_ ? LW_OK : LW_BROKEN;
    case LW_AGAIN:
        break;
    case LW_TIMEOUT:
        (void)lw_unpark_some_(address, lw_barrier_choose_missed, lw_barrier_decide_missed, p);
        return LW_TIMEOUT;
    default:
        return status;
    }
    if (p->state == LW_BARRIER_FILLING_) {
        return lw_barrier_trip(p);
    }
    if (!lw_barrier_has_door(p->state)) {
        return LW_BROKEN;
    }
    status = lw_park_with_(address, &door, -1, flags, NULL);
    return status == LW_INTERRUPTED ? LW_INTERRUPTED : LW_AGAIN;
}

lw_status lw_barrier_wait_then(lw_barrier_t *b, lw_barrier_action_fn action, void *arg,
                               int64_t timeout_ns, unsigned flags, uint32_t *index)
{
    lw_barrier_party p;
    lw_status status;
    if (b->parties == 0) {
        lw_fatal_("lw_barrier_wait", "the barrier is not initialised");
    }
    memset(&p, 0, sizeof p);
    p.barrier = b;
    p.detaches = (flags & LW_WAIT_ATTACHED) == 0;
    p.action = action;
    p.action_arg = arg;
    timeout_ns = timeout_ns == 0 ? 1 : timeout_ns; /* it does arrive, and then gives up */
    do {
        status = lw_barrier_try(&p, timeout_ns, flags | LW_WAIT_ATTACHED);
        lw_barrier_attach(&p);
        if (p.held) {
            p.held = false;
            (void)lw_held_resume_(-1, flags & LW_WAIT_ATTACHED);
        }
    } while (status == LW_AGAIN);
    if (status == LW_OK && index != NULL) {
        *index = p.index;
    }
    return status;
}
