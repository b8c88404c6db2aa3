/* SPDX-License-Identifier: BSD-2-Clause */
/* A sequence lock: a few words that are read without writing anything, and read again if a writer
 * came in between. 16 bytes; all-zero bytes are unlocked; nothing to destroy.
 *
 *   field      written by
 *   sequence   writers: odd while one writes, two more for each write
 *   writers    a mutex: one writer at a time
 *
 * The data is an array of lw_atomic_u64 of the caller's, which is written by lw_seqlock_store
 * while the lock is held, and read by lw_seqlock_load between the two calls of a reader. These
 * order each word; there is no fence. A reader that has found too many writers in its way takes the
 * writers' mutex: so it ends, and never spins while a writer does not run. After Linux's seqlock;
 * the orders are one of the forms of H. Boehm, "Can Seqlocks Get Along With Programming Language
 * Memory Models?" (2012). docs/seqlock.md has the argument.
 *
 * What a reader has loaded may be a mixture until lw_seqlock_again has said false: it must not be
 * followed as a pointer before. */
#ifndef LATCHWORK_SEQLOCK_H
#define LATCHWORK_SEQLOCK_H

#include <latchwork/atomic.h>
#include <latchwork/mutex.h>
#include <latchwork/status.h>

LW_EXTERN_C_BEGIN

typedef struct lw_seqlock {
    lw_atomic_u64 sequence; /* 64 bits do not come round: no reader sleeps for 2^63 writes */
    lw_mutex_t writers;
} lw_seqlock_t;

#define LW_SEQLOCK_INIT                                                                            \
    {                                                                                              \
        {0}, LW_MUTEX_INIT                                                                         \
    }

/* One read: zero bytes at first. */
typedef struct lw_seqlock_reader {
    uint64_t sequence;
    unsigned tries;
    bool locked; /* it holds the writers' mutex */
} lw_seqlock_reader;

#define LW_SEQLOCK_READER_INIT                                                                     \
    {                                                                                              \
        0, 0, false                                                                                \
    }

LW_API void lw_seqlock_enter_slow_(lw_seqlock_t *s, lw_seqlock_reader *r);
LW_API void lw_seqlock_read_slow_(lw_seqlock_t *s, uint64_t *words, const lw_atomic_u64 *data,
                                  size_t count);
LW_API LW_NORETURN void lw_seqlock_misuse_(const char *function);

/* Sets the bytes of an unlocked one. Not needed for zeroed memory. */
static inline void lw_seqlock_init(lw_seqlock_t *s)
{
    lw_atomic_store_relaxed_u64(&s->sequence, 0);
    lw_mutex_init(&s->writers);
}

/* ---- the data ---- */

/* Copies `count` words. Wait-free, any attach state. For readers, between lw_seqlock_enter and
 * lw_seqlock_again, or read_begin and read_retry; or with the lock held. */
static inline void lw_seqlock_load(uint64_t *words, const lw_atomic_u64 *data, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++) {
        /* (3) acquire: pairs with the release (4). Whoever sees a word of a writer will see its odd
         * number as well, in the look that comes after. */
        words[i] = lw_atomic_load_acquire_u64(&data[i]);
    }
}

/* Writes `count` words. Wait-free, any attach state. For whoever holds the lock. */
static inline void lw_seqlock_store(lw_atomic_u64 *data, const uint64_t *words, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++) {
        /* (4) release: pairs with the acquire (3); the odd number goes first. */
        lw_atomic_store_release_u64(&data[i], words[i]);
    }
}

/* ---- readers ---- */

/* The reader's loop, of a reader `r` that is zero at first:
 *
 *   do {
 *       lw_seqlock_enter(s, &r);
 *       lw_seqlock_load(words, data, count);
 *   } while (lw_seqlock_again(s, &r));
 *
 * A bounded number of rounds. Lock-free while no writer is in the way; else it blocks for the
 * writers' mutex, detaching, and holds it for its last round: the thread must not end in between.
 * Not within a write of the same lock. Acquire: what a writer did before its unlock happens before
 * what follows a loop that saw it. */
static inline void lw_seqlock_enter(lw_seqlock_t *s, lw_seqlock_reader *r)
{
    /* (1) acquire: pairs with the release (2), for the words of the writes that are over. */
    r->sequence = lw_atomic_load_acquire_u64(&s->sequence);
    if (LW_UNLIKELY((r->sequence & 1) != 0 || r->tries != 0)) {
        lw_seqlock_enter_slow_(s, r);
    }
}

static inline bool lw_seqlock_again(lw_seqlock_t *s, lw_seqlock_reader *r)
{
    if (LW_UNLIKELY(r->locked)) {
        lw_mutex_unlock(&s->writers);
        r->locked = false;
        return false;
    }
    r->tries++;
    /* Relaxed: (3) has ordered it behind the words. */
    return LW_UNLIKELY(lw_atomic_load_relaxed_u64(&s->sequence) != r->sequence);
}

/* The same in parts that never block: for those who have something else to do when a writer is in
 * the way, who hold it const, or whose writers do without the mutex. Wait-free, any attach state;
 * loops of them have no bound. What was loaded in between counts if read_retry says false. */
static inline uint64_t lw_seqlock_read_begin(const lw_seqlock_t *s)
{
    /* (5) acquire: as (1). */
    return lw_atomic_load_acquire_u64(&s->sequence);
}
static inline bool lw_seqlock_read_retry(const lw_seqlock_t *s, uint64_t sequence)
{
    return (sequence & 1) != 0 || LW_UNLIKELY(lw_atomic_load_relaxed_u64(&s->sequence) != sequence);
}

/* Reads `count` words as they were at one moment during the call. As the loop above, of which the
 * first round needs no reader in memory. */
static inline void lw_seqlock_read(lw_seqlock_t *s, uint64_t *words, const lw_atomic_u64 *data,
                                   size_t count)
{
    uint64_t sequence = lw_seqlock_read_begin(s);
    lw_seqlock_load(words, data, count);
    if (LW_UNLIKELY(lw_seqlock_read_retry(s, sequence))) {
        lw_seqlock_read_slow_(s, words, data, count);
    }
}

/* ---- writers ---- */

/* Without the mutex, for a single writer, or where another lock of the caller's keeps writers
 * apart. Readers then are those of read_begin and read_retry: lw_seqlock_enter relies on the mutex.
 * Wait-free, any attach state. Release, by the end. End the process with a message if begun twice,
 * or not. */
static inline void lw_seqlock_write_begin(lw_seqlock_t *s)
{
    uint64_t sequence = lw_atomic_load_relaxed_u64(&s->sequence);
    if (LW_UNLIKELY((sequence & 1) != 0)) {
        lw_seqlock_misuse_("lw_seqlock_write_begin");
    }
    lw_atomic_store_relaxed_u64(&s->sequence, sequence + 1);
}
static inline void lw_seqlock_write_end(lw_seqlock_t *s)
{
    uint64_t sequence = lw_atomic_load_relaxed_u64(&s->sequence);
    if (LW_UNLIKELY((sequence & 1) == 0)) {
        lw_seqlock_misuse_("lw_seqlock_write_end");
    }
    /* (2) release: pairs with the acquires (1), (5) and (6). */
    lw_atomic_store_release_u64(&s->sequence, sequence + 1);
}

/* Locks for a write, with a limit and flags as lw_mutex_lock_flags: LW_OK (acquire), LW_TIMEOUT,
 * LW_INTERRUPTED. Blocking; detaches. Not recursive. */
static inline LW_NODISCARD lw_status lw_seqlock_write_lock_flags(lw_seqlock_t *s,
                                                                 int64_t timeout_ns, unsigned flags)
{
    lw_status status = lw_mutex_lock_flags(&s->writers, timeout_ns, flags);
    if (LW_LIKELY(status == LW_OK)) {
        lw_seqlock_write_begin(s);
    }
    return status;
}

/* Locks for a write. Blocking; detaches from the host while it sleeps. Acquire. */
static inline void lw_seqlock_write_lock(lw_seqlock_t *s)
{
    (void)!lw_seqlock_write_lock_flags(s, -1, LW_WAIT_DEFAULT);
}

/* Unlocks. Ends the process with a message if nobody writes; by whichever thread. Progress as
 * lw_mutex_unlock; any attach state. Release. Readers may look at the sequence for as long as they
 * like: the memory stays until they are done. */
static inline void lw_seqlock_write_unlock(lw_seqlock_t *s)
{
    lw_seqlock_write_end(s);
    lw_mutex_unlock(&s->writers);
}

/* Writes `count` words in one write. Blocking; detaches. */
static inline void lw_seqlock_write(lw_seqlock_t *s, lw_atomic_u64 *data, const uint64_t *words,
                                    size_t count)
{
    lw_seqlock_write_lock(s);
    lw_seqlock_store(data, words, count);
    lw_seqlock_write_unlock(s);
}

LW_EXTERN_C_END

#endif /* LATCHWORK_SEQLOCK_H */
