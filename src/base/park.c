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

/* How often a lock is looked at before its waiter sleeps, and how many pauses lie between two
 * looks: in all about what a sleep and a wake cost. Looks that are closer take the cache line from
 * whoever has the lock (bench/run.py --vary LW_SPIN_PAUSES=...; docs/decisions/007-waiting.md). */
#ifndef LW_SPIN_LOOKS
#define LW_SPIN_LOOKS 8
#endif
#ifndef LW_SPIN_PAUSES
#define LW_SPIN_PAUSES 64
#endif
#define LW_SPIN_NS 4000 /* what so many pauses take on slow processors */

bool lw_park_spin_(unsigned *looks, int64_t deadline_ns)
{
    unsigned i;
    if (*looks >= LW_SPIN_LOOKS) {
        return false;
    }
    if (lw_processors_() == 1 || (deadline_ns >= 0 && deadline_ns - lw_now_() < LW_SPIN_NS)) {
        *looks = LW_SPIN_LOOKS;
        return false;
    }
    for (i = 0; i < LW_SPIN_PAUSES; i++) {
        lw_cpu_relax();
    }
    ++*looks;
    return true;
}

bool lw_park_spun_(unsigned looks)
{
    return looks >= LW_SPIN_LOOKS;
}

static lw_park_queue *lw_park_queue_of(lw_domain *d, const void *address)
{
    return &d->park_queues[lw_park_index_(address)];
}

static lw_atomic_u32 *lw_park_flags_of(lw_domain *d, const void *address)
{
    return &d->park_flags[lw_park_index_(address)];
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
    uint64_t self = lw_thread_number_();
    uint32_t forks;
    unsigned i;
    for (i = 0; i < LW_PARK_QUEUES; i++) {
        lw_park_queue *q = &d->park_queues[i];
        /* The waiters were threads of the parent, and so was whoever held the lock. */
        (void)lw_rawlock_forked_(&q->lock);
        LW_PLAIN_SET(q->first, NULL);
        LW_PLAIN_SET(q->last, NULL);
        LW_PLAIN_SET(q->waking, NULL);
        LW_PLAIN_SET(q->owed, false);
        LW_PLAIN_SET(q->last_ns, 0);
    }
    lw_park_flags_init(d);
    forks = lw_atomic_add_relaxed_u32(&d->forks, 1);
    if (lw_atomic_load_relaxed_u64(&d->fork_thread) != self) {
        lw_atomic_store_relaxed_u64(&d->fork_thread, self);
        lw_atomic_store_relaxed_u32(&d->fork_since, forks);
    }
}

/* ---- announcements ---- */

static uint32_t lw_park_ticket(const lw_domain *d)
{
    return lw_atomic_load_relaxed_u32(&d->forks) | 0x80000000U;
}

uint32_t lw_park_announce_(const void *address)
{
    lw_domain *d = lw_domain_get();
    lw_atomic_u32 *flags = lw_park_flags_of(d, address);
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

uint32_t lw_park_ticket_(void)
{
    return lw_park_ticket(lw_domain_get());
}

bool lw_park_ticket_holds_(uint32_t ticket)
{
    return ticket != 0 && ticket == lw_park_ticket(lw_domain_get());
}

void lw_park_retract_(const void *address, uint32_t ticket)
{
    if (lw_park_ticket_holds_(ticket)) {
        (void)lw_atomic_sub_relaxed_u32(lw_park_flags_of(lw_domain_get(), address), 1);
    }
}

bool lw_park_starved_(const void *address)
{
    return (lw_atomic_load_relaxed_u32(lw_park_flags_of(lw_domain_get(), address)) &
            LW_PARK_STARVED_MAX_) != 0;
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

/* ---- queues ---- */

static void lw_park_link(lw_park_queue *q, lw_waiter *before, lw_waiter *w)
{
    lw_waiter *next = before == NULL ? LW_PLAIN_GET(q->first) : LW_PLAIN_GET(before->next);
    LW_PLAIN_SET(w->next, next);
    if (before == NULL) {
        LW_PLAIN_SET(q->first, w);
    } else {
        LW_PLAIN_SET(before->next, w);
    }
    if (next == NULL) {
        LW_PLAIN_SET(q->last, w);
    }
    LW_PLAIN_SET(w->queued, true);
}

static void lw_park_unlink(lw_domain *d, lw_park_queue *q, lw_waiter *before, lw_waiter *w)
{
    lw_waiter *next = LW_PLAIN_GET(w->next);
    if (before == NULL) {
        LW_PLAIN_SET(q->first, next);
    } else {
        LW_PLAIN_SET(before->next, next);
    }
    if (next == NULL) {
        LW_PLAIN_SET(q->last, before);
    }
    LW_PLAIN_SET(w->next, NULL);
    LW_PLAIN_SET(w->queued, false);
    if (LW_PLAIN_GET(w->starved)) {
        (void)lw_atomic_sub_relaxed_u32(lw_park_flags_of(d, LW_PLAIN_GET(w->address)),
                                        LW_PARK_STARVED_);
    }
}

/* Under the queue's lock, so that nobody else adds to the starved. */
static void lw_park_starve(lw_domain *d, lw_waiter *w)
{
    lw_atomic_u32 *flags = lw_park_flags_of(d, LW_PLAIN_GET(w->address));
    if (!LW_PLAIN_GET(w->starved) &&
        (lw_atomic_load_relaxed_u32(flags) & LW_PARK_STARVED_MAX_) != LW_PARK_STARVED_MAX_) {
        LW_PLAIN_SET(w->starved, true);
        (void)lw_atomic_add_relaxed_u32(flags, LW_PARK_STARVED_);
    }
}

/* The one behind which a waiter since `since_ns` belongs; NULL: it is the first. */
static lw_waiter *lw_park_place(lw_park_queue *q, int64_t since_ns)
{
    lw_waiter *before = NULL, *w = LW_PLAIN_GET(q->first);
    if (w == NULL || LW_PLAIN_GET(LW_PLAIN_GET(q->last)->since_ns) <= since_ns) {
        return LW_PLAIN_GET(q->last);
    }
    while (w != NULL && LW_PLAIN_GET(w->since_ns) <= since_ns) {
        before = w;
        w = LW_PLAIN_GET(w->next);
    }
    return before;
}

/* A waiter leaves by itself. Returns whether another waits on its address. It is not there if a
 * signal handler forked in its wait and this is the child (lw_park_forked_). */
static bool lw_park_quit(lw_domain *d, lw_park_queue *q, lw_waiter *own)
{
    lw_waiter *before = NULL, *w, *next;
    bool more = false;
    for (w = LW_PLAIN_GET(q->first); w != NULL; w = next) {
        next = LW_PLAIN_GET(w->next);
        if (w == own) {
            lw_park_unlink(d, q, before, w);
        } else {
            more |= LW_PLAIN_GET(w->address) == LW_PLAIN_GET(own->address);
            before = w;
        }
    }
    return more;
}

typedef int (*lw_park_choose_fn)(void *arg, lw_domain *d, lw_park_queue *q, lw_waiter *w);

/* Takes out those that `choose` takes; the first of them, linked by `next`. */
static lw_waiter *lw_park_take(lw_domain *d, const void *address, lw_park_choose_fn choose,
                               void *choose_arg, lw_unpark_decide_fn decide, void *arg,
                               lw_unpark_result *result)
{
    lw_park_queue *q = lw_park_queue_of(d, address);
    lw_waiter *first = NULL, *last = NULL, *before = NULL, *w, *next;
    bool stop = false;
    uintptr_t token;
    result->woken = 0;
    result->more = false;
    lw_rawlock_lock_(&q->lock);
    for (w = LW_PLAIN_GET(q->first); w != NULL && !(stop && result->more); w = next) {
        next = LW_PLAIN_GET(w->next);
        if (LW_PLAIN_GET(w->address) == address) {
            int choice = stop ? LW_UNPARK_STOP_ : choose(choose_arg, d, q, w);
            if (choice == LW_UNPARK_TAKE_) {
                lw_park_unlink(d, q, before, w);
                if (LW_PLAIN_GET(w->how)->announce) {
                    /* While it wakes up, releases need not come here for its sake. */
                    (void)lw_atomic_sub_relaxed_u32(lw_park_flags_of(d, address), 1);
                }
                if (last == NULL) {
                    first = w;
                } else {
                    LW_PLAIN_SET(last->next, w);
                }
                last = w;
                result->woken++;
                continue;
            }
            result->more = true;
            stop = choice == LW_UNPARK_STOP_;
        }
        before = w;
    }
    token = decide != NULL ? decide(arg, *result) : 0;
    for (w = first; w != NULL; w = LW_PLAIN_GET(w->next)) {
        LW_PLAIN_SET(w->token, token);
    }
    lw_rawlock_unlock_(&q->lock);
    return first;
}

static void lw_park_wake_taken(lw_waiter *first)
{
    while (first != NULL) {
        /* Out of the queue, a waiter stays until this call: it waits for nothing else. */
        lw_waiter *w = first;
        first = LW_PLAIN_GET(w->next); /* before the wake: after it the waiter is gone */
        lw_parker_wake_(&w->parker);
    }
}

static lw_unpark_result lw_park_wake(lw_domain *d, const void *address, lw_park_choose_fn choose,
                                     void *choose_arg, lw_unpark_decide_fn decide, void *arg)
{
    lw_unpark_result result;
    lw_park_wake_taken(lw_park_take(d, address, choose, choose_arg, decide, arg, &result));
    return result;
}

static int lw_park_choose_first(void *arg, lw_domain *d, lw_park_queue *q, lw_waiter *w)
{
    bool *taken = (bool *)arg;
    (void)d, (void)q, (void)w;
    if (*taken) {
        return LW_UNPARK_STOP_;
    }
    *taken = true;
    return LW_UNPARK_TAKE_;
}

lw_unpark_result lw_unpark_one(const void *address, lw_unpark_decide_fn decide, void *arg)
{
    bool taken = false;
    return lw_park_wake(lw_domain_get(), address, lw_park_choose_first, &taken, decide, arg);
}

static int lw_park_choose_all(void *arg, lw_domain *d, lw_park_queue *q, lw_waiter *w)
{
    (void)arg, (void)d, (void)q, (void)w;
    return LW_UNPARK_TAKE_;
}

static uintptr_t lw_park_decide_token(void *arg, lw_unpark_result result)
{
    (void)result;
    return *(const uintptr_t *)arg;
}

size_t lw_unpark_all(const void *address, uintptr_t token)
{
    return lw_park_wake(lw_domain_get(), address, lw_park_choose_all, NULL, lw_park_decide_token,
                        &token)
        .woken;
}

typedef struct lw_park_chooser {
    lw_unpark_choose_fn_ choose;
    void *arg;
} lw_park_chooser;

static int lw_park_choose_some(void *arg, lw_domain *d, lw_park_queue *q, lw_waiter *w)
{
    const lw_park_chooser *chooser = (const lw_park_chooser *)arg;
    (void)d, (void)q;
    return chooser->choose(chooser->arg, LW_PLAIN_GET(w->how)->arg);
}

lw_unpark_result lw_unpark_some_(const void *address, lw_unpark_choose_fn_ choose,
                                 lw_unpark_decide_fn decide, void *arg)
{
    lw_park_chooser chooser;
    chooser.choose = choose;
    chooser.arg = arg;
    return lw_park_wake(lw_domain_get(), address, lw_park_choose_some, &chooser, decide, arg);
}

lw_unpark_taken_ lw_unpark_take_(const void *address, lw_unpark_choose_fn_ choose,
                                 lw_unpark_decide_fn decide, void *arg)
{
    lw_domain *d = lw_domain_get();
    lw_unpark_result result;
    lw_unpark_taken_ taken;
    lw_park_chooser chooser;
    chooser.choose = choose;
    chooser.arg = arg;
    taken.ticket = lw_park_ticket(d);
    taken.first = lw_park_take(d, address, lw_park_choose_some, &chooser, decide, arg, &result);
    return taken;
}

void lw_unpark_wake_(lw_unpark_taken_ taken, uintptr_t token)
{
    lw_waiter *first = (lw_waiter *)taken.first, *w;
    if (!lw_park_ticket_holds_(taken.ticket)) {
        return; /* they were threads of the parent, and their stacks may be used anew */
    }
    for (w = first; w != NULL; w = LW_PLAIN_GET(w->next)) {
        LW_PLAIN_SET(w->token, token);
    }
    lw_park_wake_taken(first);
}

lw_status lw_park(const void *address, lw_park_validate_fn validate, lw_park_leave_fn leave,
                  void *arg, int64_t timeout_ns, unsigned flags, uintptr_t *token)
{
    lw_park_how_ how = {validate, leave, NULL, NULL, NULL, arg, 0, false, false};
    return lw_park_with_(address, &how, timeout_ns, flags, token);
}

/* The flags are all it needs. */
static void lw_park_resume(void *arg)
{
    (void)lw_held_resume_(-1, *(const unsigned *)arg);
}

/* From here on releases wake the next one again. Those that have left that to this waiter went
 * through the lock before, so their stores are seen here: if there is nothing to wait for now, and
 * it may be long until this waiter looks, another is woken in its place. One, and only if a wake
 * was left out: or each of them would wake the next while the first is still on its way. */
static void lw_park_woken(lw_park_queue *q, lw_waiter *w, bool delayed)
{
    const lw_park_how_ *how = LW_PLAIN_GET(w->how);
    bool owed;
    lw_rawlock_lock_(&q->lock);
    owed = LW_PLAIN_GET(q->owed);
    LW_PLAIN_SET(q->waking, NULL);
    LW_PLAIN_SET(q->owed, false);
    owed = owed && LW_PLAIN_GET(w->token) == 0 && !how->validate(how->arg);
    lw_rawlock_unlock_(&q->lock);
    if (delayed && owed) {
        lw_park_notify_(LW_PLAIN_GET(w->address));
    }
}

lw_status lw_park_with_(const void *address, const lw_park_how_ *how, int64_t timeout_ns,
                        unsigned flags, uintptr_t *token)
{
    lw_domain *d = lw_domain_get();
    lw_park_queue *q = lw_park_queue_of(d, address);
    int64_t now_ns = lw_now_();
    int64_t deadline_ns = lw_deadline_from_(now_ns, timeout_ns);
    uint32_t since_fork;
    uint32_t ticket = how->announce ? lw_park_announce_(address) : 0;
    lw_status status;
    void *host = NULL;
    bool held;
    lw_waiter w;

    LW_PLAIN_SET(w.address, address);
    LW_PLAIN_SET(w.how, how);
    LW_PLAIN_SET(w.token, 0);
    LW_PLAIN_SET(w.starved, false);
    LW_PLAIN_SET(w.waking, false);
    LW_PLAIN_SET(w.since_ns, how->since_ns != 0 ? how->since_ns : now_ns);

    lw_rawlock_lock_(&q->lock);
    if (how->announce && !lw_park_ticket_holds_(ticket)) {
        /* A signal handler has forked, and this is the child. */
        ticket = lw_park_announce_(address);
    }
    /* The look under the lock: a waker changes the object first and takes this lock after, so it
     * either finds this waiter in the queue or has made `validate` say no. */
    status = !how->validate(how->arg) ? LW_AGAIN : timeout_ns == 0 ? LW_TIMEOUT : LW_OK;
    if (status != LW_OK) {
        lw_rawlock_unlock_(&q->lock);
        lw_park_retract_(address, ticket);
        return status;
    }
    since_fork = lw_park_ticket(d); /* not before: that may have been in the parent */
    lw_parker_prepare_(&w.parker);
    lw_park_link(q, how->since_ns == 0 ? LW_PLAIN_GET(q->last) : lw_park_place(q, how->since_ns),
                 &w);
    lw_rawlock_unlock_(&q->lock);

    if (how->queued != NULL) {
        how->queued(how->arg);
    }
    held = lw_held_suspend_();
    if ((flags & LW_WAIT_ATTACHED) == 0) {
        host = lw_host_detach_();
    }
    status = lw_parker_wait_(&w.parker, deadline_ns, (flags & LW_WAIT_INTERRUPTIBLE) != 0);
    if (status != LW_OK) {
        lw_rawlock_lock_(&q->lock);
        if (LW_PLAIN_GET(w.queued)) {
            bool more = lw_park_quit(d, q, &w);
            if (how->leave != NULL) {
                how->leave(how->arg, !more);
            }
            lw_rawlock_unlock_(&q->lock);
            lw_park_retract_(address, ticket);
        } else {
            lw_rawlock_unlock_(&q->lock);
            if (lw_park_ticket(d) == since_fork) {
                /* A waker took this waiter out: its wake is on the way and must not be lost. */
                status = lw_parker_wait_(&w.parker, -1, false);
            } /* else it was a thread of the parent */
        }
    }
    lw_parker_finish_(&w.parker);
    if (LW_PLAIN_GET(w.waking) && lw_park_ticket(d) == since_fork) {
        lw_park_woken(q, &w, host != NULL || held);
    }
    if (token != NULL) {
        *token = LW_PLAIN_GET(w.token);
    }
    /* After all that, for it may end the thread: nothing points to this stack any more. */
    if (host != NULL && how->lost != NULL) {
        lw_guard_(lw_host_attach_, host, how->lost, how->arg);
    } else if (host != NULL) {
        lw_host_attach_(host);
    }
    if (held && !lw_held_resume_(0, flags & LW_WAIT_ATTACHED)) {
        unsigned attached = flags & LW_WAIT_ATTACHED;
        if (status == LW_OK && how->gives_way && how->lost != NULL) {
            /* It may be long until the section is free, and who has it may need just this. */
            how->lost(how->arg);
            if (token != NULL) {
                *token = 0;
            }
            status = LW_AGAIN;
            lw_park_resume(&attached);
        } else if (how->lost != NULL) {
            lw_guard_(lw_park_resume, &attached, how->lost, how->arg);
        } else {
            lw_park_resume(&attached);
        }
    }
    return status;
}

/* The first waiter says whether it is woken. */
typedef struct lw_park_granted {
    bool first;
    uintptr_t token;
} lw_park_granted;

static int lw_park_choose_granted(void *arg, lw_domain *d, lw_park_queue *q, lw_waiter *w)
{
    lw_park_granted *granted = (lw_park_granted *)arg;
    const lw_park_how_ *how = LW_PLAIN_GET(w->how);
    int64_t last_ns = LW_PLAIN_GET(q->last_ns);
    bool first = granted->first;
    lw_waiter *waking;
    int grant;
    granted->first = false;
    if (!first) {
        return LW_UNPARK_STOP_;
    }
    if (how->grant == NULL) {
        return LW_UNPARK_TAKE_;
    }
    grant = how->grant(how->arg, &last_ns, &granted->token);
    LW_PLAIN_SET(q->last_ns, last_ns);
    if (grant == LW_GRANT_STARVED_) {
        lw_park_starve(d, w);
    }
    waking = LW_PLAIN_GET(q->waking);
    if (grant == LW_GRANT_YES_ && waking == NULL) {
        LW_PLAIN_SET(q->waking, w);
        LW_PLAIN_SET(w->waking, true);
    } else if (grant == LW_GRANT_YES_ && granted->token == 0 &&
               LW_PLAIN_GET(waking->address) == LW_PLAIN_GET(w->address)) {
        LW_PLAIN_SET(q->owed, true);
        return LW_UNPARK_STOP_;
    }
    return grant == LW_GRANT_YES_ ? LW_UNPARK_TAKE_ : LW_UNPARK_STOP_;
}

static uintptr_t lw_park_decide_granted(void *arg, lw_unpark_result result)
{
    (void)result;
    return ((const lw_park_granted *)arg)->token;
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
    flags = lw_park_flags_of(d, address);
    word = lw_atomic_load_relaxed_u32(flags);
    if ((word & ~(uint32_t)LW_PARK_FENCED_) != 0) {
        lw_park_granted granted = {true, 0};
        (void)lw_park_wake(d, address, lw_park_choose_granted, &granted, lw_park_decide_granted,
                           &granted);
    } else if (word != 0) {
        lw_park_count_quiet(d, address, flags);
    }
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
