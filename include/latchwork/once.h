/* SPDX-License-Identifier: BSD-2-Clause */
/* Something that is done once, by whichever thread comes first, while others wait. Eight bytes;
 * all-zero bytes are not done; nothing to destroy.
 *
 * The word:
 *   bits     name      meaning
 *   0-1      state     0 not done, 1 running, 2 done
 *   2-17     forks     while running: how many forks deep the process of the runner is
 *   18-63    runner    while running: bits 6 to 51 of its lw_thread_number_
 *
 * What fails is not done: the next one tries again, a thread that waits or one that comes. So does
 * the next one if the runner's thread ends in the middle. Who would wait for itself is told so. In
 * a child that was forked while another thread ran it, it is not done; where the forking thread
 * itself ran it, it goes on in both processes.
 *
 * Everything the run did happens before the return of every call that finds it done; what a run did
 * that failed happens before the next run. The memory may be freed by whoever finds it done. */
#ifndef LATCHWORK_ONCE_H
#define LATCHWORK_ONCE_H

#include <latchwork/atomic.h>
#include <latchwork/park.h>
#include <latchwork/status.h>

LW_EXTERN_C_BEGIN

typedef struct lw_once {
    lw_atomic_u64 word;
} lw_once_t;

#define LW_ONCE_INIT                                                                               \
    {                                                                                              \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

#define LW_ONCE_RUNNING_ UINT64_C(1)
#define LW_ONCE_DONE_ UINT64_C(2)

/* What is done once; anything but LW_OK: it failed. May end the thread. No exception of C++ may
 * leave it, unless the library was compiled as C++: lw_once_begin has the form for that. */
typedef lw_status (*lw_once_fn)(void *arg);

LW_API LW_NODISCARD lw_status lw_once_call_slow_(lw_once_t *o, lw_once_fn fn, void *arg,
                                                 int64_t timeout_ns, unsigned flags);
LW_API LW_NODISCARD lw_status lw_once_begin_slow_(lw_once_t *o, int64_t timeout_ns, unsigned flags);

/* Sets the bytes of what is not done. Not needed for zeroed memory. */
static inline void lw_once_init(lw_once_t *o)
{
    lw_atomic_store_relaxed_u64(&o->word, 0);
}

/* Whether it is done. Wait-free, any attach state; acquire when true. */
static inline bool lw_once_done(const lw_once_t *o)
{
    /* (1) acquire: pairs with the release (2) in once.c. */
    return LW_LIKELY(lw_atomic_load_acquire_u64(&o->word) == LW_ONCE_DONE_);
}

/* Has it done. If nobody runs it, runs fn(arg), with the caller's attach state and none of the
 * library's locks held; else waits for timeout_ns nanoseconds (negative: no limit; 0: not at all)
 * with flags of park.h, and runs it itself if that run fails.
 *   LW_OK           done, here or elsewhere (acquire)
 *   LW_TIMEOUT, LW_INTERRUPTED  of the wait
 *   LW_BUSY         fn of this thread's own run called this
 *   what fn returned, if it ran here and failed
 * One load and a branch when it is done; else blocking; the wait detaches. */
static inline LW_NODISCARD lw_status lw_once_call_flags(lw_once_t *o, lw_once_fn fn, void *arg,
                                                        int64_t timeout_ns, unsigned flags)
{
    return lw_once_done(o) ? LW_OK : lw_once_call_slow_(o, fn, arg, timeout_ns, flags);
}

/* As lw_once_call_flags, detaching. */
static inline LW_NODISCARD lw_status lw_once_call_for(lw_once_t *o, lw_once_fn fn, void *arg,
                                                      int64_t timeout_ns)
{
    return lw_once_call_flags(o, fn, arg, timeout_ns, LW_WAIT_DEFAULT);
}

/* As lw_once_call_flags, detaching, without a limit. */
static inline LW_NODISCARD lw_status lw_once_call(lw_once_t *o, lw_once_fn fn, void *arg)
{
    return lw_once_call_flags(o, fn, arg, -1, LW_WAIT_DEFAULT);
}

/* The same in two steps, where a callback is awkward.
 *   LW_OK      not done: the caller runs it, on this thread, and then calls lw_once_commit if that
 *              succeeded or else lw_once_abort. If the thread ends without either, it stays
 *              running.
 *   LW_EXISTS  done (acquire)
 *   else       as lw_once_call_flags */
static inline LW_NODISCARD lw_status lw_once_begin_flags(lw_once_t *o, int64_t timeout_ns,
                                                         unsigned flags)
{
    return lw_once_done(o) ? LW_EXISTS : lw_once_begin_slow_(o, timeout_ns, flags);
}
static inline LW_NODISCARD lw_status lw_once_begin(lw_once_t *o)
{
    return lw_once_begin_flags(o, -1, LW_WAIT_DEFAULT);
}

/* After LW_OK of lw_once_begin: it is done; or it has failed, and another may try. Whoever waits is
 * woken. End the process with a message if the calling thread does not run it. Block for a queue's
 * lock only; any attach state. Release. */
LW_API void lw_once_commit(lw_once_t *o);
LW_API void lw_once_abort(lw_once_t *o);

LW_EXTERN_C_END

#endif /* LATCHWORK_ONCE_H */
