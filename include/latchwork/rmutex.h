/* SPDX-License-Identifier: BSD-2-Clause */
/* A mutex that its owner may lock again: a mutex, who owns it, and how often. 16 bytes; all-zero
 * bytes are unlocked; nothing to destroy.
 *
 *   field   written by
 *   mutex   mutex.h
 *   depth   the owner
 *   owner   whoever has locked `mutex`: its own number, and 0 before it unlocks; read by anybody
 *
 * A thread finds its own number there if and only if it is the owner, so the look needs no order:
 * docs/rmutex.md has the argument, and what becomes of it when a thread ends as an owner. In a
 * forked child the thread that forked is the owner still; what others held stays locked. Only the
 * owner may unlock. The memory may be freed by whoever locks next. Everything a thread did before
 * the last unlock happens before what the next owner does after lock. Not to be used in signal
 * handlers. */
#ifndef LATCHWORK_RMUTEX_H
#define LATCHWORK_RMUTEX_H

#include <latchwork/atomic.h>
#include <latchwork/mutex.h>
#include <latchwork/status.h>

LW_EXTERN_C_BEGIN

typedef struct lw_rmutex {
    lw_mutex_t mutex;
    LW_PLAIN(uint32_t) depth;
    lw_atomic_u64 owner; /* lw_rmutex_self_() when it locked; 0: nobody */
} lw_rmutex_t;

#define LW_RMUTEX_INIT                                                                             \
    {                                                                                              \
        LW_MUTEX_INIT, 0,                                                                          \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

LW_API uint64_t lw_rmutex_self_(void);
LW_API bool lw_rmutex_forked_(uint64_t owner);
LW_API void lw_rmutex_deeper_(lw_rmutex_t *m);
LW_API LW_NORETURN void lw_rmutex_not_owned_(const char *function);

/* Sets the bytes of an unlocked mutex. Not needed for zeroed memory. */
static inline void lw_rmutex_init(lw_rmutex_t *m)
{
    lw_mutex_init(&m->mutex);
    LW_PLAIN_SET(m->depth, 0);
    lw_atomic_store_relaxed_u64(&m->owner, 0);
}

/* Whether somebody holds it, at some moment during the call. Wait-free, orders nothing. */
static inline bool lw_rmutex_is_locked(const lw_rmutex_t *m)
{
    return lw_mutex_is_locked(&m->mutex);
}

/* Whether `self` is the owner: a thread that has forked since is that in the child, too. The same
 * number from before a fork (bits 18 to 63) is else that of a thread which is gone. */
static inline bool lw_rmutex_has_(const lw_rmutex_t *m, uint64_t self)
{
    uint64_t owner = lw_atomic_load_relaxed_u64(&m->owner);
    return owner == self || (LW_UNLIKELY((owner ^ self) >> 18 == 0) && lw_rmutex_forked_(owner));
}

/* Whether the calling thread holds it. Exact. Wait-free, any attach state; orders nothing. */
static inline bool lw_rmutex_is_owned(const lw_rmutex_t *m)
{
    return lw_rmutex_has_(m, lw_rmutex_self_());
}

/* How often the calling thread has locked it; 0: it does not hold it. As lw_rmutex_is_owned. */
static inline uint32_t lw_rmutex_depth(const lw_rmutex_t *m)
{
    return lw_rmutex_is_owned(m) ? LW_PLAIN_GET(m->depth) : 0;
}

static inline void lw_rmutex_own_(lw_rmutex_t *m, uint64_t self, uint32_t depth)
{
    lw_atomic_store_relaxed_u64(&m->owner, self);
    LW_PLAIN_SET(m->depth, depth);
}

/* Before the mutex is unlocked: from then on another may write it. */
static inline void lw_rmutex_disown_(lw_rmutex_t *m)
{
    lw_atomic_store_relaxed_u64(&m->owner, 0);
    lw_mutex_unlock(&m->mutex);
}

/* Locks, once more if the calling thread holds it (wait-free then); else as lw_mutex_lock_flags:
 * LW_OK (acquire), LW_TIMEOUT, LW_INTERRUPTED. Blocking; detaches. Ends the process with a message
 * at the 2^32th level. */
static inline LW_NODISCARD lw_status lw_rmutex_lock_flags(lw_rmutex_t *m, int64_t timeout_ns,
                                                          unsigned flags)
{
    uint64_t self = lw_rmutex_self_();
    lw_status status;
    if (lw_rmutex_has_(m, self)) {
        lw_rmutex_deeper_(m);
        return LW_OK;
    }
    status = lw_mutex_lock_flags(&m->mutex, timeout_ns, flags);
    if (LW_LIKELY(status == LW_OK)) {
        lw_rmutex_own_(m, self, 1);
    }
    return status;
}

/* As lw_rmutex_lock_flags, detaching. */
static inline LW_NODISCARD lw_status lw_rmutex_lock_for(lw_rmutex_t *m, int64_t timeout_ns)
{
    return lw_rmutex_lock_flags(m, timeout_ns, LW_WAIT_DEFAULT);
}

/* Locks. Blocking; detaches from the host while it sleeps. Acquire. */
static inline void lw_rmutex_lock(lw_rmutex_t *m)
{
    (void)!lw_rmutex_lock_flags(m, -1, LW_WAIT_DEFAULT);
}

/* Locks if that needs no wait. Wait-free, any attach state; acquire when true. */
static inline bool lw_rmutex_trylock(lw_rmutex_t *m)
{
    uint64_t self = lw_rmutex_self_();
    if (lw_rmutex_has_(m, self)) {
        lw_rmutex_deeper_(m);
        return true;
    }
    if (!lw_mutex_trylock(&m->mutex)) {
        return false;
    }
    lw_rmutex_own_(m, self, 1);
    return true;
}

/* Takes back one lock; the last one unlocks. Ends the process with a message unless the calling
 * thread holds it. Progress as lw_mutex_unlock; any attach state. Release, by the last one. */
static inline void lw_rmutex_unlock(lw_rmutex_t *m)
{
    uint32_t depth;
    if (LW_UNLIKELY(!lw_rmutex_is_owned(m))) {
        lw_rmutex_not_owned_("lw_rmutex_unlock");
    }
    depth = LW_PLAIN_GET(m->depth) - 1;
    LW_PLAIN_SET(m->depth, depth);
    if (depth == 0) {
        lw_rmutex_disown_(m);
    }
}

/* Unlocks all levels at once, for a wait that must not hold it, and returns how many they were.
 * Misuse, progress and order as lw_rmutex_unlock. */
LW_API LW_NODISCARD uint32_t lw_rmutex_save(lw_rmutex_t *m);

/* Locks it `depth` times: what lw_rmutex_save returned, on the same thread. `flags`:
 * LW_WAIT_ATTACHED or none; has no limit and cannot be interrupted. Ends the process with a message
 * if the calling thread holds it, or if depth is 0. Blocking; detaches. Acquire. */
LW_API void lw_rmutex_restore(lw_rmutex_t *m, uint32_t depth, unsigned flags);

LW_EXTERN_C_END

#endif /* LATCHWORK_RMUTEX_H */
