/* SPDX-License-Identifier: BSD-2-Clause */
/* The numbers of the orders go on from shared_rwlock.h: (1) to (4) and (6) are there. */
#include <latchwork/shared_rwlock.h>

#include "../base/domain_internal.h"

/* ---- slots ---- */

/* What a slot holds for a reader that the lock counts: so the thread is known to hold it. */
static void *lw_shared_rwlock_counted(lw_shared_rwlock_t *l)
{
    return (void *)((uintptr_t)l | LW_THREAD_READ_COUNTED_);
}

/* The first slot of this thread with the value; NULL: none. */
static lw_atomic_ptr *lw_shared_rwlock_slot(lw_thread *self, const void *value)
{
    int i;
    for (i = 0; i < LW_THREAD_READS_; i++) {
        if (lw_atomic_load_relaxed_ptr(&self->reads[i]) == value) {
            return &self->reads[i];
        }
    }
    return NULL;
}

/* Whether a slot of another thread holds the lock. A thread that goes on holding it, by one slot
 * after the other, is not missed: it empties the first one of those that hold it, so the last one
 * does until the end; and this goes in that direction. */
static bool lw_shared_rwlock_held(const lw_record *r, const lw_shared_rwlock_t *l)
{
    int i;
    for (i = 0; i < LW_THREAD_READS_; i++) {
        /* (5) acquire: pairs with the releases (1) and (3). */
        if (lw_atomic_load_acquire_ptr(&r->head.reads[i]) == l) {
            return true;
        }
    }
    return false;
}

/* ---- readers ---- */

/* A thread ends with locks that count it. */
static void lw_shared_rwlock_close(lw_record *r)
{
    int i;
    for (i = 0; i < LW_THREAD_READS_; i++) {
        uintptr_t value = (uintptr_t)lw_atomic_load_relaxed_ptr(&r->head.reads[i]);
        if ((value & LW_THREAD_READ_COUNTED_) != 0) {
            lw_shared_rwlock_note_(&r->head.reads[i], NULL);
            lw_rwlock_read_unlock((lw_rwlock_t *)(void *)(value & ~LW_THREAD_READ_COUNTED_));
        }
    }
}

static const lw_module_hooks lw_shared_rwlock_hooks = {NULL, lw_shared_rwlock_close};

LW_COLD lw_status lw_shared_rwlock_read_slow_(lw_shared_rwlock_t *l, int64_t timeout_ns,
                                              unsigned flags)
{
    lw_thread *self = lw_thread_self();
    lw_atomic_ptr *slot;
    lw_status status;
    if (self == NULL) {
        status = lw_rwlock_read_lock_flags(&l->base, timeout_ns, flags);
        if (status == LW_OK) {
            lw_atomic_store_relaxed_u32(&lw_domain_get()->reads_unknown, 1);
        }
        return status;
    }
    slot = lw_shared_rwlock_slot(self, NULL);
    if (slot != NULL) {
        if (lw_shared_rwlock_slot(self, l) != NULL ||
            lw_shared_rwlock_slot(self, lw_shared_rwlock_counted(l)) != NULL) {
            /* It has the lock: no writer is inside, and none comes before both are given up. */
            lw_shared_rwlock_note_(slot, l);
            return LW_OK;
        }
        if (lw_shared_rwlock_enter_(l, self, slot)) {
            return LW_OK;
        }
    }
    if (timeout_ns == 0 && lw_rwlock_is_write_locked(&l->base)) {
        return LW_TIMEOUT; /* those who only try must not keep a writer waiting by additions */
    }
    status = lw_rwlock_read_lock_flags(&l->base, timeout_ns, flags);
    if (status == LW_OK) {
        slot = lw_shared_rwlock_slot(self, NULL); /* again: a hook may have locked something */
        if (slot != NULL) {
            lw_module_use_(lw_domain_get(), LW_MODULE_SHARED_RWLOCK, &lw_shared_rwlock_hooks);
            lw_shared_rwlock_note_(slot, lw_shared_rwlock_counted(l));
        } else {
            lw_record_of(self)->reads_beyond++;
        }
    }
    return status;
}

LW_COLD void lw_shared_rwlock_read_unlock_slow_(lw_shared_rwlock_t *l)
{
    lw_thread *self = lw_thread_self();
    lw_atomic_ptr *slot = NULL;
    if (self != NULL) {
        slot = lw_shared_rwlock_slot(self, l);
        if (slot != NULL) {
            lw_shared_rwlock_leave_(l, slot);
            return;
        }
        slot = lw_shared_rwlock_slot(self, lw_shared_rwlock_counted(l));
        if (slot != NULL) {
            lw_shared_rwlock_note_(slot, NULL);
        } else if (lw_record_of(self)->reads_beyond != 0) {
            lw_record_of(self)->reads_beyond--;
        } else if (lw_atomic_load_relaxed_u32(&lw_domain_get()->reads_unknown) == 0) {
            lw_fatal_("lw_shared_rwlock_read_unlock", "this thread has not locked it for reading");
        }
    }
    /* Locked without a record, perhaps, when it had none yet. */
    if (lw_atomic_load_relaxed_u32(&l->base.word) < LW_RWLOCK_READER_) {
        lw_fatal_("lw_shared_rwlock_read_unlock", "nobody has locked it for reading");
    }
    lw_rwlock_read_unlock(&l->base);
}

/* ---- writers ---- */

/* A writer that waits for the slots of one thread. */
typedef struct lw_shared_rwlock_wait {
    lw_shared_rwlock_t *lock;
    const lw_record *record;
    uint32_t ticket; /* of lw_park_announce_; 0: not announced */
    bool held;       /* critical sections are suspended */
} lw_shared_rwlock_wait;

static bool lw_shared_rwlock_validate(void *arg)
{
    const lw_shared_rwlock_wait *w = (const lw_shared_rwlock_wait *)arg;
    return lw_shared_rwlock_held(w->record, w->lock);
}

/* For each reader that leaves: the others need not wake the writer. */
static int lw_shared_rwlock_grant(void *arg, int64_t *last_ns, uintptr_t *token)
{
    (void)last_ns;
    (void)token;
    return lw_shared_rwlock_validate(arg) ? LW_GRANT_NO_ : LW_GRANT_YES_;
}

/* The thread ends while it attaches. */
static void lw_shared_rwlock_lost(void *arg)
{
    const lw_shared_rwlock_wait *w = (const lw_shared_rwlock_wait *)arg;
    lw_park_retract_(lw_park_late_(w->lock), w->ticket);
    lw_rwlock_write_unlock(&w->lock->base);
}

/* Waits until no slot of one thread holds the lock. */
static lw_status lw_shared_rwlock_await(lw_shared_rwlock_wait *w, int64_t deadline_ns,
                                        unsigned flags)
{
    const void *address = lw_park_late_(w->lock);
    lw_park_how_ how = {lw_shared_rwlock_validate,
                        NULL,
                        NULL,
                        lw_shared_rwlock_grant,
                        lw_shared_rwlock_lost,
                        w,
                        0,
                        false,
                        false};
    unsigned looks = 0;
    while (lw_shared_rwlock_held(w->record, w->lock)) {
        lw_status status;
        int64_t left_ns;
        if (lw_park_spin_(&looks, deadline_ns)) {
            continue;
        }
        left_ns = lw_left_(deadline_ns);
        if (left_ns == 0) {
            return LW_TIMEOUT;
        }
        if (!lw_park_ticket_holds_(w->ticket)) {
            w->ticket = lw_park_announce_(address);
        }
        w->held |= lw_held_suspend_(); /* resumed without WRITER, or at once */
        status = lw_park_with_(address, &how, left_ns, flags, NULL);
        if (status == LW_TIMEOUT || status == LW_INTERRUPTED) {
            return status;
        }
        looks = 0;
    }
    return LW_OK;
}

/* Leaves it to the caller to resume critical sections. */
static lw_status lw_shared_rwlock_write(lw_shared_rwlock_t *l, int64_t deadline_ns, unsigned flags,
                                        bool *held)
{
    lw_domain *d = lw_domain_get();
    lw_shared_rwlock_wait w = {l, NULL, 0, false};
    lw_status status;
    status = lw_rwlock_write_lock_flags(&l->base, lw_left_(deadline_ns), flags);
    if (status != LW_OK) {
        return status;
    }
    /* (7) The dear half of (2): a reader that has looked at the lock by now has filled its slot
     * before, and that is seen below; one that has not will see WRITER. */
    if (LW_LIKELY(d->has_membarrier)) {
        lw_membarrier_();
    } else {
        lw_fence_seq_cst();
    }
    /* (8) acquire: pairs with the release (1) in thread.c. A record that is linked later is of a
     * thread that finds WRITER set. */
    w.record = (const lw_record *)lw_atomic_load_acquire_ptr(&d->records);
    for (; w.record != NULL && status == LW_OK; w.record = LW_PLAIN_GET(w.record->next)) {
        status = lw_shared_rwlock_await(&w, deadline_ns, flags);
    }
    lw_park_retract_(lw_park_late_(l), w.ticket);
    *held = w.held;
    if (status != LW_OK) {
        lw_rwlock_write_unlock(&l->base);
    }
    return status;
}

lw_status lw_shared_rwlock_write_lock_flags(lw_shared_rwlock_t *l, int64_t timeout_ns,
                                            unsigned flags)
{
    lw_record *self = lw_thread_record_(lw_domain_get());
    int64_t deadline_ns = lw_deadline_(timeout_ns);
    if (self != NULL && (lw_shared_rwlock_slot(&self->head, l) != NULL ||
                         lw_shared_rwlock_slot(&self->head, lw_shared_rwlock_counted(l)) != NULL)) {
        return LW_BUSY;
    }
    for (;;) {
        bool held = false;
        lw_status status = lw_shared_rwlock_write(l, deadline_ns, flags, &held);
        if (!held || lw_held_settle_(status == LW_OK, flags)) {
            return status;
        }
        lw_rwlock_write_unlock(&l->base); /* who has the section may wait for this lock */
        (void)lw_held_resume_(-1, flags & LW_WAIT_ATTACHED);
    }
}

void lw_shared_rwlock_self_(void)
{
    lw_fatal_("lw_shared_rwlock_write_lock", "this thread has locked it for reading");
}
