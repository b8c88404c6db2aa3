/* SPDX-License-Identifier: BSD-2-Clause */
/* An event of four bytes: a flag that threads wait for. All-zero bytes are an event that is not
 * set; nothing to destroy. The semantics are those of Python's threading.Event.
 *
 * The word:
 *   value       meaning                               changed by
 *   0           not set                               set; a waiter, to WAITED
 *   SET         set                                   reset, to 0
 *   WAITED      not set, and somebody may wait        set, and the last waiter that gives up: both
 *                                                     under the lock of the wait queue
 *
 * An event with waiters is set under the lock of their queue, which takes them out in the same
 * step. So whoever waited when it was set returns, even if it is reset at once; and `set` touches
 * nothing of the event after the step that lets a waiter go: it may lie in the waiter's frame.
 *
 * Everything a thread did before `set` happens before what follows a wait that this set ended, or
 * an is_set that saw it, or a reset that took it back. docs/event.md has the argument. */
#ifndef LATCHWORK_EVENT_H
#define LATCHWORK_EVENT_H

#include <latchwork/atomic.h>
#include <latchwork/park.h>
#include <latchwork/status.h>

LW_EXTERN_C_BEGIN

typedef struct lw_event {
    lw_atomic_u32 word;
} lw_event_t;

#define LW_EVENT_INIT                                                                              \
    {                                                                                              \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

#define LW_EVENT_SET_ UINT32_C(1)
#define LW_EVENT_WAITED_ UINT32_C(2)

LW_API void lw_event_set_slow_(lw_event_t *e, uint32_t word);
LW_API lw_status lw_event_wait_slow_(lw_event_t *e, int64_t timeout_ns, unsigned flags);

/* Sets the bytes of an event that is not set. Not needed for zeroed memory. */
static inline void lw_event_init(lw_event_t *e)
{
    lw_atomic_store_relaxed_u32(&e->word, 0);
}

/* Whether it is set. Wait-free, any attach state; acquire when true. */
static inline bool lw_event_is_set(const lw_event_t *e)
{
    /* (1) acquire: pairs with the releases (2), (3) and (5). */
    return lw_atomic_load_acquire_u32(&e->word) == LW_EVENT_SET_;
}

/* Sets it, and wakes all that wait. Setting it twice is as setting it once, but for the order.
 * Lock-free but for the queue's lock when somebody waits; any attach state. Release. */
static inline void lw_event_set(lw_event_t *e)
{
    uint32_t word = 0;
    /* (2) release: pairs with (1), (4) and (6). From here on the event may be gone. */
    if (LW_UNLIKELY(!lw_atomic_cas_release_u32(&e->word, &word, LW_EVENT_SET_))) {
        lw_event_set_slow_(e, word);
    }
}

/* Makes it not set; nothing if it is not set. Wait-free, any attach state. Acquire: what the
 * setters did before is visible, so that "reset, look, wait" misses nothing. */
static inline void lw_event_reset(lw_event_t *e)
{
    uint32_t word = LW_EVENT_SET_;
    /* (6) acquire: pairs with (2), (3) and (5). */
    (void)lw_atomic_cas_acquire_u32(&e->word, &word, 0);
}

/* Waits until it is set, timeout_ns nanoseconds at most (negative: no limit; 0: only looks), with
 * flags of park.h: LW_WAIT_ATTACHED stays attached; LW_WAIT_INTERRUPTIBLE may return
 * LW_INTERRUPTED, after which the thread waits no more: a set that is reset before it waits again
 * passes it by.
 * LW_OK (acquire), LW_TIMEOUT, LW_INTERRUPTED. Blocking; detaches. */
static inline LW_NODISCARD lw_status lw_event_wait_flags(lw_event_t *e, int64_t timeout_ns,
                                                         unsigned flags)
{
    return LW_LIKELY(lw_event_is_set(e)) ? LW_OK : lw_event_wait_slow_(e, timeout_ns, flags);
}

/* As lw_event_wait_flags, detaching. */
static inline LW_NODISCARD lw_status lw_event_wait_for(lw_event_t *e, int64_t timeout_ns)
{
    return lw_event_wait_flags(e, timeout_ns, LW_WAIT_DEFAULT);
}

/* Waits until it is set. Blocking; detaches from the host while it sleeps. Acquire. */
static inline void lw_event_wait(lw_event_t *e)
{
    (void)!lw_event_wait_flags(e, -1, LW_WAIT_DEFAULT);
}

LW_EXTERN_C_END

#endif /* LATCHWORK_EVENT_H */
