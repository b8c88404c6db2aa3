/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/once.h>

#include "../base/domain_internal.h"

#define LW_ONCE_STATE UINT64_C(3)

/* A thread of the parent that had the number of this one may have begun it: it is gone, and that is
 * asked first. */
static bool lw_once_is_mine(uint64_t word)
{
    return (word & LW_ONCE_STATE) == LW_ONCE_RUNNING_ &&
           word >> LW_RUNNER_SHIFT_ == lw_runner_of_(lw_thread_number_(), 0) >> LW_RUNNER_SHIFT_;
}

typedef struct lw_once_wait {
    lw_once_t *once;
    const void *address; /* of the queue; the object may be gone */
    uint64_t seen;
} lw_once_wait;

static bool lw_once_validate(void *arg)
{
    const lw_once_wait *w = (const lw_once_wait *)arg;
    return lw_atomic_load_relaxed_u64(&w->once->word) == w->seen;
}

/* The thread ends while it attaches: a run that failed has woken it to try again. */
static void lw_once_lost(void *arg)
{
    (void)lw_unpark_one(((const lw_once_wait *)arg)->address, NULL, NULL);
}

LW_COLD lw_status lw_once_begin_slow_(lw_once_t *o, int64_t timeout_ns, unsigned flags)
{
    lw_domain *d = lw_domain_get();
    int64_t deadline_ns = lw_deadline_(timeout_ns);
    lw_once_wait w;
    lw_park_how_ how = {lw_once_validate, NULL, NULL, NULL, lw_once_lost, &w, 0, false, true};
    w.once = o;
    w.address = &o->word;
    for (;;) {
        int64_t left_ns;
        lw_status status;
        /* (3) acquire: pairs with the release (2). */
        w.seen = lw_atomic_load_acquire_u64(&o->word);
        if (w.seen == LW_ONCE_DONE_) {
            return LW_EXISTS;
        }
        if (w.seen == 0 || lw_runner_is_gone_(d, w.seen)) {
            uint64_t mine = LW_ONCE_RUNNING_ | lw_runner_(d);
            /* (4) acquire: pairs with the release (5), which may have come since (3). */
            if (lw_atomic_cas_acquire_u64(&o->word, &w.seen, mine)) {
                return LW_OK;
            }
            continue;
        }
        if (lw_once_is_mine(w.seen)) {
            return LW_BUSY;
        }
        left_ns = lw_left_(deadline_ns);
        if (left_ns == 0) {
            return LW_TIMEOUT;
        }
        status = lw_park_with_(w.address, &how, left_ns, flags, NULL);
        if (status == LW_TIMEOUT || status == LW_INTERRUPTED) {
            return status;
        }
    }
}

void lw_once_commit(lw_once_t *o)
{
    if (!lw_once_is_mine(lw_atomic_load_relaxed_u64(&o->word))) {
        lw_fatal_("lw_once_commit", "the calling thread does not run it");
    }
    /* (2) release: pairs with the acquires (1) and (3). From here on the object may be gone. */
    lw_atomic_store_release_u64(&o->word, LW_ONCE_DONE_);
    (void)lw_unpark_all(&o->word, 0);
}

void lw_once_abort(lw_once_t *o)
{
    if (!lw_once_is_mine(lw_atomic_load_relaxed_u64(&o->word))) {
        lw_fatal_("lw_once_abort", "the calling thread does not run it");
    }
    /* (5) release: pairs with the acquire (4), for what the next run finds. Another may be done
     * with it before the wake: the object may be gone. One is woken: it runs, or whoever came
     * before it wakes it. */
    lw_atomic_store_release_u64(&o->word, 0);
    (void)lw_unpark_one(&o->word, NULL, NULL);
}

typedef struct lw_once_run {
    lw_once_fn fn;
    void *arg;
    lw_status status;
} lw_once_run;

static void lw_once_run_it(void *arg)
{
    lw_once_run *run = (lw_once_run *)arg;
    run->status = run->fn(run->arg);
}

static void lw_once_ended(void *arg)
{
    lw_once_abort((lw_once_t *)arg);
}

LW_COLD lw_status lw_once_call_slow_(lw_once_t *o, lw_once_fn fn, void *arg, int64_t timeout_ns,
                                     unsigned flags)
{
    lw_once_run run;
    lw_status status = lw_once_begin_slow_(o, timeout_ns, flags);
    if (status != LW_OK) {
        return status == LW_EXISTS ? LW_OK : status;
    }
    run.fn = fn;
    run.arg = arg;
    run.status = LW_OK;
    lw_guard_(lw_once_run_it, &run, lw_once_ended, o);
    if (run.status == LW_OK) {
        lw_once_commit(o);
    } else {
        lw_once_abort(o);
    }
    return run.status;
}
