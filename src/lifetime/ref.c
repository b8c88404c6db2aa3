/* SPDX-License-Identifier: BSD-2-Clause */
/* The states are tabled in ref.h; docs/ref.md has the argument. */
#include <latchwork/ref.h>

#include "../base/domain_internal.h"

static lw_ref_t *lw_ref_link(void *owner)
{
    return (lw_ref_t *)(void *)((uintptr_t)owner & ~(uintptr_t)1);
}

static void *lw_ref_linked(lw_ref_t *next)
{
    return (void *)((uintptr_t)next | 1);
}

/* The count in a shared word, signed. */
static int32_t lw_ref_shared_count(uint32_t shared)
{
    return (int32_t)(shared & ~(uint32_t)LW_REF_STATE_) / LW_REF_ONE_;
}

void lw_ref_init_unbiased_(lw_ref_t *ref)
{
    lw_atomic_store_relaxed_ptr(&ref->owner, LW_REF_NO_OWNER_);
    lw_atomic_store_relaxed_ptr(&ref->destroy, NULL);
    lw_atomic_store_relaxed_u32(&ref->local, 0);
    lw_atomic_store_relaxed_u32(&ref->shared, LW_REF_ONE_ | LW_REF_MERGED_);
}

/* Drops one of the references that a MERGED count holds. */
static void lw_ref_dec_merged(lw_ref_t *ref, lw_ref_destroy_fn destroy)
{
    /* (1) release: what this thread did with the object happens before destroy; acquire: what the
     * others did does, for the thread that drops the last one. Pairs with itself, (2), (3) and
     * (4). */
    uint32_t shared = lw_atomic_sub_acq_rel_u32(&ref->shared, LW_REF_ONE_);
    if (shared == (LW_REF_ONE_ | LW_REF_MERGED_)) {
        destroy(ref);
    }
}

/* Merges a QUEUED count and drops the reference that the queue held. The caller is its only merger:
 * the owner, or, once the owner is gone, the thread that queued it. */
static bool lw_ref_merge(lw_ref_t *ref)
{
    uint32_t local = lw_atomic_load_relaxed_u32(&ref->local);
    uint32_t shared = lw_atomic_load_relaxed_u32(&ref->shared);
    uint32_t merged;
    /* Before the count is published as merged: after that the object may be gone. */
    lw_atomic_store_relaxed_ptr(&ref->owner, LW_REF_NO_OWNER_);
    if (local > LW_REF_MOST_) {
        /* The sum might not fit into the shared word. An object with so many references can be
         * taken for one that is leaked; it is not freed, rather than freed too early. */
        lw_atomic_store_relaxed_u32(&ref->local, LW_REF_IMMORTAL_);
        return false;
    }
    lw_atomic_store_relaxed_u32(&ref->local, 0);
    do {
        merged = ((uint32_t)(lw_ref_shared_count(shared) + (int32_t)local - 1) * LW_REF_ONE_) |
                 LW_REF_MERGED_;
        /* (2) as (1): this is a drop; and whoever sees MERGED (1) sees the two stores above. */
    } while (!lw_atomic_cas_acq_rel_u32(&ref->shared, &shared, merged));
    return merged == LW_REF_MERGED_;
}

static size_t lw_ref_drain_record(lw_record *r)
{
    size_t merged = 0;
    if (r->ref_draining) {
        return 0; /* a `destroy` below drops references; the loop that called it goes on */
    }
    r->ref_draining = true;
    for (;;) {
        /* What is taken lies in the record: a `destroy` may end this thread. */
        lw_ref_t *ref = (lw_ref_t *)r->ref_taken;
        lw_ref_destroy_fn destroy;
        if (ref == NULL) {
            if (lw_atomic_load_relaxed_ptr(&r->head.ref_queue) == NULL) {
                break;
            }
            lw_rawlock_lock_(&r->ref_lock);
            r->ref_taken = lw_ref_link(lw_atomic_load_relaxed_ptr(&r->head.ref_queue));
            lw_atomic_store_relaxed_ptr(&r->head.ref_queue, NULL);
            lw_rawlock_unlock_(&r->ref_lock);
            continue;
        }
        r->ref_taken = lw_ref_link(lw_atomic_load_relaxed_ptr(&ref->owner));
        destroy = (lw_ref_destroy_fn)lw_atomic_load_relaxed_ptr(&ref->destroy);
        merged++;
        if (lw_ref_merge(ref)) {
            destroy(ref);
        }
    }
    r->ref_draining = false;
    return merged;
}

static void lw_ref_drain_hook(lw_record *r)
{
    (void)lw_ref_drain_record(r);
}

static const lw_module_hooks lw_ref_hooks = {lw_ref_drain_hook, NULL};

/* Hands a QUEUED reference to its owner; if the owner has exited, merges in its place. Only this
 * thread touches the fields owner and destroy now: QUEUED was set by it. */
static void lw_ref_hand_over(lw_ref_t *ref, lw_record *owner, lw_ref_destroy_fn destroy)
{
    bool dead = false;
    lw_module_use_(lw_domain_get(), LW_MODULE_REF, &lw_ref_hooks);
    lw_rawlock_lock_(&owner->ref_lock);
    if (LW_PLAIN_GET(owner->ref_alive)) {
        lw_atomic_store_relaxed_ptr(&ref->destroy, (void *)destroy);
        /* The owner stops to recognise the object as its own and counts it as the others do. */
        lw_atomic_store_relaxed_ptr(
            &ref->owner,
            lw_ref_linked(lw_ref_link(lw_atomic_load_relaxed_ptr(&owner->head.ref_queue))));
        /* The lock publishes the two fields; the owner looks at the queue's head without it first.
         * (5) release: for a fork now, whose child finds the queue without its lock. */
        lw_atomic_store_release_ptr(&owner->head.ref_queue, lw_ref_linked(ref));
    } else {
        /* Under the lock, so that no new thread takes the record, and the object with it,
         * meanwhile. What the dead owner did happens before: it took this lock to say that it is
         * gone. */
        dead = lw_ref_merge(ref);
    }
    lw_rawlock_unlock_(&owner->ref_lock);
    if (dead) {
        destroy(ref);
    }
}

/* A drop by a thread that the count is not biased to. */
static void lw_ref_dec_shared(lw_ref_t *ref, lw_ref_destroy_fn destroy)
{
    uint32_t shared = lw_atomic_load_relaxed_u32(&ref->shared);
    for (;;) {
        /* Read before the cas: if that succeeds the state was BIASED all the time, and the owner
         * the same. */
        lw_record *owner = (lw_record *)lw_atomic_load_relaxed_ptr(&ref->owner);
        uint32_t wanted;
        if ((shared & LW_REF_STATE_) == LW_REF_MERGED_) {
            lw_ref_dec_merged(ref, destroy);
            return;
        }
        /* BIASED with nothing in shared: this reference was counted by the owner. It goes to the
         * owner's queue. */
        wanted = shared == LW_REF_BIASED_ ? (uint32_t)LW_REF_QUEUED_ : shared - LW_REF_ONE_;
        /* (3) release: pairs with (1), (2) and (4). This is not the drop that destroys, so it
         * acquires nothing. */
        if (lw_atomic_cas_release_u32(&ref->shared, &shared, wanted)) {
            if (wanted == LW_REF_QUEUED_ && shared == LW_REF_BIASED_) {
                lw_ref_hand_over(ref, owner, destroy);
            }
            return;
        }
    }
}

/* The owner drops the last reference that it counts. */
static void lw_ref_dec_last_local(lw_ref_t *ref, lw_ref_destroy_fn destroy)
{
    uint32_t shared = lw_atomic_load_relaxed_u32(&ref->shared);
    lw_atomic_store_relaxed_u32(&ref->local, 0);
    for (;;) {
        if ((shared & LW_REF_STATE_) == LW_REF_QUEUED_) {
            return; /* the queue holds a reference: merging will find local at 0 */
        }
        if (shared == LW_REF_BIASED_) {
            /* (4) acquire: pairs with (3). Nobody else has a reference; a try_inc that comes now
             * sees MERGED with 0 and fails. */
            if (lw_atomic_cas_acquire_u32(&ref->shared, &shared, LW_REF_MERGED_)) {
                destroy(ref);
                return;
            }
        } else {
            /* Others have references, so this one is first added to theirs: the field owner must be
             * written while the object cannot go. Relaxed: the drop that follows orders all. */
            if (lw_atomic_cas_relaxed_u32(&ref->shared, &shared,
                                          (shared + LW_REF_ONE_) | LW_REF_MERGED_)) {
                lw_atomic_store_relaxed_ptr(&ref->owner, LW_REF_NO_OWNER_);
                lw_ref_dec_merged(ref, destroy);
                return;
            }
        }
    }
}

LW_NOINLINE void lw_ref_dec_slow_(lw_ref_t *ref, lw_ref_destroy_fn destroy)
{
    lw_thread *self = lw_thread_self();
    uint32_t local = lw_atomic_load_relaxed_u32(&ref->local);
    if (local == LW_REF_IMMORTAL_) {
        return;
    }
    if (self != NULL && lw_atomic_load_relaxed_ptr(&ref->owner) == self && local != 0) {
        if (local > 1) {
            lw_atomic_store_relaxed_u32(&ref->local, local - 1);
        } else {
            lw_ref_dec_last_local(ref, destroy);
        }
    } else {
        lw_ref_dec_shared(ref, destroy);
    }
    if (self != NULL) {
        (void)lw_ref_drain_record(lw_record_of(self));
    }
}

LW_NOINLINE bool lw_ref_try_inc_slow_(lw_ref_t *ref)
{
    uint32_t shared;
    if (lw_atomic_load_relaxed_u32(&ref->local) == LW_REF_IMMORTAL_) {
        return true;
    }
    shared = lw_atomic_load_relaxed_u32(&ref->shared);
    do {
        if (shared == LW_REF_MERGED_) {
            return false;
        }
    } while (!lw_atomic_cas_acquire_u32(&ref->shared, &shared, shared + LW_REF_ONE_));
    return true;
}

void lw_ref_immortalize(lw_ref_t *ref)
{
    lw_atomic_store_relaxed_u32(&ref->local, LW_REF_IMMORTAL_);
}

bool lw_ref_is_immortal(const lw_ref_t *ref)
{
    return lw_atomic_load_relaxed_u32(&ref->local) == LW_REF_IMMORTAL_;
}

size_t lw_ref_drain(void)
{
    lw_thread *self = lw_thread_self();
    return self != NULL ? lw_ref_drain_record(lw_record_of(self)) : 0;
}

int64_t lw_ref_count(const lw_ref_t *ref)
{
    return (int64_t)lw_atomic_load_relaxed_u32(&ref->local) +
           lw_ref_shared_count(lw_atomic_load_relaxed_u32(&ref->shared));
}
