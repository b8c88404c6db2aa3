/* SPDX-License-Identifier: BSD-2-Clause */
/* The numbers of the orders go on from smr.h: (1), (2) and (6) are there. docs/smr.md has the
 * argument. */
#include <latchwork/smr.h>

#include "../base/domain_internal.h"

/* How long lw_smr_flush and lw_smr_synchronize sleep between two looks: the first ones only
 * yield. */
#ifndef LW_SMR_YIELDS
#define LW_SMR_YIELDS 16
#endif
#define LW_SMR_SLEEP_MIN_NS INT64_C(20000)
#define LW_SMR_SLEEP_MAX_NS INT64_C(1000000)

/* Objects that were refused are offered to a thread again when, since it was asked, another batch
 * of them has gathered, or, of many, as many again; and after ASK_EVERY of its collections, and a
 * quarter as many more as it refused. So neither side waits for ever, and a thread that always
 * refuses does so some ten times for each object. */
#define LW_SMR_ASK_EVERY 16

static void lw_batch_add(lw_smr_batch *b, lw_smr_node *node, size_t bytes)
{
    node->next = NULL;
    if (b->last == NULL) {
        b->first = node;
    } else {
        b->last->next = node;
    }
    b->last = node;
    b->count++;
    b->bytes += bytes;
}

static lw_smr_batch lw_batch_take(lw_smr_batch *b)
{
    lw_smr_batch taken = *b;
    b->first = b->last = NULL;
    b->count = b->bytes = 0;
    b->stamp = 0;
    return taken;
}

/* Moves all of `from` to the end of `to`; the later stamp holds for both. */
static void lw_batch_join(lw_smr_batch *to, lw_smr_batch *from)
{
    if (from->first != NULL) {
        if (to->last == NULL) {
            to->first = from->first;
        } else {
            to->last->next = from->first;
        }
        to->last = from->last;
        to->count += from->count;
        to->bytes += from->bytes;
        if (from->stamp > to->stamp) {
            to->stamp = from->stamp;
        }
        (void)lw_batch_take(from);
    }
}

/* (3) The dear half: every section whose epoch a later scan (5) does not see has yet to do its
 * loads, and they will find what was unlinked before this. Pairs with lw_fence_light in
 * lw_smr_enter. */
static void lw_smr_fence_heavy(lw_domain *d)
{
    if (LW_LIKELY(d->has_membarrier)) {
        lw_membarrier_();
    } else {
        lw_fence_seq_cst();
    }
}

/* Begins a grace period: it has passed when lw_smr_oldest() is at least what this returns. */
static uint64_t lw_smr_begin(lw_domain *d)
{
    lw_smr_fence_heavy(d);
    /* (4) release: a section that reads this epoch or a later one (1) finds what was unlinked
     * before. Acquire: keeps the scan (5) behind it. */
    return lw_atomic_add_acq_rel_u64(&d->smr_clock, 1) + 1;
}

/* The oldest epoch that a section is open in; UINT64_MAX: none is. */
static uint64_t lw_smr_oldest(lw_domain *d)
{
    uint64_t oldest = UINT64_MAX;
    const lw_record *r = (const lw_record *)lw_atomic_load_acquire_ptr(&d->records);
    /* (5) acquire: pairs with (2), (6) and (7): what ended sections have read happens before the
     * frees. */
    if (lw_atomic_load_acquire_u64(&d->smr_anonymous) != 0) {
        return 0;
    }
    for (; r != NULL; r = LW_PLAIN_GET(r->next)) {
        uint64_t epoch = lw_atomic_load_acquire_u64(&r->head.smr_epoch);
        if (epoch != 0 && epoch < oldest) {
            oldest = epoch;
        }
    }
    return oldest;
}

/* Whether no other thread can be in a section: then nothing needs to wait. Another thread that
 * starts now counts itself, runs the dear half, and only then opens sections (thread.c;
 * lw_smr_enter_slow_): either it is seen here, or its sections find what was unlinked before. */
static bool lw_smr_alone(lw_domain *d, const lw_record *self)
{
    lw_fence_light();
    if (LW_UNLIKELY(!d->has_membarrier)) {
        lw_fence_seq_cst();
    }
    return self->head.smr_depth == 0 && lw_atomic_load_acquire_u64(&d->live) == 1 &&
           lw_atomic_load_acquire_u64(&d->smr_anonymous) == 0;
}

/* The deferred objects are counted with those that a thread is being asked for again: two threads
 * that refuse must not take each other's batch for the end of all. */
static void lw_smr_count_deferred(lw_domain *d, size_t bytes)
{
    (void)lw_atomic_add_relaxed_u64(&d->smr_deferred_count, 1);
    (void)lw_atomic_add_relaxed_u64(&d->smr_deferred_bytes, bytes);
}

static void lw_smr_uncount_deferred(lw_domain *d, size_t count, size_t bytes)
{
    (void)lw_atomic_sub_relaxed_u64(&d->smr_deferred_count, count);
    (void)lw_atomic_sub_relaxed_u64(&d->smr_deferred_bytes, bytes);
}

static bool lw_smr_grown(size_t now, size_t asked, size_t least)
{
    return now >= asked + (asked < least ? least : asked);
}

/* Whether so many objects have been deferred since this thread was asked that it is to be asked
 * again. Each thread counts for itself: one that always refuses keeps no other from being asked. */
static bool lw_smr_due_to_ask(lw_domain *d, lw_record *self)
{
    size_t count = (size_t)lw_atomic_load_relaxed_u64(&d->smr_deferred_count);
    size_t bytes;
    if (LW_LIKELY(count == 0)) {
        self->asked = self->asked_bytes = 0;
        return false;
    }
    bytes = (size_t)lw_atomic_load_relaxed_u64(&d->smr_deferred_bytes);
    self->asked = count < self->asked ? count : self->asked;
    self->asked_bytes = bytes < self->asked_bytes ? bytes : self->asked_bytes;
    return lw_smr_grown(count, self->asked, LW_SMR_BATCH) ||
           lw_smr_grown(bytes, self->asked_bytes, LW_SMR_BATCH_BYTES);
}

/* Runs the free functions of a batch, with nothing held. Returns how many objects are gone. A free
 * function that ends the thread leaves the rest in the batch. `again`: they were deferred. */
static size_t lw_smr_free(lw_domain *d, lw_smr_batch *batch, bool again)
{
    size_t each = batch->count != 0 ? batch->bytes / batch->count : 0; /* about */
    size_t freed = 0;
    while (batch->first != NULL) {
        lw_smr_node *node = batch->first;
        batch->first = node->next; /* before: the node goes with its object */
        batch->count--;
        batch->bytes -= each;
        if (batch->first == NULL) {
            (void)lw_batch_take(batch);
        }
        if (again) {
            lw_smr_uncount_deferred(d, 1, each);
        }
        if (node->free_fn(node)) {
            freed++;
        } else {
            lw_rawlock_lock_(&d->smr_lock);
            lw_batch_add(&d->smr_deferred, node, each);
            lw_smr_count_deferred(d, each);
            lw_rawlock_unlock_(&d->smr_lock);
        }
    }
    return freed;
}

static void lw_smr_account(lw_record *self)
{
    uint64_t count = self->open.count, bytes = self->open.bytes;
    unsigned i;
    for (i = 0; i < self->closed_count; i++) {
        count += self->closed[i].count;
        bytes += self->closed[i].bytes;
    }
    lw_atomic_store_relaxed_u64(&self->pending, count);
    lw_atomic_store_relaxed_u64(&self->pending_bytes, bytes);
}

/* Under the lock, after a change of the lists of orphans. */
static void lw_smr_note_left(lw_domain *d)
{
    lw_atomic_store_relaxed_u32(&d->smr_left,
                                d->smr_orphans.first != NULL || d->smr_waiting.first != NULL);
}

/* What threads that are gone have left, and what was deferred. `self`: this thread's record, if it
 * has one. */
static size_t lw_smr_collect_orphans(lw_domain *d, lw_record *self, bool deferred)
{
    lw_smr_batch here = {NULL, NULL, 0, 0, 0};
    lw_smr_batch *due = self != NULL ? &self->due : &here;
    size_t freed = 0;
    if (lw_atomic_load_relaxed_u32(&d->smr_left) != 0) {
        lw_rawlock_lock_(&d->smr_lock);
        if (d->smr_waiting.first == NULL && d->smr_orphans.first != NULL) {
            lw_batch_join(&d->smr_waiting, &d->smr_orphans);
            d->smr_waiting.stamp = lw_smr_begin(d);
        }
        if (d->smr_waiting.first != NULL && d->smr_waiting.stamp <= lw_smr_oldest(d)) {
            lw_batch_join(due, &d->smr_waiting);
        }
        lw_smr_note_left(d);
        lw_rawlock_unlock_(&d->smr_lock);
        freed = lw_smr_free(d, due, false);
    }
    if (deferred && lw_atomic_load_relaxed_u64(&d->smr_deferred_count) != 0) {
        lw_rawlock_lock_(&d->smr_lock);
        lw_batch_join(due, &d->smr_deferred);
        if (due->count != 0) {
            size_t rest = due->bytes % due->count; /* as lw_smr_free counts them */
            due->bytes -= rest;
            lw_smr_uncount_deferred(d, 0, rest);
        }
        lw_rawlock_unlock_(&d->smr_lock);
        if (self != NULL) {
            self->asking = true;
        }
        freed += lw_smr_free(d, due, true);
        if (self != NULL) {
            self->asking = false;
        }
    }
    return freed;
}

/* Whether a collection also asks again those that said "not now". */
typedef enum lw_smr_ask { LW_SMR_ASK_NOT, LW_SMR_ASK_IN_TURN, LW_SMR_ASK_ALL } lw_smr_ask;

/* Begins a grace period for what has gathered, and frees what is past its own. Outside of
 * sections. */
static size_t lw_smr_collect(lw_domain *d, lw_record *self, lw_smr_ask ask)
{
    size_t freed = 0;
    unsigned i, kept = 0;
    if (self->freeing) {
        return 0;
    }
    self->freeing = true;
    while ((self->open.first != NULL || self->closed_count != 0) && lw_smr_alone(d, self)) {
        for (i = 0; i < self->closed_count; i++) {
            lw_batch_join(&self->due, &self->closed[i]);
        }
        self->closed_count = 0;
        lw_batch_join(&self->due, &self->open);
        /* Again: a free function may retire more. */
        freed += lw_smr_free(d, &self->due, false);
    }
    if (self->open.first != NULL) {
        lw_smr_batch batch = lw_batch_take(&self->open);
        batch.stamp = lw_smr_begin(d);
        if (self->closed_count == LW_SMR_CLOSED) {
            lw_batch_join(&self->closed[LW_SMR_CLOSED - 1], &batch);
        } else {
            self->closed[self->closed_count++] = batch;
        }
    }
    if (self->closed_count != 0) {
        uint64_t oldest = lw_smr_oldest(d);
        for (i = 0; i < self->closed_count; i++) {
            if (self->closed[i].stamp <= oldest) {
                lw_batch_join(&self->due, &self->closed[i]);
            } else {
                self->closed[kept++] = self->closed[i];
            }
        }
        self->closed_count = kept;
    }
    freed += lw_smr_free(d, &self->due, false);
    lw_smr_account(self);
    if (ask == LW_SMR_ASK_IN_TURN &&
        (++self->collects >= LW_SMR_ASK_EVERY + self->asked / 4 || lw_smr_due_to_ask(d, self))) {
        ask = LW_SMR_ASK_ALL;
    }
    freed += lw_smr_collect_orphans(d, self, ask == LW_SMR_ASK_ALL);
    if (ask == LW_SMR_ASK_ALL) {
        self->collects = 0;
        self->asked = (size_t)lw_atomic_load_relaxed_u64(&d->smr_deferred_count);
        self->asked_bytes = (size_t)lw_atomic_load_relaxed_u64(&d->smr_deferred_bytes);
    }
    self->freeing = false;
    return freed;
}

/* ---- thread exit ---- */

static void lw_smr_drain(lw_record *r)
{
    if (r->open.first != NULL || r->closed_count != 0) {
        /* A thread that is about to end is attached to no host: no use in asking it. */
        (void)lw_smr_collect(lw_domain_get(), r, LW_SMR_ASK_NOT);
    }
}

static void lw_smr_close(lw_record *r)
{
    lw_domain *d = lw_domain_get();
    unsigned i;
    lw_rawlock_lock_(&d->smr_lock);
    lw_batch_join(&d->smr_orphans, &r->open);
    for (i = 0; i < r->closed_count; i++) {
        lw_batch_join(&d->smr_orphans, &r->closed[i]);
    }
    /* If a free function ends the thread. */
    if (r->asking) {
        lw_smr_uncount_deferred(d, r->due.count, r->due.bytes);
    }
    lw_batch_join(&d->smr_orphans, &r->due);
    lw_smr_note_left(d);
    lw_rawlock_unlock_(&d->smr_lock);
    r->closed_count = 0;
    r->freeing = r->asking = false;
    r->asked = r->asked_bytes = 0;
    lw_smr_account(r);
}

static const lw_module_hooks lw_smr_hooks = {lw_smr_drain, lw_smr_close};

/* ---- sections ---- */

LW_COLD void lw_smr_enter_slow_(void)
{
    lw_domain *d = lw_domain_get();
    lw_tls_slot *slot = LW_TLS_SLOT_();
    if (slot->anonymous_depth == 0 && lw_thread_self() != NULL) {
        lw_smr_enter();
        return;
    }
    /* No record to be had: a count that all such threads share. Slow, and it holds up every grace
     * period. */
    if (slot->anonymous_depth++ == 0) {
        lw_thread_add_anonymous_(d, 1);
        (void)lw_atomic_add_relaxed_u64(&d->smr_anonymous, 1);
        /* As the dear half, it serves the lone reclaimer as well, whose half is the cheap one. */
        lw_smr_fence_heavy(d);
    }
}

LW_COLD void lw_smr_exit_slow_(void)
{
    lw_tls_slot *slot = LW_TLS_SLOT_();
    if (slot->anonymous_depth == 0) {
        lw_fatal_("lw_smr_exit", "no section is open on this thread");
    }
    if (--slot->anonymous_depth == 0) {
        lw_domain *d = lw_domain_get();
        uint64_t open = lw_atomic_load_relaxed_u64(&d->smr_anonymous);
        lw_thread_add_anonymous_(d, -1);
        /* (7) release: as (6). Not below zero: without a key, the child of a fork may not know of
         * this section. */
        while (open != 0 && !lw_atomic_cas_release_u64(&d->smr_anonymous, &open, open - 1)) {
        }
    }
}

bool lw_smr_in_section(void)
{
    const lw_tls_slot *slot = LW_TLS_SLOT_();
    const lw_record *r;
    if (slot->self != NULL) {
        return slot->self->smr_depth != 0;
    }
    /* Another copy may know more. */
    r = lw_thread_record_(lw_domain_get());
    return slot->anonymous_depth != 0 || (r != NULL && r->head.smr_depth != 0) ||
           lw_thread_anonymous_(lw_domain_get()) != 0;
}

/* ---- retiring ---- */

/* For a thread without a record. A free function that retires must not recurse. */
static size_t lw_smr_collect_anonymous(lw_domain *d, bool deferred)
{
    lw_tls_slot *slot = LW_TLS_SLOT_();
    size_t freed = 0;
    if (slot->anonymous_freeing == 0) {
        slot->anonymous_freeing = 1;
        freed = lw_smr_collect_orphans(d, NULL, deferred);
        slot->anonymous_freeing = 0;
    }
    return freed;
}

void lw_smr_retire_node(lw_smr_node *node, lw_smr_free_fn free_fn, size_t bytes)
{
    lw_domain *d = lw_domain_get();
    lw_thread *self = lw_thread_self();
    lw_record *r;
    lw_module_use_(d, LW_MODULE_SMR, &lw_smr_hooks);
    node->free_fn = free_fn;
    if (LW_UNLIKELY(self == NULL)) {
        bool full;
        lw_rawlock_lock_(&d->smr_lock);
        lw_batch_add(&d->smr_orphans, node, bytes);
        lw_smr_note_left(d);
        full = d->smr_orphans.count >= LW_SMR_BATCH || d->smr_orphans.bytes >= LW_SMR_BATCH_BYTES;
        lw_rawlock_unlock_(&d->smr_lock);
        if (full && !lw_smr_in_section()) {
            (void)lw_smr_collect_anonymous(d, false);
        }
        return;
    }
    r = lw_record_of(self);
    lw_batch_add(&r->open, node, bytes);
    if (self->smr_depth == 0 && !r->freeing &&
        (r->open.count >= LW_SMR_BATCH || r->open.bytes >= LW_SMR_BATCH_BYTES ||
         lw_smr_due_to_ask(d, r) || lw_smr_alone(d, r))) {
        (void)lw_smr_collect(d, r, LW_SMR_ASK_IN_TURN);
        return;
    }
    lw_atomic_store_relaxed_u64(&r->pending, lw_atomic_load_relaxed_u64(&r->pending) + 1);
    lw_atomic_store_relaxed_u64(&r->pending_bytes,
                                lw_atomic_load_relaxed_u64(&r->pending_bytes) + bytes);
}

typedef struct lw_smr_note {
    lw_smr_node node; /* first */
    void *ptr;
    void (*free_fn)(void *ptr);
} lw_smr_note;

static bool lw_smr_free_note(lw_smr_node *node)
{
    lw_smr_note *note = (lw_smr_note *)(void *)node;
    void *ptr = note->ptr;
    void (*free_fn)(void *) = note->free_fn;
    lw_free(note);
    free_fn(ptr);
    return true;
}

lw_status lw_smr_retire_sized(void *ptr, size_t bytes, void (*free_fn)(void *ptr))
{
    lw_smr_note *note = (lw_smr_note *)lw_alloc(sizeof *note);
    if (LW_UNLIKELY(note == NULL)) {
        if (lw_smr_synchronize() != LW_OK) {
            return LW_NOMEM;
        }
        free_fn(ptr);
        return LW_OK;
    }
    note->ptr = ptr;
    note->free_fn = free_fn;
    lw_smr_retire_node(&note->node, lw_smr_free_note, bytes + sizeof *note);
    return LW_OK;
}

lw_status lw_smr_retire(void *ptr, void (*free_fn)(void *ptr))
{
    return lw_smr_retire_sized(ptr, 0, free_fn);
}

/* ---- waiting ---- */

static void lw_smr_pause(unsigned *round)
{
    if (*round < LW_SMR_YIELDS) {
        lw_yield_();
    } else {
        int64_t ns = LW_SMR_SLEEP_MIN_NS
                     << (*round - LW_SMR_YIELDS > 6 ? 6 : *round - LW_SMR_YIELDS);
        void *host = lw_block_begin();
        lw_sleep_(ns > LW_SMR_SLEEP_MAX_NS ? LW_SMR_SLEEP_MAX_NS : ns);
        lw_block_end(host);
    }
    ++*round;
}

/* Whether waiting for a grace period would be waiting for this thread. */
static bool lw_smr_would_deadlock(lw_domain *d)
{
    const lw_record *r = lw_thread_record_(d);
    return lw_smr_in_section() || (r != NULL && r->freeing) ||
           LW_TLS_SLOT_()->anonymous_freeing != 0;
}

size_t lw_smr_poll(void)
{
    lw_thread *self = lw_thread_self();
    if (lw_smr_in_section()) {
        return 0;
    }
    return self != NULL ? lw_smr_collect(lw_domain_get(), lw_record_of(self), LW_SMR_ASK_ALL)
                        : lw_smr_collect_anonymous(lw_domain_get(), true);
}

static bool lw_smr_orphans_left(lw_domain *d)
{
    bool left;
    lw_rawlock_lock_(&d->smr_lock);
    left = d->smr_orphans.first != NULL || d->smr_waiting.first != NULL;
    lw_rawlock_unlock_(&d->smr_lock);
    return left;
}

lw_status lw_smr_flush(void)
{
    lw_domain *d = lw_domain_get();
    unsigned round = 0;
    if (lw_smr_would_deadlock(d)) {
        return LW_BUSY;
    }
    for (;;) {
        lw_thread *self = lw_thread_self();
        const lw_record *r = self != NULL ? lw_record_of(self) : NULL;
        (void)lw_smr_poll();
        if ((r == NULL || (r->open.first == NULL && r->closed_count == 0)) &&
            !lw_smr_orphans_left(d)) {
            return LW_OK;
        }
        lw_smr_pause(&round);
    }
}

lw_status lw_smr_synchronize(void)
{
    uint64_t grace;
    unsigned round = 0;
    if (lw_smr_in_section()) {
        return LW_BUSY;
    }
    grace = lw_smr_grace_start();
    while (!lw_smr_grace_passed(grace)) {
        lw_smr_pause(&round);
    }
    return LW_OK;
}

uint64_t lw_smr_grace_start(void)
{
    return lw_smr_begin(lw_domain_get());
}

bool lw_smr_grace_passed(uint64_t grace)
{
    return grace <= lw_smr_oldest(lw_domain_get());
}

lw_smr_stats lw_smr_get_stats(void)
{
    lw_domain *d = lw_domain_get();
    const lw_record *r = (const lw_record *)lw_atomic_load_acquire_ptr(&d->records);
    lw_smr_stats stats;
    lw_rawlock_lock_(&d->smr_lock);
    stats.pending = d->smr_orphans.count + d->smr_waiting.count;
    stats.pending_bytes = d->smr_orphans.bytes + d->smr_waiting.bytes;
    lw_rawlock_unlock_(&d->smr_lock);
    stats.pending += (size_t)lw_atomic_load_relaxed_u64(&d->smr_deferred_count);
    stats.pending_bytes += (size_t)lw_atomic_load_relaxed_u64(&d->smr_deferred_bytes);
    for (; r != NULL; r = LW_PLAIN_GET(r->next)) {
        stats.pending += (size_t)lw_atomic_load_relaxed_u64(&r->pending);
        stats.pending_bytes += (size_t)lw_atomic_load_relaxed_u64(&r->pending_bytes);
    }
    stats.epoch = lw_atomic_load_relaxed_u64(&d->smr_clock);
    return stats;
}
