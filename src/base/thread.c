/* SPDX-License-Identifier: BSD-2-Clause */
#include "domain_internal.h"

LW_TLS lw_tls_slot lw_tls_slot_;

static const lw_module_hooks *lw_module(lw_domain *d, int module)
{
    return (const lw_module_hooks *)lw_atomic_load_relaxed_ptr(&d->modules[module]);
}

static lw_record *lw_record_take(lw_domain *d)
{
    lw_record *r;
    void *raw;
    lw_rawlock_lock_(&d->lock);
    r = d->free_records;
    if (r != NULL) {
        d->free_records = r->next_free;
        r->in_use = true;
    }
    lw_rawlock_unlock_(&d->lock);
    if (r != NULL) {
        return r;
    }
    raw = lw_alloc(LW_LINES_SIZE(sizeof *r));
    if (raw == NULL) {
        return NULL;
    }
    r = (lw_record *)LW_LINES_ALIGN(raw); /* never freed */
    r->head.smr_clock = &d->smr_clock;
    lw_rawlock_init_(&r->ref_lock);
    lw_rawlock_lock_(&d->lock);
    r->in_use = true;
    LW_PLAIN_SET(r->next, (lw_record *)lw_atomic_load_relaxed_ptr(&d->records));
    /* (1) release: pairs with the acquire loads that walk the list. */
    lw_atomic_store_release_ptr(&d->records, r);
    lw_rawlock_unlock_(&d->lock);
    return r;
}

static void lw_record_give(lw_domain *d, lw_record *r)
{
    lw_rawlock_lock_(&d->lock);
    r->in_use = false;
    r->next_free = d->free_records;
    d->free_records = r;
    lw_rawlock_unlock_(&d->lock);
}

/* A process may have used up its keys for a while. */
static bool lw_thread_has_key(lw_domain *d)
{
    bool made = true;
    /* (2) acquire: pairs with (3), for the key. */
    if (LW_UNLIKELY(lw_atomic_load_acquire_u32(&d->has_key) == 0)) {
        lw_rawlock_lock_(&d->lock);
        if (lw_atomic_load_relaxed_u32(&d->has_key) == 0) {
            made = lw_key_create_(&d->key, lw_thread_exit_);
            /* (3) release: pairs with (2). */
            lw_atomic_store_release_u32(&d->has_key, made);
        }
        lw_rawlock_unlock_(&d->lock);
    }
    return made;
}

LW_COLD lw_thread *lw_thread_attach_(void)
{
    lw_tls_slot *slot = LW_TLS_SLOT_();
    lw_domain *d = lw_domain_get();
    lw_record *r;
    if (slot->anonymous_depth != 0 || !lw_thread_has_key(d)) {
        return NULL; /* a section that began without a record ends without one */
    }
    r = (lw_record *)lw_key_get_(d->key);
    if (r == NULL) {
        r = lw_record_take(d);
        if (r == NULL) {
            return NULL;
        }
        if (!lw_key_set_(d->key, r)) {
            lw_record_give(d, r);
            return NULL;
        }
        r->head.smr_strong = !d->has_membarrier;
        /* Under the lock: whoever merged for the record's dead owner is done (ref.c). */
        lw_rawlock_lock_(&r->ref_lock);
        LW_PLAIN_SET(r->ref_alive, true);
        lw_rawlock_unlock_(&r->ref_lock);
        /* Counted before any section of this thread: a lone thread that reclaims without a grace
         * period (smr.c) either sees the count or is seen by the sections. The dear half is here,
         * so that theirs is the cheap one. */
        (void)lw_atomic_add_relaxed_u64(&d->live, 1);
        if (d->has_membarrier) { /* else every section has a full fence of its own */
            lw_membarrier_();
        }
    }
    slot->next = r->slots;
    r->slots = slot;
    slot->self = &r->head;
    return slot->self;
}

/* The destructor of the key. The thread is detached from any host; other destructors of it may run
 * later and make it start anew. */
void lw_thread_exit_(void *value)
{
    lw_record *r = (lw_record *)value;
    lw_domain *d = lw_domain_get();
    bool closed;
    int i;
    /* Free functions that run now still find the record, through every copy. */
    (void)lw_key_set_(d->key, r);
    do {
        for (i = 0; i < LW_MODULES; i++) {
            const lw_module_hooks *hooks = lw_module(d, i);
            if (hooks != NULL && hooks->drain != NULL) {
                hooks->drain(r);
            }
        }
        for (i = 0; i < LW_MODULES; i++) {
            const lw_module_hooks *hooks = lw_module(d, i);
            if (hooks != NULL && hooks->close != NULL) {
                hooks->close(r);
            }
        }
        /* The rest is done here, whether or not a module has been used by now: another thread may
         * use it later, and must not take this record for a living thread's. A thread that ends
         * inside of a section ends the section. */
        r->head.smr_depth = 0;
        lw_atomic_store_release_u64(&r->head.smr_epoch, 0);
        lw_rawlock_lock_(&r->ref_lock);
        /* Whoever finds the queue closed merges in this thread's place (ref.c). */
        closed = lw_atomic_load_relaxed_ptr(&r->head.ref_queue) == NULL;
        LW_PLAIN_SET(r->ref_alive, !closed);
        lw_rawlock_unlock_(&r->ref_lock);
    } while (!closed);
    while (r->slots != NULL) {
        lw_tls_slot *slot = r->slots;
        r->slots = slot->next;
        slot->self = NULL;
        slot->next = NULL;
    }
    (void)lw_key_set_(d->key, NULL);
    lw_record_give(d, r);
    /* Release: this thread's sections happen before a lone thread's frees (smr.c). */
    (void)lw_atomic_sub_release_u64(&d->live, 1);
}

size_t lw_thread_count(void)
{
    return (size_t)lw_atomic_load_relaxed_u64(&lw_domain_get()->live);
}

size_t lw_thread_record_count(void)
{
    size_t n = 0;
    const lw_record *r = (const lw_record *)lw_atomic_load_acquire_ptr(&lw_domain_get()->records);
    for (; r != NULL; r = LW_PLAIN_GET(r->next)) {
        n++;
    }
    return n;
}

/* ---- fork ---- Every lock of the domain is taken before the fork, so that the child finds what
 * they protect whole. What other threads owned alone is abandoned: it may be half-changed. */

/* The domain whose locks this copy has taken for this thread's fork: of several copies, the one
 * that made the domain. */
static LW_TLS lw_domain *lw_forking;

static void lw_fork_before(void)
{
    lw_domain *d = lw_domain_own_();
    lw_record *r;
    int i;
    if (d == NULL) {
        return;
    }
    lw_rawlock_lock_(&d->lock);
    lw_forking = d;
    d->forking = 0;
    for (i = 0; i < LW_MODULES; i++) {
        const lw_module_hooks *hooks = lw_module(d, i);
        if (hooks != NULL && hooks->before_fork != NULL) {
            d->forking |= 1u << i; /* another may be registered before the fork is done */
            hooks->before_fork(d);
        }
    }
    for (r = (lw_record *)lw_atomic_load_acquire_ptr(&d->records); r != NULL;
         r = LW_PLAIN_GET(r->next)) {
        lw_rawlock_lock_(&r->ref_lock);
    }
}

static void lw_fork_parent(void)
{
    lw_domain *d = lw_forking;
    lw_record *r;
    int i;
    if (d == NULL) {
        return;
    }
    lw_forking = NULL;
    for (r = (lw_record *)lw_atomic_load_acquire_ptr(&d->records); r != NULL;
         r = LW_PLAIN_GET(r->next)) {
        lw_rawlock_unlock_(&r->ref_lock);
    }
    for (i = 0; i < LW_MODULES; i++) {
        const lw_module_hooks *hooks = lw_module(d, i);
        if ((d->forking & 1u << i) != 0) {
            hooks->after_fork(d, false);
        }
    }
    lw_rawlock_unlock_(&d->lock);
}

static void lw_fork_child(void)
{
    lw_domain *d = lw_forking;
    lw_record *self;
    bool has_key;
    lw_record *r;
    int i;
    if (d == NULL) {
        return;
    }
    lw_forking = NULL;
    has_key = lw_atomic_load_relaxed_u32(&d->has_key) != 0;
    self = has_key ? (lw_record *)lw_key_get_(d->key) : NULL;
    lw_rawlock_init_(&d->lock);
    d->free_records = NULL;
    d->has_membarrier = d->has_membarrier && lw_membarrier_init_();
    for (i = 0; i < LW_MODULES; i++) {
        const lw_module_hooks *hooks = lw_module(d, i);
        if ((d->forking & 1u << i) != 0) {
            hooks->after_fork(d, true);
        }
    }
    for (r = (lw_record *)lw_atomic_load_acquire_ptr(&d->records); r != NULL;
         r = LW_PLAIN_GET(r->next)) {
        lw_rawlock_init_(&r->ref_lock);
        if (r == self) {
            continue;
        }
        for (i = 0; i < LW_MODULES; i++) {
            const lw_module_hooks *hooks = lw_module(d, i);
            if (hooks != NULL && hooks->forked != NULL) {
                hooks->forked(r);
            }
        }
        lw_atomic_store_relaxed_u64(&r->head.smr_epoch, 0);
        r->head.smr_depth = 0;
        LW_PLAIN_SET(r->ref_alive, false);
        r->slots = NULL;
        r->in_use = false;
        r->next_free = d->free_records;
        d->free_records = r;
    }
    if (self != NULL) {
        self->head.smr_strong = !d->has_membarrier;
    }
    lw_atomic_store_relaxed_u64(&d->live, self != NULL ? 1 : 0);
}

void lw_thread_fork_init_(void)
{
    lw_at_fork_(lw_fork_before, lw_fork_parent, lw_fork_child);
}
