/* SPDX-License-Identifier: BSD-2-Clause */
/* A barrier for a number of threads, its parties: a wait returns when that many have arrived, and
 * it is ready for the next round at once. Sixteen bytes; nothing to destroy. After Python's
 * threading.Barrier, whose states and errors it has, and Java's CyclicBarrier.
 *
 *   state      meaning                                     leaves it
 *   FILLING    0 to parties-1 have arrived                 the last to arrive, to ACTING, or,
 *                                                          without an action, to FILLING of the
 *                                                          next round;
 *                                                          a time-out or abort, to BROKEN
 *   ACTING     all have arrived, and the action runs       its end, to FILLING or, if it failed, to
 *                                                          BROKEN; reset, to RESETTING; abort, to
 *                                                          BREAKING
 *   RESETTING  it runs, for a round that was reset         its end, to FILLING; abort, to BREAKING
 *   BREAKING   it runs, for a round that was broken        its end, to BROKEN; reset, to RESETTING
 *   BROKEN     no action runs                              reset, to FILLING
 *
 * Who comes while it is ACTING or RESETTING waits at the door for the end of the action; who comes
 * while it is BREAKING or BROKEN gets LW_BROKEN. So there is one action at a time.
 *
 * All of it changes under the lock of the wait queue (park.h), which also keeps everything in
 * order: what a thread did before its wait happens before the action, and the action before what
 * follows any wait of the round. Who is let go takes its result along and does not look at the
 * barrier again: after LW_OK, the waits of the round touch its memory no more, and whoever returned
 * may free it if no other calls are under way. After any other result, free it only when all waits
 * have returned. docs/barrier.md has the argument. */
#ifndef LATCHWORK_BARRIER_H
#define LATCHWORK_BARRIER_H

#include <latchwork/atomic.h>
#include <latchwork/park.h>
#include <latchwork/status.h>

LW_EXTERN_C_BEGIN

typedef struct lw_barrier {
    uint32_t parties;
    lw_atomic_u32 state;
    lw_atomic_u32 arrived; /* in this round, and not gone again */
    lw_atomic_u32 round;
} lw_barrier_t;

/* `parties`: not 0. */
#define LW_BARRIER_INIT(parties)                                                                   \
    {                                                                                              \
        (parties), {0}, {0},                                                                       \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

enum {
    LW_BARRIER_FILLING_,
    LW_BARRIER_ACTING_,
    LW_BARRIER_RESETTING_,
    LW_BARRIER_BREAKING_,
    LW_BARRIER_BROKEN_
};

/* What one thread does when all have arrived, before any of them goes on. False: it failed. */
typedef bool (*lw_barrier_action_fn)(void *arg);

/* A barrier for so many threads; none ends the process with a message, here or, for zeroed memory,
 * in the first wait. Nobody may be using it. */
LW_API void lw_barrier_init(lw_barrier_t *b, uint32_t parties);

/* Arrives, and waits for the others.
 *   LW_OK           all have arrived. *index (may be NULL) is 0 to parties-1, another for each
 *                   thread of the round, in the order of their arrival
 *   LW_BROKEN       the barrier was broken, or reset, before all had arrived; or the action failed
 *   LW_TIMEOUT      timeout_ns nanoseconds have passed since it arrived (negative: no limit; 0: if
 *                   it is not the last), and the barrier is broken by that, unless another has come
 *                   in its place just then
 *   LW_INTERRUPTED  with LW_WAIT_INTERRUPTIBLE (park.h): it has not arrived any more, and nothing
 *                   was changed. Call again, or abort
 * `action` (may be NULL) is called by the last to arrive, on its thread, in the attach state that
 * it came in, and with none of the library's locks held; that of the others is not. If it says
 * false or ends its thread, the barrier is broken. It may reset and abort, and must not wait here.
 * No limit and no signal ends a wait of the round while it runs, and abort and reset have effect on
 * the round when it ends.
 * Blocking; detaches while it sleeps, unless LW_WAIT_ATTACHED. Acquire and release. */
LW_API LW_NODISCARD lw_status lw_barrier_wait_then(lw_barrier_t *b, lw_barrier_action_fn action,
                                                   void *arg, int64_t timeout_ns, unsigned flags,
                                                   uint32_t *index);

/* The same without an action. */
static inline LW_NODISCARD lw_status lw_barrier_wait_flags(lw_barrier_t *b, int64_t timeout_ns,
                                                           unsigned flags, uint32_t *index)
{
    return lw_barrier_wait_then(b, NULL, NULL, timeout_ns, flags, index);
}

static inline LW_NODISCARD lw_status lw_barrier_wait_for(lw_barrier_t *b, int64_t timeout_ns,
                                                         uint32_t *index)
{
    return lw_barrier_wait_then(b, NULL, NULL, timeout_ns, LW_WAIT_DEFAULT, index);
}

/* LW_OK or LW_BROKEN. */
static inline LW_NODISCARD lw_status lw_barrier_wait(lw_barrier_t *b, uint32_t *index)
{
    return lw_barrier_wait_then(b, NULL, NULL, -1, LW_WAIT_DEFAULT, index);
}

/* Makes it as new, broken or not, at once or when the action has ended: whoever has arrived gets
 * LW_BROKEN. Blocks for the queue's lock only;
 * any attach state. */
LW_API void lw_barrier_reset(lw_barrier_t *b);

/* Breaks it: whoever waits, and whoever comes before a reset, gets LW_BROKEN. As reset. */
LW_API void lw_barrier_abort(lw_barrier_t *b);

/* For reports, at some moment during the call: whether it is broken; how many have arrived and
 * wait. Wait-free, order nothing. */
static inline bool lw_barrier_is_broken(const lw_barrier_t *b)
{
    return lw_atomic_load_relaxed_u32(&b->state) >= LW_BARRIER_BREAKING_;
}

static inline uint32_t lw_barrier_waiting(const lw_barrier_t *b)
{
    return lw_atomic_load_relaxed_u32(&b->state) <= LW_BARRIER_ACTING_
               ? lw_atomic_load_relaxed_u32(&b->arrived)
               : 0;
}

static inline uint32_t lw_barrier_parties(const lw_barrier_t *b)
{
    return b->parties;
}

LW_EXTERN_C_END

#endif /* LATCHWORK_BARRIER_H */
