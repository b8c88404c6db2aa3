/* SPDX-License-Identifier: BSD-2-Clause */
/* A read-write lock of four bytes for much reading and little writing: readers write to memory of
 * their own thread alone, so that they do not take a cache line from each other. A writer pays for
 * that: it makes all running threads of the process pass a fence (microseconds), and looks through
 * the records of all threads. All-zero bytes are an unlocked lock; nothing to destroy.
 *
 * A reader notes the lock in a slot of its thread's record and looks at the lock; no writer: it is
 * in. A writer takes an lw_rwlock_t, which is all that the lock is made of, and waits until no slot
 * holds the lock. Who finds a writer, or no free slot, or is a thread without a record, reads by
 * way of that lw_rwlock_t, and is counted there. That readers go round a read-write lock for as
 * long as no writer is there is from D. Dice and A. Kogan's BRAVO (2019), one slot for each reader
 * from the brlock of Linux, the asymmetric fence from liburcu. docs/shared_rwlock.md has the
 * argument.
 *
 * Nobody starves: as with lw_rwlock_t. Another read lock of a thread that holds one already, of the
 * same lock, does not wait, as long as a slot of its record has the lock
 * and another is free (LW_THREAD_READS_ in all).
 *
 * The thread that locked for reading has to unlock. What it holds when it exits ends with it; but
 * what it took beyond its slots, or without a record, stays locked. The memory may be freed by
 * whoever locks next: unlock touches nothing of the lock after the release. What a thread did
 * before its write unlock happens before what later owners do; what it did before its read unlock,
 * before what later writers do.
 *
 * In a forked child, the other threads' read locks have ended if they lay in slots; what is counted
 * or held by a writer of the parent stays locked, as with lw_rwlock_t. lw_shared_rwlock_init makes
 * it anew. */
#ifndef LATCHWORK_SHARED_RWLOCK_H
#define LATCHWORK_SHARED_RWLOCK_H

#include <latchwork/rwlock.h>
#include <latchwork/thread.h>

LW_EXTERN_C_BEGIN

typedef struct lw_shared_rwlock {
    lw_rwlock_t base;
} lw_shared_rwlock_t;

#define LW_SHARED_RWLOCK_INIT                                                                      \
    {                                                                                              \
        LW_RWLOCK_INIT                                                                             \
    }

LW_API lw_status lw_shared_rwlock_read_slow_(lw_shared_rwlock_t *l, int64_t timeout_ns,
                                             unsigned flags);
LW_API void lw_shared_rwlock_read_unlock_slow_(lw_shared_rwlock_t *l);
LW_API LW_NORETURN void lw_shared_rwlock_self_(void);

/* Sets the bytes of an unlocked lock. Not needed for zeroed memory. */
static inline void lw_shared_rwlock_init(lw_shared_rwlock_t *l)
{
    lw_rwlock_init(&l->base);
}

/* Whether a writer has it, or waits for it, at some moment during the call: for assertions and
 * reports. Wait-free, orders nothing. (Whether readers do, no one place says.) */
static inline bool lw_shared_rwlock_is_write_locked(const lw_shared_rwlock_t *l)
{
    return lw_rwlock_is_write_locked(&l->base);
}

/* Empties a slot that holds the lock; from here on the lock may be gone. */
static inline void lw_shared_rwlock_leave_(lw_shared_rwlock_t *l, lw_atomic_ptr *slot)
{
    const void *address = lw_park_late_(l);
    /* (3) release: pairs with the acquire (5), for what the reader has read. */
    lw_atomic_store_release_ptr(slot, NULL);
    /* (4) The cheap half of the fence whose dear half is in lw_park_announce_. */
    lw_fence_light();
    if (lw_park_announced_(address)) {
        lw_park_notify_(address);
    }
}

/* All that is noted in slots but for (3). */
static inline void lw_shared_rwlock_note_(lw_atomic_ptr *slot, void *value)
{
    /* (1) release: a writer (5) of another lock that finds this value has seen the end (3) of what
     * the slot held before. */
    lw_atomic_store_release_ptr(slot, value);
}

/* Notes the lock in a free slot; false: there is a writer, and the slot is free again. */
static inline bool lw_shared_rwlock_enter_(lw_shared_rwlock_t *l, lw_thread *self,
                                           lw_atomic_ptr *slot)
{
    lw_shared_rwlock_note_(slot, l);
    /* (2) The cheap half of the fence whose dear half is in lw_shared_rwlock_write_lock_flags:
     * either that writer sees the slot, or the load below sees WRITER. */
    lw_fence_light();
    if (LW_UNLIKELY(self->smr_strong)) {
        lw_fence_seq_cst();
    }
    /* (6) acquire: pairs with the releases (4) and (8) of rwlock.h, by which writers go. */
    if (LW_LIKELY((lw_atomic_load_acquire_u32(&l->base.word) & LW_RWLOCK_WRITER_) == 0)) {
        return true;
    }
    lw_shared_rwlock_leave_(l, slot);
    return false;
}

/* Locks for reading within timeout_ns nanoseconds (negative: no limit; 0: as read_trylock), with
 * flags of park.h: LW_WAIT_ATTACHED stays attached; LW_WAIT_INTERRUPTIBLE may return
 * LW_INTERRUPTED. LW_OK (acquire), LW_TIMEOUT, LW_INTERRUPTED. Wait-free while there is no writer,
 * but for the thread's first call, which may allocate; else blocking; detaches. */
static inline LW_NODISCARD lw_status lw_shared_rwlock_read_lock_flags(lw_shared_rwlock_t *l,
                                                                      int64_t timeout_ns,
                                                                      unsigned flags)
{
    lw_thread *self = LW_TLS_SLOT_()->self;
    if (LW_LIKELY(self != NULL) && LW_LIKELY(lw_atomic_load_relaxed_ptr(&self->reads[0]) == NULL) &&
        LW_LIKELY(lw_shared_rwlock_enter_(l, self, &self->reads[0]))) {
        return LW_OK;
    }
    return lw_shared_rwlock_read_slow_(l, timeout_ns, flags);
}

/* As lw_shared_rwlock_read_lock_flags, detaching. */
static inline LW_NODISCARD lw_status lw_shared_rwlock_read_lock_for(lw_shared_rwlock_t *l,
                                                                    int64_t timeout_ns)
{
    return lw_shared_rwlock_read_lock_flags(l, timeout_ns, LW_WAIT_DEFAULT);
}

/* Locks for reading. Progress as of lw_shared_rwlock_read_lock_flags; detaches from the host while
 * it sleeps. Acquire. */
static inline void lw_shared_rwlock_read_lock(lw_shared_rwlock_t *l)
{
    (void)!lw_shared_rwlock_read_lock_flags(l, -1, LW_WAIT_DEFAULT);
}

/* Locks for reading if no writer has the lock or waits for it. Lock-free, any attach state; acquire
 * when true. */
static inline bool lw_shared_rwlock_read_trylock(lw_shared_rwlock_t *l)
{
    return lw_shared_rwlock_read_lock_flags(l, 0, LW_WAIT_DEFAULT) == LW_OK;
}

/* Gives up a read lock of this thread. Without one it ends the process with a message; one that has
 * others for which no slot was free may take one that is not its own, and so may any thread once
 * one without a record has been a reader. Lock-free but for the queue's lock while a writer waits;
 * any attach state. Release. */
static inline void lw_shared_rwlock_read_unlock(lw_shared_rwlock_t *l)
{
    lw_thread *self = LW_TLS_SLOT_()->self;
    if (LW_LIKELY(self != NULL) && LW_LIKELY(lw_atomic_load_relaxed_ptr(&self->reads[0]) == l)) {
        lw_shared_rwlock_leave_(l, &self->reads[0]);
    } else {
        lw_shared_rwlock_read_unlock_slow_(l);
    }
}

/* Locks for writing within timeout_ns nanoseconds (negative: no limit; 0: as write_trylock), with
 * the flags of lw_shared_rwlock_read_lock_flags.
 *   LW_OK (acquire), LW_TIMEOUT, LW_INTERRUPTED
 *   LW_BUSY   this thread has it locked for reading, in a slot: it would wait for itself
 * Blocking; detaches. One membarrier and a look at the record of each thread. */
LW_API LW_NODISCARD lw_status lw_shared_rwlock_write_lock_flags(lw_shared_rwlock_t *l,
                                                                int64_t timeout_ns, unsigned flags);

/* As lw_shared_rwlock_write_lock_flags, detaching. */
static inline LW_NODISCARD lw_status lw_shared_rwlock_write_lock_for(lw_shared_rwlock_t *l,
                                                                     int64_t timeout_ns)
{
    return lw_shared_rwlock_write_lock_flags(l, timeout_ns, LW_WAIT_DEFAULT);
}

/* Locks for writing. Where lw_shared_rwlock_write_lock_flags says LW_BUSY, this ends the process
 * with a message. Blocking; detaches from the host while it sleeps. Acquire. */
static inline void lw_shared_rwlock_write_lock(lw_shared_rwlock_t *l)
{
    if (LW_UNLIKELY(lw_shared_rwlock_write_lock_flags(l, -1, LW_WAIT_DEFAULT) != LW_OK)) {
        lw_shared_rwlock_self_();
    }
}

/* Locks for writing if that needs no wait. May fail for a reader that was refused and is on its way
 * out; a failed one may turn readers away for its moment, and they wait. Any attach state; acquire
 * when true. */
static inline bool lw_shared_rwlock_write_trylock(lw_shared_rwlock_t *l)
{
    return lw_shared_rwlock_write_lock_flags(l, 0, LW_WAIT_DEFAULT) == LW_OK;
}

/* Gives up the write lock; as lw_rwlock_write_unlock. */
static inline void lw_shared_rwlock_write_unlock(lw_shared_rwlock_t *l)
{
    lw_rwlock_write_unlock(&l->base);
}

LW_EXTERN_C_END

#endif /* LATCHWORK_SHARED_RWLOCK_H */
