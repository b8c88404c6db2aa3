/* SPDX-License-Identifier: BSD-2-Clause */
#include "domain_internal.h"

/* After as many releases in a queue that took the slow way and found nobody announced, releasers
 * take the quick way again (bench/run.py --vary LW_PARK_QUIET=...). */
#ifndef LW_PARK_QUIET
#define LW_PARK_QUIET 16384
#endif
#ifndef LW_PARK_SAMPLE
#define LW_PARK_SAMPLE 64 /* one of so many is counted, so that the others write nothing shared */
#endif

static lw_park_queue *lw_park_queue_of(lw_domain *d, const void *address)
{
    return &d->park_queues[lw_park_index_(address)];
}

static void lw_park_flags_init(lw_domain *d)
{
    unsigned i;
    for (i = 0; i < LW_PARK_QUEUES; i++) {
        /* Without membarrier every release takes the slow way, where the fence is. */
        lw_atomic_store_relaxed_u32(&d->park_flags[i], d->has_membarrier ? 0 : LW_PARK_FENCED_);
    }
}

void lw_park_init_(lw_domain *d)
{
    unsigned i;
    lw_park_flags_init(d);
    for (i = 0; i < LW_PARK_QUEUES; i++) {
        lw_rawlock_init_(&d->park_queues[i].lock);
    }
}

void lw_park_forked_(lw_domain *d)
{
    unsigned i;
    for (i = 0; i < LW_PARK_QUEUES; i++) {
        lw_park_queue *q = &d->park_queues[i];
        /* The waiters were threads of the parent, and so was whoever held the lock. */
        (void)lw_rawlock_forked_(&q->lock);
        LW_PLAIN_SET(q->first, NULL);
        LW_PLAIN_SET(q->last, NULL);
    }
    lw_park_flags_init(d);
    (void)lw_atomic_add_relaxed_u32(&d->forks, 1);
}

/* ---- announcements ---- */

static uint32_t lw_park_ticket(const lw_domain *d)
{
    return lw_atomic_load_relaxed_u32(&d->forks) | 0x80000000U;
}

uint32_t lw_park_announce_(const void *address)
{
    lw_domain *d = lw_domain_get();
    lw_atomic_u32 *flags = &d->park_flags[lw_park_index_(address)];
    uint32_t ticket = lw_park_ticket(d); /* before: void in the child if a handler forks here */
    if ((lw_atomic_add_relaxed_u32(flags, 1) & LW_PARK_FENCED_) != 0) {
        /* (3) Between the announcement and the look of `validate`. Releasers have a fence between
         * their store and their look (4): one of the two looks sees the other's write. */
        lw_fence_seq_cst();
        return ticket;
    }
    /* (2) The dear half; the cheap one is the releasers' lw_fence_light(). A releaser that has
     * looked by now has stored before, and that store is seen from here on; one that has not will
     * see the announcement. */
    lw_membarrier_();
    lw_atomic_store_relaxed_u32(&lw_park_queue_of(d, address)->quiet, 0);
    /* After the barrier: whoever sees the bit, and then passes his own fence (3), sees the stores
     * that the barrier has shown. */
    (void)lw_atomic_or_relaxed_u32(flags, LW_PARK_FENCED_);
    return ticket;
}

bool lw_park_ticket_holds_(uint32_t ticket)
{
    return ticket != 0 && ticket == lw_park_ticket(lw_domain_get());
}

void lw_park_retract_(const void *address, uint32_t ticket)
{
    if (lw_park_ticket_holds_(ticket)) {
        (void)lw_atomic_sub_relaxed_u32(&lw_domain_get()->park_flags[lw_park_index_(address)], 1);
    }
}

/* Nobody is announced: some day the releasers need no fence any more. */
static void lw_park_count_quiet(lw_domain *d, const void *address, lw_atomic_u32 *flags)
{
    uint32_t fenced = LW_PARK_FENCED_;
    if (++LW_TLS_SLOT_()->park_looks % LW_PARK_SAMPLE != 0 || !d->has_membarrier ||
        lw_atomic_add_relaxed_u32(&lw_park_queue_of(d, address)->quiet, 1) + 1 <
            LW_PARK_QUIET / LW_PARK_SAMPLE) {
        return;
    }
    /* Fails if somebody announces himself; who comes later does not find the bit. */
    (void)lw_atomic_cas_relaxed_u32(flags, &fenced, 0);
}

LW_COLD void lw_park_notify_(const void *address)
{
    lw_domain *d;
    lw_atomic_u32 *flags;
    uint32_t word;
    /* (4) The caller's store before, the looks after: partner of (3). */
    lw_fence_seq_cst();
    d = lw_domain_known_();
    if (d == NULL) {
        /* Who waits has made one before. Some day it is cheaper to have one: not at once, so that
         * locks that a program's start takes do not decide which (lw_domain_adopt). */
        if (++LW_TLS_SLOT_()->park_looks >= LW_PARK_SAMPLE) {
            (void)lw_domain_get();
        }
        return;
    }
    flags = &d->park_flags[lw_park_index_(address)];
    word = lw_atomic_load_relaxed_u32(flags);
    if ((word & ~(uint32_t)LW_PARK_FENCED_) != 0) {
        (void)lw_unpark_one(address, NULL, NULL);
    } else if (word != 0) {
        lw_park_count_quiet(d, address, flags);
    }
}

/* ---- queues ---- */

/* Takes the first waiter on `address` out of the queue, or `only` if that is given. Returns it or
 * NULL; *more says whether another waits on the address. Under the queue's lock. */
static lw_waiter *lw_park_take(lw_park_queue *q, const void *address, lw_waiter *only, bool *more)
{
    lw_waiter *before = NULL, *found = NULL;
    lw_waiter *w = LW_PLAIN_GET(q->first);
    *more = false;
    while (w != NULL) {
        lw_waiter *next = LW_PLAIN_GET(w->next);
        if (LW_PLAIN_GET(w->address) == address) {
            if (found == NULL && (only == NULL || only == w)) {
                found = w;
                if (before == NULL) {
                    LW_PLAIN_SET(q->first, next);
                } else {
                    LW_PLAIN_SET(before->next, next);
                }
                if (next == NULL) {
                    LW_PLAIN_SET(q->last, before);
                }
                w = next;
                continue;
            }
            *more = true;
            if (found != NULL) {
                break;
            }
        }
        before = w;
        w = next;
    }
    if (found != NULL) {
        LW_PLAIN_SET(found->queued, false);
    }
    return found;
}

lw_status lw_park(const void *address, lw_park_validate_fn validate, lw_park_leave_fn leave,
                  void *arg, int64_t timeout_ns, unsigned flags, uintptr_t *token)
{
    return lw_park_or_lose_(address, validate, leave, NULL, arg, timeout_ns, flags, token);
}

lw_status lw_park_or_lose_(const void *address, lw_park_validate_fn validate,
                           lw_park_leave_fn leave, void (*lost)(void *arg), void *arg,
                           int64_t timeout_ns, unsigned flags, uintptr_t *token)
{
    lw_domain *d = lw_domain_get();
    lw_park_queue *q = lw_park_queue_of(d, address);
    int64_t deadline_ns = -1;
    int64_t now_ns = lw_now_();
    lw_status status;
    void *host = NULL;
    bool more;
    lw_waiter w;

    if (timeout_ns >= 0) {
        deadline_ns = timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns;
    }
    LW_PLAIN_SET(w.next, NULL);
    LW_PLAIN_SET(w.address, address);
    LW_PLAIN_SET(w.queued, true);
    LW_PLAIN_SET(w.token, 0);
    LW_PLAIN_SET(w.since_ns, now_ns);

    lw_rawlock_lock_(&q->lock);
    /* The look under the lock: a waker changes the object first and takes this lock after, so it
     * either finds this waiter in the queue or has made `validate` say no. */
    if (!validate(arg)) {
        lw_rawlock_unlock_(&q->lock);
        return LW_AGAIN;
    }
    if (timeout_ns == 0) {
        lw_rawlock_unlock_(&q->lock);
        return LW_TIMEOUT;
    }
    lw_parker_prepare_(&w.parker);
    if (LW_PLAIN_GET(q->last) == NULL) {
        LW_PLAIN_SET(q->first, &w);
    } else {
        LW_PLAIN_SET(LW_PLAIN_GET(q->last)->next, &w);
    }
    LW_PLAIN_SET(q->last, &w);
    lw_rawlock_unlock_(&q->lock);

    if ((flags & LW_WAIT_ATTACHED) == 0) {
        host = lw_block_begin();
    }
    status = lw_parker_wait_(&w.parker, deadline_ns, (flags & LW_WAIT_INTERRUPTIBLE) != 0);
    if (status != LW_OK) {
        lw_rawlock_lock_(&q->lock);
        if (LW_PLAIN_GET(w.queued)) {
            (void)lw_park_take(q, address, &w, &more);
            if (leave != NULL) {
                leave(arg, !more);
            }
            lw_rawlock_unlock_(&q->lock);
        } else {
            /* A waker took this waiter out: its wake is on the way and must not be lost. */
            lw_rawlock_unlock_(&q->lock);
            status = lw_parker_wait_(&w.parker, -1, false);
        }
    }
    lw_parker_finish_(&w.parker);
    if (token != NULL) {
        *token = LW_PLAIN_GET(w.token);
    }
    /* Last, for it may end the thread: nothing points to this stack any more. */
    if (host != NULL && lost != NULL) {
        lw_guard_(lw_block_end, host, lost, arg);
    } else if (host != NULL) {
        lw_block_end(host);
    }
    return status;
}

lw_unpark_result lw_unpark_one(const void *address, lw_unpark_decide_fn decide, void *arg)
{
    lw_park_queue *q = lw_park_queue_of(lw_domain_get(), address);
    lw_unpark_result result;
    uintptr_t token;
    lw_waiter *w;
    lw_rawlock_lock_(&q->lock);
    w = lw_park_take(q, address, NULL, &result.more);
    result.woken = w != NULL ? 1 : 0;
    token = decide != NULL ? decide(arg, result) : 0;
    if (w != NULL) {
        LW_PLAIN_SET(w->token, token);
    }
    lw_rawlock_unlock_(&q->lock);
    if (w != NULL) {
        /* Out of the queue, the waiter stays until this call: it waits for nothing else. */
        lw_parker_wake_(&w->parker);
    }
    return result;
}

size_t lw_unpark_all(const void *address, uintptr_t token)
{
    lw_park_queue *q = lw_park_queue_of(lw_domain_get(), address);
    lw_waiter *first = NULL, *last = NULL, *w;
    size_t woken = 0;
    bool more = true;
    lw_rawlock_lock_(&q->lock);
    while (more) {
        w = lw_park_take(q, address, NULL, &more);
        if (w == NULL) {
            break;
        }
        LW_PLAIN_SET(w->token, token);
        LW_PLAIN_SET(w->next, NULL);
        if (last == NULL) {
            first = w;
        } else {
            LW_PLAIN_SET(last->next, w);
        }
        last = w;
    }
    lw_rawlock_unlock_(&q->lock);
    while (first != NULL) {
        w = first;
        first = LW_PLAIN_GET(w->next); /* before the wake: after it the waiter is gone */
        lw_parker_wake_(&w->parker);
        woken++;
    }
    return woken;
}

typedef struct lw_wait_u32 {
    const lw_atomic_u32 *word;
    uint32_t expected;
} lw_wait_u32;

static bool lw_wait_u32_validate(void *arg)
{
    const lw_wait_u32 *wait = (const lw_wait_u32 *)arg;
    return lw_atomic_load_acquire_u32(wait->word) == wait->expected;
}

static void lw_wait_u32_leave(void *arg, bool last)
{
    (void)arg;
    (void)last;
}

lw_status lw_park_wait_u32(const lw_atomic_u32 *word, uint32_t expected, int64_t timeout_ns,
                           unsigned flags)
{
    lw_wait_u32 wait;
    wait.word = word;
    wait.expected = expected;
    return lw_park(word, lw_wait_u32_validate, lw_wait_u32_leave, &wait, timeout_ns, flags, NULL);
}

void lw_park_report(void (*visit)(void *arg, const void *address, int64_t waited_ns), void *arg)
{
    lw_domain *d = lw_domain_get();
    unsigned i;
    for (i = 0; i < LW_PARK_QUEUES; i++) {
        lw_park_queue *q = &d->park_queues[i];
        lw_waiter *w;
        int64_t now_ns;
        lw_rawlock_lock_(&q->lock);
        now_ns = lw_now_(); /* not before: a waiter may have come since */
        for (w = LW_PLAIN_GET(q->first); w != NULL; w = LW_PLAIN_GET(w->next)) {
            visit(arg, LW_PLAIN_GET(w->address), now_ns - LW_PLAIN_GET(w->since_ns));
        }
        lw_rawlock_unlock_(&q->lock);
    }
}
