/* SPDX-License-Identifier: BSD-2-Clause */
/* A read-write lock of four bytes: many readers or one writer. All-zero bytes are an unlocked lock;
 * nothing to destroy.
 *
 * The word:
 *   bits     name      set by                                     cleared by
 *   0        WRITER    a locker's cas; from then on readers wait  write unlock, or who hands over
 *   1        PARKED    who goes to sleep in the queue             whoever empties the queue
 *   2        DRAIN     the writer, when it sleeps until the       the writer
 *                      readers inside have left
 *   3-31     READERS   readers, and those on their way in or out  each its own
 *
 * A reader adds itself first and looks at WRITER in what it got; if it was set, it takes itself
 * out again, or stays if the writer has gone meanwhile. So both halves of the read pair are one
 * addition. That a writer first stops the readers that come and then waits for those inside is from
 * parking_lot's RwLock; that readers and writers take turns when others wait, from B. Brandenburg
 * and J. Anderson's phase-fair locks (2010). docs/rwlock.md has the argument.
 *
 * Nobody starves. Readers that come after a writer wait, so it waits only for those inside. Who is
 * woken competes with newcomers; but once one of the sleepers has slept for a millisecond, the
 * write unlock hands the lock over: to all the readers that sleep, and behind them to the writer
 * that has waited longest.
 *
 * Not recursive, for readers neither: a second read lock of a thread waits behind a writer that
 * waits for the first. Any thread may unlock. The memory may be freed by whoever locks next: unlock
 * touches nothing of the lock after the release. What a thread did before its write unlock happens
 * before what later owners do; what it did before its read unlock, before what later writers do.
 *
 * In a forked child, a lock that another thread held at the fork stays locked; so does one that
 * another thread waited to write-lock, since it had stopped the readers; and a reader that a writer
 * was just turning away stays counted, also where the forking thread is that writer. lw_rwlock_init
 * makes it anew. */
#ifndef LATCHWORK_RWLOCK_H
#define LATCHWORK_RWLOCK_H

#include <latchwork/atomic.h>
#include <latchwork/park.h>
#include <latchwork/status.h>

LW_EXTERN_C_BEGIN

typedef struct lw_rwlock {
    lw_atomic_u32 word;
} lw_rwlock_t;

#define LW_RWLOCK_INIT                                                                             \
    {                                                                                              \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

#define LW_RWLOCK_WRITER_ UINT32_C(1)
#define LW_RWLOCK_PARKED_ UINT32_C(2)
#define LW_RWLOCK_DRAIN_ UINT32_C(4)
#define LW_RWLOCK_READER_ UINT32_C(8)        /* one of them */
#define LW_RWLOCK_MANY_ UINT32_C(0x80000000) /* 2^28 readers: far before the count overflows */

LW_API lw_status lw_rwlock_read_slow_(lw_rwlock_t *l, int64_t timeout_ns, unsigned flags);
LW_API void lw_rwlock_read_unlock_slow_(lw_rwlock_t *l, uint32_t word);
LW_API lw_status lw_rwlock_write_slow_(lw_rwlock_t *l, int64_t timeout_ns, unsigned flags);
LW_API void lw_rwlock_write_unlock_slow_(lw_rwlock_t *l);
LW_API void lw_rwlock_downgrade_slow_(lw_rwlock_t *l);
LW_API bool lw_rwlock_try_upgrade_slow_(lw_rwlock_t *l);

/* Sets the bytes of an unlocked lock. Not needed for zeroed memory. */
static inline void lw_rwlock_init(lw_rwlock_t *l)
{
    lw_atomic_store_relaxed_u32(&l->word, 0);
}

/* Whether somebody holds it, or is about to, at some moment during the call: for assertions and
 * reports. Wait-free, orders nothing. */
static inline bool lw_rwlock_is_locked(const lw_rwlock_t *l)
{
    return (lw_atomic_load_relaxed_u32(&l->word) & ~LW_RWLOCK_PARKED_) != 0;
}

/* The same, of a writer. */
static inline bool lw_rwlock_is_write_locked(const lw_rwlock_t *l)
{
    return (lw_atomic_load_relaxed_u32(&l->word) & LW_RWLOCK_WRITER_) != 0;
}

/* Locks for reading within timeout_ns nanoseconds (negative: no limit; 0: as read_trylock), with
 * flags of park.h: LW_WAIT_ATTACHED stays attached; LW_WAIT_INTERRUPTIBLE may return
 * LW_INTERRUPTED. LW_OK (acquire), LW_TIMEOUT, LW_INTERRUPTED. More than 2^28 readers at once end
 * the process with a message. Wait-free while there is no writer, else blocking; detaches. */
static inline LW_NODISCARD lw_status lw_rwlock_read_lock_flags(lw_rwlock_t *l, int64_t timeout_ns,
                                                               unsigned flags)
{
    /* (1) acquire: pairs with the releases of writers, (4) and (8). */
    uint32_t word = lw_atomic_add_acquire_u32(&l->word, LW_RWLOCK_READER_);
    if (LW_LIKELY((word & (LW_RWLOCK_WRITER_ | LW_RWLOCK_MANY_)) == 0)) {
        return LW_OK;
    }
    return lw_rwlock_read_slow_(l, timeout_ns, flags);
}

/* As lw_rwlock_read_lock_flags, detaching. */
static inline LW_NODISCARD lw_status lw_rwlock_read_lock_for(lw_rwlock_t *l, int64_t timeout_ns)
{
    return lw_rwlock_read_lock_flags(l, timeout_ns, LW_WAIT_DEFAULT);
}

/* Locks for reading. Wait-free while there is no writer, else blocking; detaches from the host
 * while it sleeps. Acquire. */
static inline void lw_rwlock_read_lock(lw_rwlock_t *l)
{
    (void)!lw_rwlock_read_lock_flags(l, -1, LW_WAIT_DEFAULT);
}

/* Locks for reading if no writer has the lock or waits for it. Lock-free, any attach state; acquire
 * when true. */
static inline bool lw_rwlock_read_trylock(lw_rwlock_t *l)
{
    /* The look first: those who only try in a loop must not keep a writer waiting by additions. */
    return !lw_rwlock_is_write_locked(l) &&
           lw_rwlock_read_lock_flags(l, 0, LW_WAIT_DEFAULT) == LW_OK;
}

/* Gives up a read lock. Unlocking what no reader holds ends the process with a message. Wait-free;
 * the last reader wakes a writer that sleeps; any attach state. Release. */
static inline void lw_rwlock_read_unlock(lw_rwlock_t *l)
{
    /* (2) release: pairs with the acquires of writers, (3), (7) and (9). From here on the lock may
     * be gone. */
    uint32_t word = lw_atomic_sub_release_u32(&l->word, LW_RWLOCK_READER_);
    if (LW_UNLIKELY((word & LW_RWLOCK_DRAIN_) != 0 || word < LW_RWLOCK_READER_)) {
        lw_rwlock_read_unlock_slow_(l, word);
    }
}

/* Locks for writing; arguments and results as of lw_rwlock_read_lock_flags. Blocking; detaches. */
static inline LW_NODISCARD lw_status lw_rwlock_write_lock_flags(lw_rwlock_t *l, int64_t timeout_ns,
                                                                unsigned flags)
{
    uint32_t free_word = 0;
    /* (3) acquire: pairs with the releases (2), (4) and (8). */
    if (LW_LIKELY(lw_atomic_cas_acquire_u32(&l->word, &free_word, LW_RWLOCK_WRITER_))) {
        return LW_OK;
    }
    return lw_rwlock_write_slow_(l, timeout_ns, flags);
}

/* As lw_rwlock_write_lock_flags, detaching. */
static inline LW_NODISCARD lw_status lw_rwlock_write_lock_for(lw_rwlock_t *l, int64_t timeout_ns)
{
    return lw_rwlock_write_lock_flags(l, timeout_ns, LW_WAIT_DEFAULT);
}

/* Locks for writing. Blocking; detaches from the host while it sleeps. Acquire. */
static inline void lw_rwlock_write_lock(lw_rwlock_t *l)
{
    (void)!lw_rwlock_write_lock_flags(l, -1, LW_WAIT_DEFAULT);
}

/* Locks for writing if that needs no wait. May fail for a reader that was refused and is on its way
 * out. Lock-free, any attach state; acquire when true. */
static inline bool lw_rwlock_write_trylock(lw_rwlock_t *l)
{
    return lw_rwlock_write_lock_flags(l, 0, LW_WAIT_DEFAULT) == LW_OK;
}

/* Gives up the write lock. Unlocking what no writer holds ends the process with a message.
 * Lock-free but for the queue's lock when somebody waits; any attach state. Release. */
static inline void lw_rwlock_write_unlock(lw_rwlock_t *l)
{
    uint32_t word = LW_RWLOCK_WRITER_;
    /* (4) release: pairs with the acquires (1), (3), (5), (6) and (7). From here on the lock may be
     * gone. */
    if (LW_UNLIKELY(!lw_atomic_cas_release_u32(&l->word, &word, 0))) {
        lw_rwlock_write_unlock_slow_(l);
    }
}

/* Makes the caller's write lock a read lock, with no moment in between that another writer could
 * use. Readers that wait are let in. Progress, misuse and order as lw_rwlock_write_unlock. */
static inline void lw_rwlock_downgrade(lw_rwlock_t *l)
{
    uint32_t word = LW_RWLOCK_WRITER_;
    /* (4), too. */
    if (LW_UNLIKELY(!lw_atomic_cas_release_u32(&l->word, &word, LW_RWLOCK_READER_))) {
        lw_rwlock_downgrade_slow_(l);
    }
}

/* Makes the caller's read lock the write lock, if there is no other reader and no writer has
 * stopped them:
 * true; else false, and the caller keeps its read lock. There is no form that waits: two readers
 * that did so would wait for each other, and a third mode that only one reader may have would cost
 * every locker a state. Give the read lock up, take the write lock, and look again at what was
 * read. With no reader it ends the process with a message. Lock-free, any attach state; acquire
 * when true. */
static inline bool lw_rwlock_try_upgrade(lw_rwlock_t *l)
{
    uint32_t word = LW_RWLOCK_READER_;
    /* (9) acquire: pairs with the release (2) of the other readers. */
    return lw_atomic_cas_acquire_u32(&l->word, &word, LW_RWLOCK_WRITER_) ||
           lw_rwlock_try_upgrade_slow_(l);
}

LW_EXTERN_C_END

#endif /* LATCHWORK_RWLOCK_H */
