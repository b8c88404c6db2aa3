/* SPDX-License-Identifier: BSD-2-Clause */
/* A latch of four bytes: it opens, once, when it has been counted down to zero. All-zero bytes are
 * an open latch; nothing to destroy. After C++20's std::latch and Java's CountDownLatch.
 *
 * The word:
 *   bits     name      set by                              cleared by
 *   0        WAITED    a waiter, under the queue's lock    what opens it; the last waiter that
 *                                                          gives up, under the queue's lock
 *   1-31     COUNT     init                                counted down; not below zero
 *
 * Where somebody waits, the count goes to zero under the lock of the wait queue, which takes all
 * waiters out in the same step. They do not look at the latch again, and neither does whoever
 * opened it: a thread that was let go may free it, when all that were to come are asleep in it or
 * have gone.
 *
 * Everything a thread did before it counted down happens before what follows a wait that found the
 * latch open. docs/latch.md has the argument. */
#ifndef LATCHWORK_LATCH_H
#define LATCHWORK_LATCH_H

#include <latchwork/atomic.h>
#include <latchwork/park.h>
#include <latchwork/status.h>

LW_EXTERN_C_BEGIN

typedef struct lw_latch {
    lw_atomic_u32 word;
} lw_latch_t;

#define LW_LATCH_MAX UINT32_C(0x7fffffff)
/* `count`: a constant, at most LW_LATCH_MAX. */
#define LW_LATCH_INIT(count)                                                                       \
    {                                                                                              \
        {                                                                                          \
            (uint32_t)(count) << 1                                                                 \
        }                                                                                          \
    }

#define LW_LATCH_WAITED_ UINT32_C(1)
#define LW_LATCH_ONE_ UINT32_C(2)

LW_API void lw_latch_init_large_(void);
LW_API void lw_latch_count_down_slow_(lw_latch_t *l, uint32_t n);
LW_API lw_status lw_latch_wait_slow_(lw_latch_t *l, int64_t timeout_ns, unsigned flags);
LW_API lw_status lw_latch_arrive_(lw_latch_t *l, int64_t timeout_ns, unsigned flags);

/* A latch that is to be counted down by `count`; 0: it is open. More than LW_LATCH_MAX ends the
 * process with a message. Nobody may be using the latch: it is not for a second round. */
static inline void lw_latch_init(lw_latch_t *l, uint32_t count)
{
    if (LW_UNLIKELY(count > LW_LATCH_MAX)) {
        lw_latch_init_large_();
    }
    lw_atomic_store_relaxed_u32(&l->word, count << 1);
}

/* How much is left to be counted down, at some moment during the call: for reports. Wait-free,
 * orders nothing. */
static inline uint32_t lw_latch_count(const lw_latch_t *l)
{
    return lw_atomic_load_relaxed_u32(&l->word) >> 1;
}

/* Whether it is open. Wait-free, any attach state; acquire when true. */
static inline bool lw_latch_try_wait(const lw_latch_t *l)
{
    /* (1) acquire: pairs with the releases (2), (4) and (5). */
    return lw_atomic_load_acquire_u32(&l->word) < LW_LATCH_ONE_;
}

/* Counts down by n, and wakes all that wait if that opens it. More than is left ends the process
 * with a message. Lock-free but for the queue's lock when it opens a latch that is waited for; any
 * attach state. Release. */
static inline void lw_latch_count_down(lw_latch_t *l, uint32_t n)
{
    uint32_t word = lw_atomic_load_relaxed_u32(&l->word);
    while (LW_LIKELY(n <= word >> 1 && word != (n << 1 | LW_LATCH_WAITED_))) {
        /* (2) release: pairs with (1), (3) and (5). If this opens it, it may be gone. */
        if (LW_LIKELY(lw_atomic_cas_release_u32(&l->word, &word, word - (n << 1)))) {
            return;
        }
    }
    lw_latch_count_down_slow_(l, n);
}

/* Waits until it is open, timeout_ns nanoseconds at most (negative: no limit; 0: only looks), with
 * flags of park.h: LW_WAIT_ATTACHED stays attached; LW_WAIT_INTERRUPTIBLE may return
 * LW_INTERRUPTED.
 * LW_OK (acquire), LW_TIMEOUT, LW_INTERRUPTED. Blocking; detaches. */
static inline LW_NODISCARD lw_status lw_latch_wait_flags(lw_latch_t *l, int64_t timeout_ns,
                                                         unsigned flags)
{
    return LW_LIKELY(lw_latch_try_wait(l)) ? LW_OK : lw_latch_wait_slow_(l, timeout_ns, flags);
}

/* As lw_latch_wait_flags, detaching. */
static inline LW_NODISCARD lw_status lw_latch_wait_for(lw_latch_t *l, int64_t timeout_ns)
{
    return lw_latch_wait_flags(l, timeout_ns, LW_WAIT_DEFAULT);
}

/* Waits until it is open. Blocking; detaches from the host while it sleeps. Acquire. */
static inline void lw_latch_wait(lw_latch_t *l)
{
    (void)!lw_latch_wait_flags(l, -1, LW_WAIT_DEFAULT);
}

/* Counts down by one and waits, in one step: between the two nobody can open and free the latch.
 * It has counted down whatever it returns: after LW_TIMEOUT or LW_INTERRUPTED wait on with
 * lw_latch_wait_flags. Errors, blocking, attach state as there; acquire and release. */
static inline LW_NODISCARD lw_status lw_latch_arrive_and_wait_flags(lw_latch_t *l,
                                                                    int64_t timeout_ns,
                                                                    unsigned flags)
{
    return lw_latch_arrive_(l, timeout_ns, flags);
}

static inline void lw_latch_arrive_and_wait(lw_latch_t *l)
{
    (void)!lw_latch_arrive_and_wait_flags(l, -1, LW_WAIT_DEFAULT);
}

LW_EXTERN_C_END

#endif /* LATCHWORK_LATCH_H */
