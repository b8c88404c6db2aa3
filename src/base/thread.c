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

/* A mutex that its thread ended in stays locked, and belongs to no later thread: nor does the
 * record. */
static bool lw_record_locks(const lw_record *r)
{
    bool locks = r->head.biased_locked != 0;
    int i;
    for (i = 0; i < LW_BIASED_SLOTS; i++) {
        locks |= lw_atomic_load_relaxed_ptr(&r->head.biased[i]) != NULL;
    }
    return locks;
}

/* What the key holds for a thread: its record; or, without one, a number with the lowest bit set:
 * how many of its sections without a record are open. */
#define LW_KEY_NUMBER ((uintptr_t)1)
#define LW_KEY_SECTION ((uintptr_t)2)

/* False: there is no key yet. */
static bool lw_key_value(lw_domain *d, uintptr_t *value)
{
    /* (2) acquire: pairs with (3), for the key. */
    bool known = lw_atomic_load_acquire_u32(&d->has_key) != 0;
    *value = known ? (uintptr_t)lw_key_get_(d->key) : 0;
    return known;
}

lw_record *lw_thread_record_(lw_domain *d)
{
    uintptr_t value;
    (void)lw_key_value(d, &value);
    return (value & LW_KEY_NUMBER) != 0 ? NULL : (lw_record *)(void *)value;
}

uintptr_t lw_thread_anonymous_(lw_domain *d)
{
    uintptr_t value;
    if (lw_key_value(d, &value) && (value & LW_KEY_NUMBER) != 0) {
        return value / LW_KEY_SECTION;
    }
    return LW_TLS_SLOT_()->anonymous_depth != 0;
}

void lw_thread_add_anonymous_(lw_domain *d, int change)
{
    uintptr_t value, sections;
    if (!lw_key_value(d, &value) || (value != 0 && (value & LW_KEY_NUMBER) == 0)) {
        return; /* the key, and perhaps a record through another copy, came later */
    }
    sections = value / LW_KEY_SECTION;
    if (change > 0) {
        sections++;
    } else if (sections != 0) {
        sections--;
    }
    value = sections != 0 ? LW_KEY_NUMBER | sections * LW_KEY_SECTION : 0;
    /* May fail for want of memory; then only this copy knows. */
    (void)lw_key_set_(d->key, (void *)value);
}

/* A process may have used up its keys for a while. */
static bool lw_thread_has_key(lw_domain *d)
{
    bool made = true;
    /* As (2). */
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
    if (slot->anonymous_depth != 0 || slot->exited != 0 || !lw_thread_has_key(d)) {
        return NULL; /* a section that began without a record ends without one */
    }
    r = (lw_record *)lw_key_get_(d->key);
    if (((uintptr_t)r & LW_KEY_NUMBER) != 0) {
        return NULL; /* likewise, in another copy */
    }
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
        r->reads_beyond = 0;
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

/* The read locks that a thread ends with end with it (shared_rwlock.h); those that are counted in
 * the lock, too, by that module's hook. */
static void lw_thread_end_reads(lw_record *r)
{
    int i;
    for (i = 0; i < LW_THREAD_READS_; i++) {
        const void *lock = lw_atomic_load_relaxed_ptr(&r->head.reads[i]);
        if (lock != NULL && ((uintptr_t)lock & LW_THREAD_READ_COUNTED_) == 0) {
            const void *address = lw_park_late_(lock);
            /* Release, and the look: as in lw_shared_rwlock_leave_. */
            lw_atomic_store_release_ptr(&r->head.reads[i], NULL);
            lw_fence_light();
            if (lw_park_announced_(address)) {
                lw_park_notify_(address);
            }
        }
    }
}

/* The destructor of the key. The thread is detached from any host. Other destructors of it may run
 * later, and some in a round after the last of this one's: from here on it has no record, in no
 * copy that knows the thread. (The key itself is left empty: a value would have this run again in
 * the last round, when tools like ThreadSanitizer have left the thread already.) */
void lw_thread_exit_(void *value)
{
    lw_record *r = (lw_record *)value;
    lw_domain *d = lw_domain_get();
    bool closed;
    int i;
    if (((uintptr_t)value & LW_KEY_NUMBER) != 0) {
        /* Release: as at the end of the sections that it ended in. */
        (void)lw_atomic_sub_release_u64(&d->smr_anonymous, (uintptr_t)value / LW_KEY_SECTION);
        LW_TLS_SLOT_()->anonymous_depth = 0;
        LW_TLS_SLOT_()->exited = 1;
        return;
    }
    /* Free functions that run now still find the record, through every copy. */
    (void)lw_key_set_(d->key, r);
    do {
        /* A thread that ends inside of a section ends the section; one that a destroy function
         * ends is not inside of that any more. */
        r->ref_draining = false;
        r->head.smr_depth = 0;
        lw_atomic_store_release_u64(&r->head.smr_epoch, 0);
        lw_thread_end_reads(r);
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
         * use it later, and must not take this record for a living thread's. */
        lw_rawlock_lock_(&r->ref_lock);
        /* Whoever finds the queue closed merges in this thread's place (ref.c). */
        closed = lw_atomic_load_relaxed_ptr(&r->head.ref_queue) == NULL && r->ref_taken == NULL;
        LW_PLAIN_SET(r->ref_alive, !closed);
        lw_rawlock_unlock_(&r->ref_lock);
    } while (!closed);
    while (r->slots != NULL) {
        lw_tls_slot *slot = r->slots;
        r->slots = slot->next;
        slot->self = NULL;
        slot->next = NULL;
        slot->exited = 1;
    }
    LW_TLS_SLOT_()->exited = 1;
    (void)lw_key_set_(d->key, NULL);
    lw_thread_end_reads(r); /* that code which ran in the meantime has left */
    r->head.held = NULL;
    if (!lw_record_locks(r)) {
        lw_record_give(d, r);
    }
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

/* ---- what a thread lets go of while it sleeps ---- */

lw_held_ **lw_held_root_(void)
{
    lw_tls_slot *slot = LW_TLS_SLOT_();
    /* One list at a time: what began without a record goes on so until all of it has ended. */
    lw_thread *self = slot->held == NULL ? lw_thread_self() : NULL;
    return self != NULL ? &self->held : &slot->held;
}

/* The same, but makes no record: NULL if the thread has none. A copy of the library that this
 * thread waits through may not have asked for the record before. */
static lw_held_ **lw_held_known_root(void)
{
    lw_tls_slot *slot = LW_TLS_SLOT_();
    lw_thread *self = slot->self;
    lw_record *record;
    if (slot->held != NULL) {
        return &slot->held;
    }
    if (self == NULL) {
        record = lw_thread_record_(lw_domain_get());
        self = record != NULL ? &record->head : NULL;
    }
    return self != NULL ? &self->held : NULL;
}

lw_held_ *lw_held_top_(void)
{
    lw_held_ **root = lw_held_known_root();
    return root != NULL ? *root : NULL;
}

bool lw_held_suspend_(void)
{
    lw_held_ *held = lw_held_top_();
    bool any = lw_held_is_active_(held);
    for (; lw_held_is_active_(held); held = held->outer) {
        held->state &= ~(uint32_t)LW_HELD_ACTIVE_;
        held->ops->release(held);
    }
    return any;
}

bool lw_held_resume_(int64_t timeout_ns, unsigned flags)
{
    lw_held_ **root = lw_held_known_root();
    lw_held_ *held = root != NULL ? *root : NULL;
    while (held != NULL && (held->state & LW_HELD_LEFT_) != 0) {
        *root = held->outer;
        if (lw_held_is_active_(held)) {
            held->ops->release(held);
        }
        held->ops->left(held);
        held = *root;
    }
    if (held != NULL && !lw_held_is_active_(held)) {
        if (!held->ops->take(held, timeout_ns, flags)) {
            return false;
        }
        held->state |= LW_HELD_ACTIVE_;
    }
    return true;
}

bool lw_held_settle_(bool has_lock, unsigned flags)
{
    return lw_held_resume_(has_lock ? 0 : -1, flags & LW_WAIT_ATTACHED) || !has_lock;
}

/* ---- fork ---- No lock is taken before a fork: handlers of the program, which run between ours
 * and the fork, may use the library. So the child may find what a thread of the parent was changing
 * half-changed, and keeps only what is whole at every moment: the list of records, the clock. */

static const lw_smr_batch lw_no_batch = {NULL, NULL, 0, 0, 0};

static void lw_record_forked(lw_record *r)
{
    int i;
    for (i = 0; i < LW_THREAD_READS_; i++) {
        lw_atomic_store_relaxed_ptr(&r->head.reads[i], NULL);
    }
    r->open = r->due = lw_no_batch;
    r->closed_count = 0;
    r->freeing = r->asking = r->ref_draining = false;
    r->asked = r->asked_bytes = 0;
    lw_atomic_store_relaxed_u64(&r->pending, 0);
    lw_atomic_store_relaxed_u64(&r->pending_bytes, 0);
    lw_atomic_store_relaxed_u64(&r->head.smr_epoch, 0);
    r->head.smr_depth = 0;
    r->head.held = NULL;
    r->ref_taken = NULL;
    LW_PLAIN_SET(r->ref_alive, false);
    r->slots = NULL;
    r->in_use = false;
}

/* Who was about to take the bias of a mutex that this thread is in is gone: the bias stays. */
static void lw_record_unclaim(lw_record *self)
{
    int i;
    for (i = 0; i < LW_BIASED_SLOTS; i++) {
        lw_atomic_ptr *word = (lw_atomic_ptr *)lw_atomic_load_relaxed_ptr(&self->head.biased[i]);
        if (word != NULL && ((uintptr_t)lw_atomic_load_relaxed_ptr(word) & LW_BIASED_STATE_) ==
                                LW_BIASED_CLAIMED_) {
            lw_atomic_store_relaxed_ptr(word, &self->head);
        }
    }
}

static void lw_fork_child(void)
{
    lw_domain *d = lw_domain_forked_();
    lw_record *self, *r;
    if (d == NULL) {
        return;
    }
    self = lw_thread_record_(d);
    (void)lw_rawlock_forked_(&d->lock);
    d->free_records = NULL;
    d->has_membarrier = d->has_membarrier && lw_membarrier_init_();
    lw_park_forked_(d);
    for (r = (lw_record *)lw_atomic_load_relaxed_ptr(&d->records); r != NULL;
         r = LW_PLAIN_GET(r->next)) {
        (void)lw_rawlock_forked_(&r->ref_lock);
        lw_atomic_store_relaxed_u32(&r->head.biased_awaited, 0); /* by threads of the parent */
        if (r == self) {
            lw_record_unclaim(r);
            continue;
        }
        lw_record_forked(r);
        if (!lw_record_locks(r)) {
            r->next_free = d->free_records;
            d->free_records = r;
        }
    }
    if (self != NULL) {
        self->head.smr_strong = !d->has_membarrier;
    }
    lw_atomic_store_relaxed_u64(&d->live, self != NULL ? 1 : 0);
    lw_atomic_store_relaxed_u64(&d->smr_anonymous, lw_thread_anonymous_(d));
    if (lw_rawlock_forked_(&d->smr_lock)) {
        /* Its holder was changing the lists: abandoned. */
        d->smr_orphans = d->smr_waiting = d->smr_deferred = lw_no_batch;
        lw_atomic_store_relaxed_u32(&d->smr_left, 0);
    }
    lw_atomic_store_relaxed_u64(&d->smr_deferred_count, d->smr_deferred.count);
    lw_atomic_store_relaxed_u64(&d->smr_deferred_bytes, d->smr_deferred.bytes);
}

/* Child handlers run in the order of their installation. Where there are constructors ours is
 * installed when this copy is loaded, and precedes those of whoever uses it. */
void lw_thread_fork_init_(void)
{
    static lw_atomic_u32 installed;
    uint32_t no = 0;
    if (lw_atomic_cas_relaxed_u32(&installed, &no, 1) && !lw_at_fork_(lw_fork_child)) {
        lw_atomic_store_relaxed_u32(&installed, 0); /* no memory; the next use tries again */
    }
}

#if defined(__ELF__) && defined(__GLIBC__) && !defined(LW_ATOMIC_RELACY)
__attribute__((constructor)) static void lw_thread_loaded(void)
{
    lw_thread_fork_init_();
}
#endif
