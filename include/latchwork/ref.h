/* SPDX-License-Identifier: BSD-2-Clause */
/* A biased reference count: the thread that made an object counts with plain loads and stores, all
 * others with atomic ones. After J. Choi, T. Shull, J. Torrellas, "Biased Reference Counting" (PACT
 * 2018); CPython's free-threaded build counts PyObjects this way, and this is the same for structs
 * of yours. docs/ref.md has the argument.
 *
 * Fields:
 *   owner    the record of the thread that the count is biased to; LW_REF_NO_OWNER_ once merged;
 *            while QUEUED and handed over, a link of the owner's queue (low bit set)
 *   local    references counted by the owner; LW_REF_IMMORTAL_ for an object that is never freed
 *   shared   bits 0 and 1: the state; bits 2 to 31: references counted by others, signed
 * State:
 *   BIASED   the count is local + shared; shared is not negative
 *   QUEUED   as BIASED, and one of the references belongs to the owner's queue: a thread that is
 *            not the owner gave up a reference that shared did not hold. shared may be negative.
 *   MERGED   the count is shared; final. MERGED with count 0 is dead.
 *   BIASED -> QUEUED by a thread that is not the owner; BIASED -> MERGED by the owner;
 *   QUEUED -> MERGED by the owner, or by anybody once the owner has exited, under the record's
 *   lock.
 *
 * `destroy` runs once, when the count has reached zero, on the thread that dropped the last
 * reference or, after a hand-over, on the owner, during one of its lw_ref_dec, lw_ref_drain, or its
 * exit (where it is not attached to a host). It runs with none of the library's locks held.
 * Everything done with the object before any lw_ref_dec happens before `destroy`. None of these
 * functions fails; the first that a thread calls may allocate its record (thread.h), and one that
 * cannot has a slower way.
 *
 * Limits: of the references that are held at a time, threads other than the owner may have made
 * 2^28 - 1. An object of which the owner alone has made more is taken for immortal at the latest
 * when the counts are merged. */
#ifndef LATCHWORK_REF_H
#define LATCHWORK_REF_H

#include <latchwork/atomic.h>
#include <latchwork/thread.h>

LW_EXTERN_C_BEGIN

typedef struct lw_ref lw_ref_t;
typedef void (*lw_ref_destroy_fn)(lw_ref_t *ref);

struct lw_ref {
    lw_atomic_ptr owner;
    lw_atomic_ptr destroy; /* of a reference in a queue: (lw_ref_destroy_fn) */
    lw_atomic_u32 local;
    lw_atomic_u32 shared;
};

#define LW_REF_NO_OWNER_ ((void *)(uintptr_t)1)
#define LW_REF_IMMORTAL_ UINT32_MAX
#define LW_REF_MOST_ ((UINT32_C(1) << 28) - 1)
enum {
    LW_REF_BIASED_ = 0,
    LW_REF_QUEUED_ = 1,
    LW_REF_MERGED_ = 2,
    LW_REF_STATE_ = 3,
    LW_REF_ONE_ = 4
};

LW_API void lw_ref_init_unbiased_(lw_ref_t *ref);
LW_API void lw_ref_dec_slow_(lw_ref_t *ref, lw_ref_destroy_fn destroy);
LW_API bool lw_ref_try_inc_slow_(lw_ref_t *ref);

/* Sets the count to 1, biased to the calling thread. The object is not shared yet: publish it with
 * a release store or under a lock. Wait-free, any attach state. */
static inline void lw_ref_init(lw_ref_t *ref)
{
    lw_thread *self = lw_thread_self();
    if (LW_UNLIKELY(self == NULL)) {
        lw_ref_init_unbiased_(ref);
        return;
    }
    lw_atomic_store_relaxed_ptr(&ref->owner, self);
    lw_atomic_store_relaxed_ptr(&ref->destroy, NULL);
    lw_atomic_store_relaxed_u32(&ref->local, 1);
    lw_atomic_store_relaxed_u32(&ref->shared, LW_REF_BIASED_);
}

/* Adds a reference; the caller has one, or knows that somebody keeps one during the call.
 * Wait-free; two plain loads and a store on the owner, an atomic addition elsewhere. Orders
 * nothing. */
static inline void lw_ref_inc(lw_ref_t *ref)
{
    uint32_t local = lw_atomic_load_relaxed_u32(&ref->local);
    if (LW_LIKELY(lw_atomic_load_relaxed_ptr(&ref->owner) == LW_TLS_SLOT_()->self)) {
        if (LW_LIKELY(local + 1 != 0)) {
            lw_atomic_store_relaxed_u32(&ref->local, local + 1);
        }
        return;
    }
    if (LW_LIKELY(local != LW_REF_IMMORTAL_)) {
        (void)lw_atomic_add_relaxed_u32(&ref->shared, LW_REF_ONE_);
    }
}

/* Drops a reference; at zero, `destroy` is called. `destroy` must be the same function at each call
 * for one object. May also run the `destroy` of other objects, which were handed over to this
 * thread: hold no lock that one of those takes. Lock-free but for one short lock when a reference
 * is handed over. Release; acquire before `destroy`. */
static inline void lw_ref_dec(lw_ref_t *ref, lw_ref_destroy_fn destroy)
{
    lw_thread *self = LW_TLS_SLOT_()->self;
    uint32_t local = lw_atomic_load_relaxed_u32(&ref->local);
    if (LW_LIKELY(lw_atomic_load_relaxed_ptr(&ref->owner) == self && local > 1 &&
                  local != LW_REF_IMMORTAL_ &&
                  lw_atomic_load_relaxed_ptr(&self->ref_queue) == NULL)) {
        lw_atomic_store_relaxed_u32(&ref->local, local - 1);
        return;
    }
    lw_ref_dec_slow_(ref, destroy);
}

/* Adds a reference if the object is alive, and tells whether it did. The memory must stay readable
 * during the call: found in a section of smr.h and freed by lw_smr_retire, or under a lock.
 * Lock-free. Acquire when true: what its finder needs was published with the pointer. */
static inline LW_NODISCARD bool lw_ref_try_inc(lw_ref_t *ref)
{
    uint32_t local = lw_atomic_load_relaxed_u32(&ref->local);
    if (LW_LIKELY(lw_atomic_load_relaxed_ptr(&ref->owner) == LW_TLS_SLOT_()->self && local != 0)) {
        if (LW_LIKELY(local + 1 != 0)) {
            lw_atomic_store_relaxed_u32(&ref->local, local + 1);
        }
        return true;
    }
    return lw_ref_try_inc_slow_(ref);
}

/* The object is never to be freed; from now on inc and dec write nothing. To be called by the owner
 * before the object is shared. */
LW_API void lw_ref_immortalize(lw_ref_t *ref);
LW_API bool lw_ref_is_immortal(const lw_ref_t *ref);

/* Merges what other threads handed over to this one; may run `destroy` functions. For a thread that
 * owns objects and does not drop references of its own for long. Returns how many were merged. */
LW_API size_t lw_ref_drain(void);

/* The count at some moment during the call, if nothing else changes it: for tests and reports. */
LW_API int64_t lw_ref_count(const lw_ref_t *ref);

LW_EXTERN_C_END

#endif /* LATCHWORK_REF_H */
