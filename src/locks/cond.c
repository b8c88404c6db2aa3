/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/cond.h>
#include <latchwork/critical.h>

#include "../platform/platform.h"

/* What a wake carries. */
enum { LW_COND_ONE = 1, LW_COND_ALL = 2 };

typedef struct lw_cond_wait_state {
    lw_cond_t *cond;
    const void *address; /* of the queue; the cond may be gone */
    const lw_cond_lock_ *lock;
    unsigned flags;
    uintptr_t token; /* 0: not notified */
} lw_cond_wait_state;

/* Under the queue's lock, as everything that writes the word; the mutex is locked still, so whoever
 * locks it next sees this. */
static bool lw_cond_validate(void *arg)
{
    lw_atomic_store_relaxed_u32(&((const lw_cond_wait_state *)arg)->cond->word, 1);
    return true;
}

static void lw_cond_leave(void *arg, bool last)
{
    if (last) {
        lw_atomic_store_relaxed_u32(&((const lw_cond_wait_state *)arg)->cond->word, 0);
    }
}

static void lw_cond_queued(void *arg)
{
    const lw_cond_lock_ *lock = ((const lw_cond_wait_state *)arg)->lock;
    lock->unlock(lock->arg);
}

typedef struct lw_cond_notifier {
    lw_cond_t *cond;
    size_t left;
    uintptr_t token;
    bool passing; /* for a thread that has ended: the cond may be gone unless somebody waits */
} lw_cond_notifier;

static int lw_cond_choose(void *arg, void *waiter)
{
    lw_cond_notifier *n = (lw_cond_notifier *)arg;
    (void)waiter;
    if (n->left == 0) {
        return LW_UNPARK_STOP_;
    }
    n->left--;
    return LW_UNPARK_TAKE_;
}

/* Before the waiters run, who may free the cond. With nobody taken out the word may be what a
 * fork has left. */
static uintptr_t lw_cond_decide(void *arg, lw_unpark_result result)
{
    const lw_cond_notifier *n = (const lw_cond_notifier *)arg;
    if (!result.more && (result.woken != 0 || !n->passing)) {
        lw_atomic_store_relaxed_u32(&n->cond->word, 0);
    }
    return n->token;
}

LW_COLD size_t lw_cond_notify_slow_(lw_cond_t *c, size_t n)
{
    lw_cond_notifier notifier;
    notifier.cond = c;
    notifier.left = n;
    notifier.token = n == SIZE_MAX ? LW_COND_ALL : LW_COND_ONE;
    notifier.passing = false;
    return lw_unpark_some_(lw_cond_address_(c), lw_cond_choose, lw_cond_decide, &notifier).woken;
}

/* The thread ends before it has seen its notification. */
static void lw_cond_lost(void *arg)
{
    const lw_cond_wait_state *w = (const lw_cond_wait_state *)arg;
    if (w->token == LW_COND_ONE) {
        lw_cond_notifier notifier;
        notifier.cond = w->cond;
        notifier.left = 1;
        notifier.token = LW_COND_ONE;
        notifier.passing = true;
        (void)lw_unpark_some_(w->address, lw_cond_choose, lw_cond_decide, &notifier);
    }
}

static void lw_cond_lock_again(void *arg)
{
    const lw_cond_wait_state *w = (const lw_cond_wait_state *)arg;
    w->lock->lock(w->lock->arg, w->flags & LW_WAIT_ATTACHED);
}

lw_status lw_cond_wait_with_(lw_cond_t *c, const lw_cond_lock_ *lock, int64_t timeout_ns,
                             unsigned flags)
{
    lw_cond_wait_state w;
    lw_park_how_ how = {
        lw_cond_validate, lw_cond_leave, lw_cond_queued, NULL, lw_cond_lost, &w, 0, false, false};
    lw_status status = LW_TIMEOUT;
    w.cond = c;
    w.address = lw_cond_address_(c);
    w.lock = lock;
    w.flags = flags;
    w.token = 0;
    if (timeout_ns == 0) {
        lock->unlock(lock->arg);
    } else {
        status = lw_park_with_(w.address, &how, timeout_ns, flags, &w.token);
    }
    /* Here, and not under the queue's lock or before attaching: a wait for the mutex must not hold
     * up whoever has it. It attaches too, and that may end the thread. */
    if (w.token == LW_COND_ONE && (flags & LW_WAIT_ATTACHED) == 0) {
        lw_guard_(lw_cond_lock_again, &w, lw_cond_lost, &w);
    } else {
        lw_cond_lock_again(&w);
    }
    return status;
}

static void lw_cond_mutex_unlock(void *arg)
{
    lw_mutex_unlock((lw_mutex_t *)arg);
}

static void lw_cond_mutex_lock(void *arg, unsigned flags)
{
    (void)!lw_mutex_lock_flags((lw_mutex_t *)arg, -1, flags);
}

lw_status lw_cond_wait_mutex_(lw_cond_t *c, lw_mutex_t *m, int64_t timeout_ns, unsigned flags)
{
    lw_cond_lock_ lock = {lw_cond_mutex_unlock, lw_cond_mutex_lock, m};
    if (lw_critical_holds(m)) {
        /* It would be unlocked twice, and resumed before it is locked: a wait for itself. */
        lw_fatal_("lw_cond_wait", "the mutex was locked by a critical section; lock it plainly");
    }
    return lw_cond_wait_with_(c, &lock, timeout_ns, flags);
}

typedef struct lw_cond_levels {
    lw_rmutex_t *mutex;
    uint32_t depth;
} lw_cond_levels;

static void lw_cond_rmutex_unlock(void *arg)
{
    lw_cond_levels *levels = (lw_cond_levels *)arg;
    levels->depth = lw_rmutex_save(levels->mutex);
}

static void lw_cond_rmutex_lock(void *arg, unsigned flags)
{
    const lw_cond_levels *levels = (const lw_cond_levels *)arg;
    lw_rmutex_restore(levels->mutex, levels->depth, flags);
}

lw_status lw_cond_wait_rmutex_flags(lw_cond_t *c, lw_rmutex_t *m, int64_t timeout_ns,
                                    unsigned flags)
{
    lw_cond_levels levels = {NULL, 0};
    lw_cond_lock_ lock = {lw_cond_rmutex_unlock, lw_cond_rmutex_lock, NULL};
    levels.mutex = m;
    lock.arg = &levels;
    if (!lw_rmutex_is_owned(m)) { /* before the thread is in the queue */
        lw_rmutex_not_owned_("lw_cond_wait_rmutex");
    }
    return lw_cond_wait_with_(c, &lock, timeout_ns, flags);
}
