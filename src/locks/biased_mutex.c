/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/biased_mutex.h>

#include "../base/domain_internal.h"

/* Who has locked it so often in a row gets the bias; twice as often after each time that it was
 * taken away, but not more than so many times twice (bench/run.py --vary LW_BIASED_AFTER=... and
 * LW_BIASED_DOUBLINGS=...). To take it away costs a membarrier, about what a few hundred to a few
 * thousand pairs gain by it: so whoever loses by the bias loses no more than as much again. */
#ifndef LW_BIASED_AFTER
#define LW_BIASED_AFTER 64
#endif
#ifndef LW_BIASED_DOUBLINGS
#define LW_BIASED_DOUBLINGS 6
#endif
static uintptr_t lw_biased_state(const void *word)
{
    /* Nobody has the bias of a zeroed mutex. */
    return word == NULL ? (uintptr_t)LW_BIASED_FREE_ : (uintptr_t)word & LW_BIASED_STATE_;
}

static lw_thread *lw_biased_thread(void *word)
{
    return (lw_thread *)((uintptr_t)word & ~LW_BIASED_STATE_);
}

static void *lw_biased_word(lw_thread *thread, unsigned state)
{
    return (void *)((uintptr_t)thread | state);
}

static void *lw_biased_load(const lw_biased_mutex_t *m)
{
    /* (10) acquire: pairs with the releases (9) and (11), for the record that the word names. */
    return lw_atomic_load_acquire_ptr(&m->word);
}

/* Whether the thread is inside by its bias, or about to look whether it may be. */
static bool lw_biased_noted(lw_thread *thread, const lw_biased_mutex_t *m)
{
    /* (6) acquire: pairs with the releases (1) and (3). */
    return lw_atomic_load_acquire_ptr(lw_biased_mutex_slot_(thread, m)) == &m->word;
}

/* The calling thread's record, of which this copy of the library may not know yet. Makes none. */
static lw_thread *lw_biased_self(void)
{
    lw_thread *self = LW_TLS_SLOT_()->self;
    lw_record *record = self == NULL ? lw_thread_record_(lw_domain_get()) : NULL;
    return record != NULL ? &record->head : self;
}

/* Whether the calling thread, which is not inside by its bias, has locked it, as far as can be
 * told: it may have got its record since, or given it up. */
static bool lw_biased_may_hold(const lw_thread *self, void *word)
{
    const lw_thread *thread = lw_biased_thread(word);
    return lw_biased_state(word) == LW_BIASED_LOCKED_ &&
           (thread == self || thread == NULL || self == NULL);
}

bool lw_biased_mutex_is_locked(const lw_biased_mutex_t *m)
{
    void *word = lw_biased_load(m);
    switch (lw_biased_state(word)) {
    case LW_BIASED_TO_:
        return lw_biased_noted(lw_biased_thread(word), m);
    case LW_BIASED_FREE_:
        return false;
    default:
        return true;
    }
}

LW_COLD void lw_biased_mutex_back_out_(lw_biased_mutex_t *m, lw_thread *self)
{
    /* A claimer may have seen the slot, and wait. */
    lw_biased_mutex_leave_(m, self, lw_biased_mutex_slot_(self, m));
}

/* ---- waits ---- */

typedef struct lw_biased_wait {
    lw_biased_mutex_t *mutex;
    lw_thread *from;     /* who has to leave, when this thread has claimed the bias; else NULL */
    const void *address; /* what is waited on */
    uint32_t ticket;     /* of lw_park_announce_, or lw_biased_expect; 0: of neither */
    int64_t deadline_ns; /* negative: none */
    unsigned flags;
    unsigned looks;
    bool held; /* critical sections are suspended */
} lw_biased_wait;

static void lw_biased_release(lw_biased_mutex_t *m, void *word)
{
    /* (9) release: pairs with the acquires (5), (8) and (10). From here on the mutex may be
     * gone. */
    lw_atomic_store_release_ptr(&m->word, word);
    /* As (4) in mutex.h. */
    lw_fence_light();
    if (lw_park_announced_(m)) {
        lw_park_notify_(m);
    }
}

static bool lw_biased_validate(void *arg)
{
    const lw_biased_wait *w = (const lw_biased_wait *)arg;
    uintptr_t state;
    if (w->from != NULL) {
        return lw_biased_noted(w->from, w->mutex);
    }
    state = lw_biased_state(lw_atomic_load_relaxed_ptr(&w->mutex->word));
    return state == LW_BIASED_LOCKED_ || state == LW_BIASED_CLAIMED_;
}

/* The thread that has to leave looks at the count whenever it has left anything. */
static void lw_biased_expect(lw_biased_wait *w)
{
    w->ticket = lw_park_ticket_(); /* before, as in lw_park_announce_ */
    (void)lw_atomic_add_relaxed_u32(&w->from->biased_awaited, 1);
}

static void lw_biased_expect_no_more(const lw_biased_wait *w)
{
    if (lw_park_ticket_holds_(w->ticket)) {
        (void)lw_atomic_sub_relaxed_u32(&w->from->biased_awaited, 1);
    }
}

/* Gives back the bias that was claimed. */
static void lw_biased_give_back(const lw_biased_wait *w)
{
    /* (11) release: pairs with (8) and (10), and passes on what (8) has acquired. */
    lw_atomic_store_release_ptr(&w->mutex->word, lw_biased_word(w->from, LW_BIASED_TO_));
    /* All: the one that has the bias may be among them, and would wake no other. */
    (void)lw_unpark_all(w->mutex, 0);
}

/* The thread ends while it attaches, and takes neither a wake nor the claim with it. */
static void lw_biased_lost(void *arg)
{
    const lw_biased_wait *w = (const lw_biased_wait *)arg;
    if (w->from != NULL) {
        lw_biased_expect_no_more(w);
        lw_biased_give_back(w);
    } else {
        lw_park_retract_(w->address, w->ticket);
        (void)lw_unpark_one(w->address, NULL, NULL);
    }
}

/* One step of a wait: looks, and sleeps when it has looked often. LW_OK: look again. */
static lw_status lw_biased_pause(lw_biased_wait *w)
{
    lw_park_how_ how = {lw_biased_validate, NULL, NULL, NULL, lw_biased_lost, w, 0, false, false};
    int64_t left_ns;
    lw_status status;
    if (w->deadline_ns == 0) {
        return LW_TIMEOUT;
    }
    if (lw_park_spin_(&w->looks, w->deadline_ns)) {
        return LW_OK;
    }
    if (w->from == NULL && !lw_park_ticket_holds_(w->ticket)) {
        w->ticket = lw_park_announce_(w->address);
    }
    left_ns = lw_left_(w->deadline_ns);
    if (left_ns == 0) {
        return LW_TIMEOUT;
    }
    w->held |= lw_held_suspend_(); /* resumed without a claim, or at once */
    status = lw_park_with_(w->address, &how, left_ns, w->flags, NULL);
    w->looks = 0;
    return status == LW_TIMEOUT || status == LW_INTERRUPTED ? status : LW_OK;
}

/* ---- lock ---- */

/* A record whose thread ends with such a lock is used no more (thread.c). */
static void lw_biased_count(lw_thread *self, int change)
{
    if (self != NULL) {
        self->biased_locked += (uint32_t)change;
    }
}

/* Before a wait for ever: not for itself. */
static void lw_biased_check_entry(const lw_biased_mutex_t *m, lw_thread *self, void *word,
                                  int64_t deadline_ns)
{
    bool locked = lw_biased_state(word) == LW_BIASED_LOCKED_ && lw_biased_thread(word) == self;
    if (deadline_ns < 0 && self != NULL && (locked || lw_biased_noted(self, m))) {
        lw_fatal_("lw_biased_mutex_lock", "the calling thread has locked the mutex already");
    }
}

/* The mutex is CLAIMED by the calling thread: waits until w->from is out. */
static lw_status lw_biased_revoke(lw_biased_mutex_t *m, lw_thread *self, lw_biased_wait *w)
{
    lw_status status = LW_OK;
    w->address = lw_biased_mutex_exit_(m);
    if (w->from != self) {
        LW_PLAIN_SET(m->revoked, LW_PLAIN_GET(m->revoked) + 1);
        lw_biased_expect(w);
        /* (7) The dear half: a thread that has looked at the word by now has written its slot
         * before, and that is seen from here on; one that has not will see the claim. Likewise one
         * that has looked whether it is awaited has emptied its slot before. */
        lw_membarrier_();
    }
    while (lw_biased_noted(w->from, m) && status == LW_OK) {
        status = lw_biased_pause(w);
    }
    lw_biased_expect_no_more(w);
    if (status == LW_OK) {
        lw_atomic_store_relaxed_ptr(&m->word, lw_biased_word(self, LW_BIASED_LOCKED_));
        /* Who could not use its own bias gets it back by its unlock. */
        LW_PLAIN_SET(m->run, w->from == self ? UINT32_MAX : 1);
        lw_biased_count(self, 1);
    } else {
        lw_biased_give_back(w);
    }
    return status;
}

/* `word`, which was seen, says FREE. */
static bool lw_biased_take(lw_biased_mutex_t *m, lw_thread *self, void *word)
{
    lw_thread *last = lw_biased_thread(word);
    uint32_t run;
    /* (5) acquire: pairs with (9). */
    if (!lw_atomic_cas_acquire_ptr(&m->word, &word, lw_biased_word(self, LW_BIASED_LOCKED_))) {
        return false;
    }
    run = last == self && self != NULL ? LW_PLAIN_GET(m->run) : 0;
    LW_PLAIN_SET(m->run, run + 1);
    lw_biased_count(self, 1);
    return true;
}

/* Takes the bias away, or waits. Leaves it to the caller to resume critical sections. */
static lw_status lw_biased_lock_by(lw_biased_mutex_t *m, lw_thread *self, int64_t deadline_ns,
                                   unsigned flags, bool *held)
{
    lw_status status = LW_OK;
    lw_biased_wait w = {m, NULL, m, 0, deadline_ns, flags, 0, false};
    while (status == LW_OK) {
        void *word = lw_biased_load(m);
        lw_thread *thread = lw_biased_thread(word);
        switch (lw_biased_state(word)) {
        case LW_BIASED_FREE_:
            if (lw_biased_take(m, self, word)) {
                lw_park_retract_(m, w.ticket);
                *held = w.held;
                return LW_OK;
            }
            break;
        case LW_BIASED_TO_:
            if (thread == self) {
                lw_biased_check_entry(m, self, word, w.deadline_ns);
                if (lw_biased_mutex_enter_by_(m, self)) {
                    lw_park_retract_(m, w.ticket);
                    *held = w.held;
                    return LW_OK;
                }
            }
            if (w.deadline_ns == 0 && lw_biased_noted(thread, m)) {
                status = LW_TIMEOUT; /* it is not worth a membarrier */
                break;
            }
            /* (8) acquire: pairs with (9) and (11). */
            if (lw_atomic_cas_acquire_ptr(&m->word, &word,
                                          lw_biased_word(self, LW_BIASED_CLAIMED_))) {
                lw_park_retract_(m, w.ticket);
                w.from = thread;
                w.ticket = 0;
                w.looks = 0;
                status = lw_biased_revoke(m, self, &w);
                *held = w.held;
                return status;
            }
            break;
        default:
            lw_biased_check_entry(m, self, word, w.deadline_ns);
            status = lw_biased_pause(&w);
            break;
        }
    }
    lw_park_retract_(m, w.ticket);
    *held = w.held;
    return status;
}

static LW_NOINLINE lw_status lw_biased_lock(lw_biased_mutex_t *m, lw_thread *self,
                                            int64_t timeout_ns, unsigned flags)
{
    int64_t deadline_ns = timeout_ns == 0 ? 0 : lw_deadline_(timeout_ns);
    for (;;) {
        bool held = false;
        lw_status status = lw_biased_lock_by(m, self, deadline_ns, flags, &held);
        if (!held || lw_held_settle_(status == LW_OK, flags)) {
            return status;
        }
        lw_biased_mutex_unlock(m); /* who has the section may wait for this mutex */
        (void)lw_held_resume_(-1, flags & LW_WAIT_ATTACHED);
    }
}

LW_NOINLINE lw_status lw_biased_mutex_lock_slow_(lw_biased_mutex_t *m, int64_t timeout_ns,
                                                 unsigned flags)
{
    lw_thread *self = lw_thread_self();
    void *word = lw_biased_load(m);
    if (LW_LIKELY(lw_biased_state(word) == LW_BIASED_FREE_) &&
        LW_LIKELY(lw_biased_take(m, self, word))) {
        return LW_OK;
    }
    return lw_biased_lock(m, self, timeout_ns, flags);
}

/* ---- unlock ---- */

/* Somebody waits for the mutex, or for another of the same queue: no time for a bias. */
static bool lw_biased_waited_for(const lw_biased_mutex_t *m)
{
    const lw_atomic_u32 *flags = lw_domain_get()->park_flags;
    uint32_t word = lw_atomic_load_relaxed_u32(&flags[lw_park_index_(m)]);
    return (word & ~(uint32_t)LW_PARK_FENCED_) != 0;
}

static bool lw_biased_deserved(lw_biased_mutex_t *m, const lw_thread *self)
{
    uint32_t doublings = LW_PLAIN_GET(m->revoked);
    doublings = doublings < LW_BIASED_DOUBLINGS ? doublings : LW_BIASED_DOUBLINGS;
    if (LW_PLAIN_GET(m->run) < (uint32_t)LW_BIASED_AFTER << doublings || self == NULL) {
        return false;
    }
    LW_PLAIN_SET(m->run, 0);
    return self->smr_strong == 0 /* there is a membarrier */ && !lw_biased_waited_for(m);
}

LW_NOINLINE void lw_biased_mutex_unlock_slow_(lw_biased_mutex_t *m)
{
    lw_thread *self = lw_biased_self();
    if (self != NULL && lw_biased_noted(self, m)) {
        lw_biased_mutex_leave_(m, self, lw_biased_mutex_slot_(self, m));
        return;
    }
    if (!lw_biased_may_hold(self, lw_atomic_load_relaxed_ptr(&m->word))) {
        lw_fatal_("lw_biased_mutex_unlock", lw_biased_mutex_is_locked(m)
                                                ? "another thread has locked the mutex"
                                                : "the mutex is not locked");
    }
    if (lw_biased_thread(lw_atomic_load_relaxed_ptr(&m->word)) == self) {
        lw_biased_count(self, -1);
    }
    lw_biased_release(
        m, lw_biased_word(self, lw_biased_deserved(m, self) ? LW_BIASED_TO_ : LW_BIASED_FREE_));
}

size_t lw_biased_mutex_awaited_(void)
{
    /* acquire: as (8) in shared_rwlock.c. */
    const lw_record *r = (const lw_record *)lw_atomic_load_acquire_ptr(&lw_domain_get()->records);
    size_t count = 0;
    for (; r != NULL; r = LW_PLAIN_GET(r->next)) {
        count += lw_atomic_load_relaxed_u32(&r->head.biased_awaited);
    }
    return count;
}

/* ---- LW_DEBUG ---- */

void lw_biased_mutex_assert_held_(const lw_biased_mutex_t *m)
{
    lw_thread *self = lw_biased_self();
    if ((self == NULL || !lw_biased_noted(self, m)) &&
        !lw_biased_may_hold(self, lw_atomic_load_relaxed_ptr(&m->word))) {
        lw_fatal_("lw_biased_mutex_assert_held", lw_biased_mutex_is_locked(m)
                                                     ? "another thread has locked the mutex"
                                                     : "the mutex is not locked");
    }
}
