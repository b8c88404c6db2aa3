/* SPDX-License-Identifier: BSD-2-Clause */
#include "domain_internal.h"

/* Fibonacci hashing: the high bits of the product depend on all bits of the address. */
static lw_park_queue *lw_park_queue_of(lw_domain *d, const void *address)
{
    uint64_t h = (uint64_t)(uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15);
    return &d->park_queues[h >> 56 & (LW_PARK_QUEUES - 1)];
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
}

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
            leave(arg, !more);
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
    if (host != NULL) {
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
