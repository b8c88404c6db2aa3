/* SPDX-License-Identifier: BSD-2-Clause */
/* A mutex that one thread uses nearly always: that thread locks and unlocks it without a locked
 * operation, until another wants it. All-zero bytes are an unlocked mutex; nothing to destroy.
 *
 * The word is the record of a thread (thread.h) and, in two bits, what that thread has to do with
 * the mutex:
 *   state     meaning                                  left by
 *   BIASED    the thread may enter by its record       another's cas to CLAIMED
 *   CLAIMED   the thread waits until that one is out   that thread: to LOCKED, or back to BIASED
 *   LOCKED    the thread has locked it                 unlock: a store of FREE, or of BIASED
 *   FREE      the thread was the last to lock it       a cas to LOCKED
 *   0         as FREE, of nobody
 *
 * The thread with the bias notes the mutex in a slot of its own record, and looks whether the bias
 * is still its own; unlock empties the slot. Whoever takes the bias away changes the word first and
 * looks into the slots then. Between the two steps of each lie the halves of an asymmetric fence.
 * The other states are those of mutex.h: a cas, and a plain store. A thread gets the bias by its
 * unlock, when it has locked the mutex 64 times in a row; each time that it is taken away doubles
 * that, up to 4096. Where there is no membarrier nobody gets it. docs/biased_mutex.md has the
 * argument.
 *
 * After D. Dice, M. Moir and W. Scherer (quickly reacquirable locks) and K. Russell and D. Detlefs
 * (biased locking); that the note lies with the thread is from M. Michael's hazard pointers; the
 * fence is liburcu's and P1202's.
 *
 * Not recursive. The thread that has locked it unlocks it. It is not to be freed, nor to be
 * initialised again, while it is locked, not even by who has locked it. The memory may be freed by
 * whoever locks next: unlock touches nothing of the mutex after the release. A woken thread
 * competes with newcomers. Everything a thread did before unlock happens before what the next owner
 * does after lock. */
#ifndef LATCHWORK_BIASED_MUTEX_H
#define LATCHWORK_BIASED_MUTEX_H

#include <latchwork/atomic.h>
#include <latchwork/park.h>
#include <latchwork/status.h>
#include <latchwork/thread.h>

LW_EXTERN_C_BEGIN

typedef struct lw_biased_mutex {
    lw_atomic_ptr word;
    LW_PLAIN(uint32_t) run;     /* LOCKED: how often in a row the thread has locked it */
    LW_PLAIN(uint32_t) revoked; /* LOCKED or CLAIMED: how often the bias was taken away */
} lw_biased_mutex_t;

#define LW_BIASED_MUTEX_INIT                                                                       \
    {                                                                                              \
        {NULL}, 0, 0                                                                               \
    }

LW_API lw_status lw_biased_mutex_lock_slow_(lw_biased_mutex_t *m, int64_t timeout_ns,
                                            unsigned flags);
LW_API void lw_biased_mutex_unlock_slow_(lw_biased_mutex_t *m);
LW_API void lw_biased_mutex_back_out_(lw_biased_mutex_t *m, lw_thread *self);
LW_API void lw_biased_mutex_assert_held_(const lw_biased_mutex_t *m);
/* How many await threads whose bias they take away, in the whole process. For tests. */
LW_API size_t lw_biased_mutex_awaited_(void);

/* Sets the bytes of an unlocked mutex. Not needed for zeroed memory. */
static inline void lw_biased_mutex_init(lw_biased_mutex_t *m)
{
    lw_atomic_store_relaxed_ptr(&m->word, NULL);
    LW_PLAIN_SET(m->run, 0);
    LW_PLAIN_SET(m->revoked, 0);
}

/* Whether somebody holds it, at some moment during the call: for assertions and reports. Wait-free,
 * orders nothing. */
LW_API bool lw_biased_mutex_is_locked(const lw_biased_mutex_t *m);

/* Where the thread that takes the bias away waits for the other one to leave; all others wait on
 * the mutex itself. */
static inline const void *lw_biased_mutex_exit_(const lw_biased_mutex_t *m)
{
    return &m->run;
}

/* The slot of a record that a mutex is noted in, and no other is: a thread that holds another mutex
 * by the same slot locks this one without its bias. */
static inline lw_atomic_ptr *lw_biased_mutex_slot_(lw_thread *thread, const lw_biased_mutex_t *m)
{
    /* Knuth's multiplicative hashing: the high bits of the product depend on all of the factor. */
    uint32_t h = (uint32_t)(uintptr_t)m * UINT32_C(0x9e3779b1);
    return &thread->biased[(size_t)(h >> 29) & (LW_BIASED_SLOTS - 1)];
}

/* The calling thread had the bias when it looked at the word. */
static inline bool lw_biased_mutex_enter_by_(lw_biased_mutex_t *m, lw_thread *self)
{
    lw_atomic_ptr *slot = lw_biased_mutex_slot_(self, m);
    if (LW_UNLIKELY(lw_atomic_load_relaxed_ptr(slot) != NULL)) {
        return false;
    }
    /* (1) release: pairs with the acquire (6), for what was in the slot before. */
    lw_atomic_store_release_ptr(slot, &m->word);
    /* (2) The cheap half of the fence whose dear half is (7): either this look sees the claim, or
     * the claimer sees the slot. */
    lw_fence_light();
    if (LW_LIKELY(lw_atomic_load_relaxed_ptr(&m->word) == self)) {
        return true;
    }
    lw_biased_mutex_back_out_(m, self);
    return false;
}

static inline bool lw_biased_mutex_enter_(lw_biased_mutex_t *m)
{
    lw_thread *self = LW_TLS_SLOT_()->self;
    return LW_LIKELY(lw_atomic_load_relaxed_ptr(&m->word) == self) && LW_LIKELY(self != NULL) &&
           lw_biased_mutex_enter_by_(m, self);
}

/* The calling thread empties its slot. */
static inline void lw_biased_mutex_leave_(const lw_biased_mutex_t *m, lw_thread *self,
                                          lw_atomic_ptr *slot)
{
    /* (3) release: pairs with the acquire (6). From here on the mutex may be gone. */
    lw_atomic_store_release_ptr(slot, NULL);
    /* (4) The cheap half of the same fence: either this look sees that a claimer waits, or the
     * claimer sees the slot empty. */
    lw_fence_light();
    if (LW_UNLIKELY(lw_atomic_load_relaxed_u32(&self->biased_awaited) != 0)) {
        (void)lw_unpark_one(lw_biased_mutex_exit_(m), NULL, NULL);
    }
}

/* Locks within timeout_ns nanoseconds (negative: no limit; 0: as trylock), with flags of park.h:
 * LW_WAIT_ATTACHED stays attached; LW_WAIT_INTERRUPTIBLE may return LW_INTERRUPTED.
 * LW_OK (acquire), LW_TIMEOUT, LW_INTERRUPTED. Blocking; detaches. Wait-free on the thread that has
 * the bias. Makes the record of the thread on its first use, which may allocate; where that fails,
 * works without. A thread that has locked it already ends the process with a message, unless
 * there is a time limit: then the time passes. */
static inline LW_NODISCARD lw_status lw_biased_mutex_lock_flags(lw_biased_mutex_t *m,
                                                                int64_t timeout_ns, unsigned flags)
{
    return LW_LIKELY(lw_biased_mutex_enter_(m)) ? LW_OK
                                                : lw_biased_mutex_lock_slow_(m, timeout_ns, flags);
}

/* As lw_biased_mutex_lock_flags, detaching. */
static inline LW_NODISCARD lw_status lw_biased_mutex_lock_for(lw_biased_mutex_t *m,
                                                              int64_t timeout_ns)
{
    return lw_biased_mutex_lock_flags(m, timeout_ns, LW_WAIT_DEFAULT);
}

/* Locks. Blocking; detaches from the host while it sleeps. Acquire. */
static inline void lw_biased_mutex_lock(lw_biased_mutex_t *m)
{
    (void)!lw_biased_mutex_lock_flags(m, -1, LW_WAIT_DEFAULT);
}

/* Locks if that needs no wait; any attach state; acquire when true. Never sleeps; takes the bias
 * away if another thread has it and is not inside, which issues a membarrier. */
static inline bool lw_biased_mutex_trylock(lw_biased_mutex_t *m)
{
    return lw_biased_mutex_lock_flags(m, 0, LW_WAIT_DEFAULT) == LW_OK;
}

/* Unlocks. The calling thread must have locked it: unlocking a mutex that is not locked, or that
 * another thread has locked, ends the process with a message (threads without a record are not told
 * apart). Lock-free but for a queue's lock when somebody waits, or takes the bias of whatever
 * mutex away from this thread; any attach state. Release. */
static inline void lw_biased_mutex_unlock(lw_biased_mutex_t *m)
{
    lw_thread *self = LW_TLS_SLOT_()->self;
    if (LW_LIKELY(self != NULL)) {
        lw_atomic_ptr *slot = lw_biased_mutex_slot_(self, m);
        /* Only this thread writes it: it is inside by its bias, or by the word. */
        if (LW_LIKELY(lw_atomic_load_relaxed_ptr(slot) == &m->word)) {
            lw_biased_mutex_leave_(m, self, slot);
            return;
        }
    }
    lw_biased_mutex_unlock_slow_(m);
}

/* With LW_DEBUG: ends the process with a message unless the calling thread has locked it (threads
 * without a record are not told apart). Without: nothing. */
static inline void lw_biased_mutex_assert_held(const lw_biased_mutex_t *m)
{
#if defined(LW_DEBUG)
    lw_biased_mutex_assert_held_(m);
#else
    (void)m;
#endif
}

LW_EXTERN_C_END

#endif /* LATCHWORK_BIASED_MUTEX_H */
