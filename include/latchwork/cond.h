/* SPDX-License-Identifier: BSD-2-Clause */
/* A condition variable of four bytes. All-zero bytes are one that nobody waits on; nothing to
 * destroy.
 *
 * The word is 1 while threads wait, else 0; it is written under the lock of the wait queue alone
 * (park.h), and read without by whoever notifies.
 *
 * Exact: a wait returns LW_OK only for a notification, and a notification of n goes to the n that
 * have waited longest, of those that wait when it is given: those whose wait has let go of the
 * mutex before. A thread that changes what is waited for, with the mutex locked at some time after
 * the change or during it, and then notifies, with the mutex locked or not, misses nobody who saw
 * the state before the change. Who changes it without ever locking the mutex may miss one who is
 * about to wait.
 *
 * Once a notification has taken the last waiter out, nothing touches the condition variable any
 * more: whoever was woken, or whoever has woken all, may free it, if no other notification is under
 * way. (If attaching ends the woken
 * thread, see lw_cond_notify.) Waiters may use different mutexes. Everything before the notifier's
 * call happens before the return of a wait that it wakes. The rule to let go of the mutex only when
 * the waiter is in the queue is A. Birrell's (1989); that the word is looked at first is
 * nsync's. */
#ifndef LATCHWORK_COND_H
#define LATCHWORK_COND_H

#include <latchwork/atomic.h>
#include <latchwork/mutex.h>
#include <latchwork/park.h>
#include <latchwork/rmutex.h>
#include <latchwork/status.h>

LW_EXTERN_C_BEGIN

typedef struct lw_cond {
    lw_atomic_u32 word;
} lw_cond_t;

#define LW_COND_INIT                                                                               \
    {                                                                                              \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

LW_API size_t lw_cond_notify_slow_(lw_cond_t *c, size_t n);
LW_API LW_NODISCARD lw_status lw_cond_wait_mutex_(lw_cond_t *c, lw_mutex_t *m, int64_t timeout_ns,
                                                  unsigned flags);

/* What a wait lets go of: `unlock` runs when the thread is in the queue, before it detaches; `lock`
 * runs with the thread attached again, out of the queue. `flags`: LW_WAIT_ATTACHED or none. */
typedef struct lw_cond_lock_ {
    void (*unlock)(void *arg);
    void (*lock)(void *arg, unsigned flags);
    void *arg;
} lw_cond_lock_;
LW_API LW_NODISCARD lw_status lw_cond_wait_with_(lw_cond_t *c, const lw_cond_lock_ *lock,
                                                 int64_t timeout_ns, unsigned flags);

/* Where waiters are: neither the word's address, where a mutex may have lain, nor the one that
 * lw_park_beside_ gives to other locks. So nobody but a cond wakes here. */
static inline const void *lw_cond_address_(const lw_cond_t *c)
{
    return (const char *)&c->word + 2;
}

/* Sets the bytes of one that nobody waits on. Not needed for zeroed memory. */
static inline void lw_cond_init(lw_cond_t *c)
{
    lw_atomic_store_relaxed_u32(&c->word, 0);
}

/* Unlocks `m`, which the calling thread has locked once; waits for a notification for timeout_ns
 * nanoseconds (negative: no limit; 0: none is waited for, but the mutex is let go of for a moment);
 * locks `m` again, whatever came, without a limit. Flags of park.h.
 *   LW_OK           notified
 *   LW_TIMEOUT      not notified in time
 *   LW_INTERRUPTED  not notified, see LW_WAIT_INTERRUPTIBLE; locking again is not interrupted
 * Blocking; detaches unless LW_WAIT_ATTACHED. If attaching ends the thread, `m` is not locked. With
 * LW_DEBUG, misuse ends the process with a message, as lw_mutex_assert_held says. Release and
 * acquire, as unlocking and locking `m`. */
static inline LW_NODISCARD lw_status lw_cond_wait_flags(lw_cond_t *c, lw_mutex_t *m,
                                                        int64_t timeout_ns, unsigned flags)
{
    lw_mutex_assert_held(m);
    return lw_cond_wait_mutex_(c, m, timeout_ns, flags);
}

/* The same for a recursive mutex: lets go of all its levels, and locks as many again. Ends the
 * process with a message unless the calling thread holds it. */
LW_API LW_NODISCARD lw_status lw_cond_wait_rmutex_flags(lw_cond_t *c, lw_rmutex_t *m,
                                                        int64_t timeout_ns, unsigned flags);

/* As the two above, detaching. */
static inline LW_NODISCARD lw_status lw_cond_wait_for(lw_cond_t *c, lw_mutex_t *m,
                                                      int64_t timeout_ns)
{
    return lw_cond_wait_flags(c, m, timeout_ns, LW_WAIT_DEFAULT);
}
static inline LW_NODISCARD lw_status lw_cond_wait_rmutex_for(lw_cond_t *c, lw_rmutex_t *m,
                                                             int64_t timeout_ns)
{
    return lw_cond_wait_rmutex_flags(c, m, timeout_ns, LW_WAIT_DEFAULT);
}

/* As the two above, without a limit. */
static inline void lw_cond_wait(lw_cond_t *c, lw_mutex_t *m)
{
    (void)!lw_cond_wait_flags(c, m, -1, LW_WAIT_DEFAULT);
}
static inline void lw_cond_wait_rmutex(lw_cond_t *c, lw_rmutex_t *m)
{
    (void)!lw_cond_wait_rmutex_flags(c, m, -1, LW_WAIT_DEFAULT);
}

/* Wakes the n threads that have waited longest, or all if there are no more; returns how many that
 * were. One load if nobody waits; else it blocks for the queue's lock only. Any attach state, with
 * the mutex locked or not.
 *
 * If a woken thread is ended while it attaches or locks its mutex again, its notification goes to
 * the thread that has waited longest by then, if any: unless it came from lw_cond_notify_all. */
static inline size_t lw_cond_notify(lw_cond_t *c, size_t n)
{
    /* Relaxed: whoever has locked the mutex after the waiter let go of it sees what the waiter
     * wrote before, or something later (docs/cond.md). */
    if (LW_LIKELY(lw_atomic_load_relaxed_u32(&c->word) == 0)) {
        return 0;
    }
    return lw_cond_notify_slow_(c, n);
}

/* The one that has waited longest. Returns whether there was one. As lw_cond_notify. */
static inline bool lw_cond_notify_one(lw_cond_t *c)
{
    return lw_cond_notify(c, 1) != 0;
}

/* All that wait. Returns how many they were. As lw_cond_notify. */
static inline size_t lw_cond_notify_all(lw_cond_t *c)
{
    return lw_cond_notify(c, SIZE_MAX);
}

LW_EXTERN_C_END

#endif /* LATCHWORK_COND_H */
