/* SPDX-License-Identifier: BSD-2-Clause */
/* The numbers of the orders go on from rwlock.h: (1) to (4) and (9) are there. */
#include <latchwork/rwlock.h>

#include "../base/domain_internal.h"

/* Who has slept for so long gets the lock handed over. Each hand-over leaves the lock idle until
 * the new owner runs; one in a millisecond is not felt (bench/run.py --vary
 * LW_RWLOCK_FAIR_NS=...). */
#ifndef LW_RWLOCK_FAIR_NS
#define LW_RWLOCK_FAIR_NS 1000000
#endif

/* The token of a wake that hands the lock over; of one that does not: 0. */
enum { LW_RWLOCK_GRANTED = 1 };

/* One who sleeps in the queue of the lock, until the writer has gone. */
typedef struct lw_rwlock_wait {
    lw_rwlock_t *lock;
    bool writer;
    uintptr_t token;
    int64_t since_ns; /* of the first sleep; 0: has not slept */
} lw_rwlock_wait;

/* ---- the end of a writer ---- */

/* What is given up, and who is woken for it. */
typedef struct lw_rwlock_gift {
    lw_rwlock_t *lock;
    uint32_t given; /* WRITER; 0: nothing, somebody only has to look */
    uint32_t kept;  /* READER for a downgrade */
    int64_t now_ns;
    uint32_t readers;
    bool writer;
    bool starves; /* one of them has slept for long */
} lw_rwlock_gift;

/* All readers, and the writer that has waited longest. */
static int lw_rwlock_choose(void *arg, void *waiter)
{
    lw_rwlock_gift *g = (lw_rwlock_gift *)arg;
    const lw_rwlock_wait *w = (const lw_rwlock_wait *)waiter;
    if (w->writer && g->writer) {
        return LW_UNPARK_SKIP_;
    }
    if (w->writer) {
        g->writer = true;
    } else {
        g->readers++;
    }
    g->starves = g->starves || g->now_ns - w->since_ns >= LW_RWLOCK_FAIR_NS;
    return LW_UNPARK_TAKE_;
}

/* Under the queue's lock. Handed over, the lock goes to the readers, while WRITER stays set for the
 * writer, which then waits for them to leave. Else those who were taken compete for it; the others
 * are writers, and one writer is among the taken, whose unlock will wake the next. */
static uintptr_t lw_rwlock_decide(void *arg, lw_unpark_result result)
{
    const lw_rwlock_gift *g = (const lw_rwlock_gift *)arg;
    bool hand_over = g->given != 0 && g->starves;
    uint32_t word = lw_atomic_load_relaxed_u32(&g->lock->word), next;
    do {
        next = word - g->given + g->kept;
        next = result.more ? next | LW_RWLOCK_PARKED_ : next & ~LW_RWLOCK_PARKED_;
        if (hand_over) {
            next += g->readers * LW_RWLOCK_READER_;
            next |= g->writer ? LW_RWLOCK_WRITER_ : 0;
        }
        /* (8) release: pairs with (1), (3), (5), (6) and (7). Whoever this wakes is ordered by the
         * queue. From here on the lock may be gone. */
    } while (!lw_atomic_cas_release_u32(&g->lock->word, &word, next));
    return hand_over ? LW_RWLOCK_GRANTED : 0;
}

static void lw_rwlock_wake(lw_rwlock_t *l, uint32_t given, uint32_t kept)
{
    lw_rwlock_gift g = {l, given, kept, lw_now_(), 0, false, false};
    (void)lw_unpark_some_(l, lw_rwlock_choose, lw_rwlock_decide, &g);
}

/* Gives up WRITER. If somebody is queued, that is done under the queue's lock, so that the sleepers
 * cannot leave, and free the lock, between the look and the wake. */
static void lw_rwlock_give(lw_rwlock_t *l, uint32_t kept)
{
    uint32_t word = lw_atomic_load_relaxed_u32(&l->word);
    while ((word & LW_RWLOCK_PARKED_) == 0) {
        /* (4) release, as in the header: refused readers are in the word. */
        if (lw_atomic_cas_release_u32(&l->word, &word, word - LW_RWLOCK_WRITER_ + kept)) {
            return;
        }
    }
    lw_rwlock_wake(l, LW_RWLOCK_WRITER_, kept);
}

LW_COLD void lw_rwlock_write_unlock_slow_(lw_rwlock_t *l)
{
    if (!lw_rwlock_is_write_locked(l)) {
        lw_fatal_("lw_rwlock_write_unlock", "no writer has locked it");
    }
    lw_rwlock_give(l, 0);
}

LW_COLD void lw_rwlock_downgrade_slow_(lw_rwlock_t *l)
{
    if (!lw_rwlock_is_write_locked(l)) {
        lw_fatal_("lw_rwlock_downgrade", "no writer has locked it");
    }
    lw_rwlock_give(l, LW_RWLOCK_READER_);
}

/* ---- the end of a reader ---- */

/* `word` is from before a reader went. Late, it may wake the writer of another lock, which lies
 * where this one was: a drain looks again (park.h, lw_park_late_). */
static void lw_rwlock_drained(const lw_rwlock_t *l, uint32_t word)
{
    if ((word & LW_RWLOCK_DRAIN_) != 0 && word < 2 * LW_RWLOCK_READER_) {
        (void)lw_unpark_one(lw_park_late_(l), NULL, NULL);
    }
}

LW_COLD void lw_rwlock_read_unlock_slow_(lw_rwlock_t *l, uint32_t word)
{
    if (word < LW_RWLOCK_READER_) {
        lw_fatal_("lw_rwlock_read_unlock", "no reader has locked it");
    }
    lw_rwlock_drained(l, word);
}

/* ---- waiting in the queue ---- */

/* Under the queue's lock: who sees PARKED gives WRITER up under it, too. */
static bool lw_rwlock_validate(void *arg)
{
    lw_rwlock_t *l = ((const lw_rwlock_wait *)arg)->lock;
    uint32_t word = lw_atomic_load_relaxed_u32(&l->word);
    while ((word & LW_RWLOCK_WRITER_) != 0) {
        if ((word & LW_RWLOCK_PARKED_) != 0 ||
            lw_atomic_cas_relaxed_u32(&l->word, &word, word | LW_RWLOCK_PARKED_)) {
            return true;
        }
    }
    return false;
}

static void lw_rwlock_leave(void *arg, bool last)
{
    if (last) {
        (void)lw_atomic_and_relaxed_u32(&((const lw_rwlock_wait *)arg)->lock->word,
                                        ~LW_RWLOCK_PARKED_);
    }
}

/* The thread ends while it attaches. */
static void lw_rwlock_lost(void *arg)
{
    const lw_rwlock_wait *w = (const lw_rwlock_wait *)arg;
    if (w->token != LW_RWLOCK_GRANTED) {
        lw_rwlock_wake(w->lock, 0, 0);
    } else if (w->writer) {
        lw_rwlock_give(w->lock, 0);
    } else {
        lw_rwlock_read_unlock(w->lock);
    }
}

/* LW_OK: woken, or need not sleep; w->token says whether the lock was handed over. */
static lw_status lw_rwlock_sleep(const void *address, lw_park_how_ *how, int64_t deadline_ns,
                                 unsigned flags, uintptr_t *token)
{
    int64_t left_ns = lw_left_(deadline_ns);
    lw_status status;
    if (left_ns == 0) {
        return LW_TIMEOUT;
    }
    status = lw_park_with_(address, how, left_ns, flags, token);
    return status == LW_AGAIN ? LW_OK : status;
}

static lw_status lw_rwlock_queue(lw_rwlock_wait *w, int64_t deadline_ns, unsigned flags)
{
    lw_park_how_ how = {lw_rwlock_validate, lw_rwlock_leave, NULL, NULL, lw_rwlock_lost, w,
                        w->since_ns,        false,           true};
    if (w->since_ns == 0) {
        w->since_ns = lw_now_();
    }
    w->token = 0;
    return lw_rwlock_sleep(w->lock, &how, deadline_ns, flags, &w->token);
}

/* ---- readers ---- */

static void lw_rwlock_check_many(uint32_t word)
{
    if ((word & LW_RWLOCK_MANY_) != 0) {
        lw_fatal_("lw_rwlock_read_lock", "too many readers");
    }
}

/* The reader has added itself and found a writer. Whether it may stay, since that one has gone. */
static bool lw_rwlock_read_settle(lw_rwlock_t *l)
{
    uint32_t word;
    do {
        /* (5) acquire: pairs with the releases of writers, (4) and (8). */
        word = lw_atomic_load_acquire_u32(&l->word);
        lw_rwlock_check_many(word);
        if (word < LW_RWLOCK_READER_) {
            lw_fatal_("lw_rwlock_read_unlock", "no reader has locked it: it took one's who waits");
        }
        if ((word & LW_RWLOCK_WRITER_) == 0) {
            return true;
        }
    } while (!lw_atomic_cas_relaxed_u32(&l->word, &word, word - LW_RWLOCK_READER_));
    lw_rwlock_drained(l, word);
    return false;
}

LW_COLD lw_status lw_rwlock_read_slow_(lw_rwlock_t *l, int64_t timeout_ns, unsigned flags)
{
    lw_rwlock_wait w = {l, false, 0, 0};
    int64_t deadline_ns;
    unsigned looks = 0;
    if (lw_rwlock_read_settle(l)) {
        return LW_OK;
    }
    if (timeout_ns == 0) {
        return LW_TIMEOUT;
    }
    deadline_ns = lw_deadline_(timeout_ns);
    for (;;) {
        lw_status status;
        uint32_t word = lw_atomic_load_relaxed_u32(&l->word);
        if ((word & LW_RWLOCK_WRITER_) == 0) {
            lw_rwlock_check_many(word);
            /* (6) acquire: pairs with the releases of writers, (4) and (8). */
            if (lw_atomic_cas_acquire_u32(&l->word, &word, word + LW_RWLOCK_READER_)) {
                return LW_OK;
            }
            continue;
        }
        if (lw_park_spin_(&looks, deadline_ns)) {
            continue;
        }
        status = lw_rwlock_queue(&w, deadline_ns, flags);
        if (status != LW_OK || w.token == LW_RWLOCK_GRANTED) {
            return status;
        }
        looks = 0;
    }
}

/* ---- writers ---- */

static void lw_rwlock_drain_ends(lw_rwlock_t *l)
{
    if ((lw_atomic_load_relaxed_u32(&l->word) & LW_RWLOCK_DRAIN_) != 0) {
        (void)lw_atomic_and_relaxed_u32(&l->word, ~LW_RWLOCK_DRAIN_);
    }
}

/* One word holds DRAIN and the count: either the last reader sees the bit, or this the count. */
static bool lw_rwlock_drain_validate(void *arg)
{
    lw_rwlock_t *l = (lw_rwlock_t *)arg;
    return lw_atomic_or_relaxed_u32(&l->word, LW_RWLOCK_DRAIN_) >= LW_RWLOCK_READER_;
}

static void lw_rwlock_drain_lost(void *arg)
{
    lw_rwlock_t *l = (lw_rwlock_t *)arg;
    lw_rwlock_drain_ends(l);
    lw_rwlock_give(l, 0);
}

/* The caller has WRITER: waits until the readers inside have left, or gives WRITER up, and lets
 * those go who wait for it. Suspends the thread's critical sections before it sleeps, and leaves it
 * to the caller to resume them: not while it has WRITER and somebody else has a section. */
static lw_status lw_rwlock_drain(lw_rwlock_t *l, int64_t deadline_ns, unsigned flags, bool *held)
{
    lw_park_how_ how = {
        lw_rwlock_drain_validate, NULL, NULL, NULL, lw_rwlock_drain_lost, l, 0, false, false};
    lw_status status = LW_OK;
    unsigned looks = 0;
    /* (7) acquire: pairs with the release (2) of the readers, and of the writer before, (4) and
     * (8): all operations on the word in between are read-modify-writes. */
    while (status == LW_OK && lw_atomic_load_acquire_u32(&l->word) >= LW_RWLOCK_READER_) {
        if (!lw_park_spin_(&looks, deadline_ns)) {
            *held |= lw_held_suspend_();
            status = lw_rwlock_sleep(lw_park_late_(l), &how, deadline_ns, flags, NULL);
            looks = 0;
        }
    }
    lw_rwlock_drain_ends(l);
    if (status != LW_OK) {
        lw_rwlock_give(l, 0);
    }
    return status;
}

static lw_status lw_rwlock_write(lw_rwlock_wait *w, int64_t timeout_ns, int64_t deadline_ns,
                                 unsigned flags, bool *held)
{
    lw_rwlock_t *l = w->lock;
    unsigned looks = 0;
    for (;;) {
        lw_status status;
        uint32_t word = lw_atomic_load_relaxed_u32(&l->word);
        if (timeout_ns == 0 && (word & ~LW_RWLOCK_PARKED_) != 0) {
            return LW_TIMEOUT;
        }
        if ((word & LW_RWLOCK_WRITER_) == 0) {
            /* Relaxed: the drain acquires. */
            if (lw_atomic_cas_relaxed_u32(&l->word, &word, word | LW_RWLOCK_WRITER_)) {
                break;
            }
            continue;
        }
        if (lw_park_spin_(&looks, deadline_ns)) {
            continue;
        }
        status = lw_rwlock_queue(w, deadline_ns, flags);
        if (status != LW_OK) {
            return status;
        }
        if (w->token == LW_RWLOCK_GRANTED) {
            break;
        }
        looks = 0;
    }
    return lw_rwlock_drain(l, deadline_ns, flags, held);
}

LW_COLD lw_status lw_rwlock_write_slow_(lw_rwlock_t *l, int64_t timeout_ns, unsigned flags)
{
    lw_rwlock_wait w = {l, true, 0, 0};
    int64_t deadline_ns = lw_deadline_(timeout_ns);
    for (;;) {
        bool held = false;
        lw_status status = lw_rwlock_write(&w, timeout_ns, deadline_ns, flags, &held);
        if (!held || lw_held_settle_(status == LW_OK, flags)) {
            return status;
        }
        lw_rwlock_write_unlock(l); /* who has the section may wait for this lock */
        (void)lw_held_resume_(-1, flags & LW_WAIT_ATTACHED);
    }
}

LW_COLD bool lw_rwlock_try_upgrade_slow_(lw_rwlock_t *l)
{
    uint32_t word = lw_atomic_load_relaxed_u32(&l->word);
    if (word < LW_RWLOCK_READER_) {
        lw_fatal_("lw_rwlock_try_upgrade", "no reader has locked it");
    }
    /* (9) acquire, as in the header: writers may still be queued that were not woken. */
    return (word & ~LW_RWLOCK_PARKED_) == LW_RWLOCK_READER_ &&
           lw_atomic_cas_acquire_u32(&l->word, &word, word - LW_RWLOCK_READER_ + LW_RWLOCK_WRITER_);
}
