/* SPDX-License-Identifier: BSD-2-Clause */
/* Wait and wake by address: queues of sleeping threads, kept outside of the objects they wait for,
 * so that a lock needs a few bits and no more. After WTF::ParkingLot (F. Pizlo) and Rust's
 * parking_lot.
 *
 * An address is a key and is never read through; it serves one protocol, since whoever wakes on it
 * wakes whoever waits on it: use the address of the word that is waited for. The queue of an
 * address is protected by a lock that the callbacks below run under: they may touch the object's
 * own atomics, and nothing else; they must not park, allocate, or call foreign code.
 *
 * A waiter's life: it queues itself under the queue's lock if `validate` agrees; lets the host
 * detach (domain.h, block hooks); sleeps; leaves the queue, either taken out by a waker or by
 * itself after a time-out; and only then lets the host attach again. So if attaching ends the
 * thread, nothing points to its stack.
 *
 * A wake with token 0 is a hint: it may come from the release of a lock that lay at the address
 * before. Who is woken by it looks again. A protocol that hands something over does so by another
 * token. */
#ifndef LATCHWORK_PARK_H
#define LATCHWORK_PARK_H

#include <latchwork/atomic.h>
#include <latchwork/domain.h>

LW_EXTERN_C_BEGIN

/* Flags of waits, here and in the locks. */
enum {
    LW_WAIT_DEFAULT = 0,
    LW_WAIT_ATTACHED = 1,      /* do not call the block hooks: stay attached while asleep */
    LW_WAIT_INTERRUPTIBLE = 2, /* return LW_INTERRUPTED soon after a signal handler ran; the posix
                                  platform does so every 10 ms, whether or not one ran; Windows has
                                  no signals, and never does */
};

/* Under the queue's lock: still a reason to sleep? */
typedef bool (*lw_park_validate_fn)(void *arg);
/* Under the queue's lock, when a waiter leaves without having been woken; `last`: nobody else
 * waits. May be NULL. */
typedef void (*lw_park_leave_fn)(void *arg, bool last);

typedef struct lw_unpark_result {
    size_t woken;
    bool more; /* others wait on the address still */
} lw_unpark_result;

/* Under the queue's lock, before the waiter runs: publish the object's new state; what is returned
 * becomes the waiter's token. */
typedef uintptr_t (*lw_unpark_decide_fn)(void *arg, lw_unpark_result result);

/* Sleeps until woken.
 *   LW_OK           woken; *token (if not NULL) is what the waker gave
 *   LW_AGAIN        `validate` said no; did not sleep
 *   LW_TIMEOUT      timeout_ns passed (negative: no limit; 0: asks only)
 *   LW_INTERRUPTED  see LW_WAIT_INTERRUPTIBLE
 * Blocking. Thread-safe. Detaches while asleep unless LW_WAIT_ATTACHED. Everything before the
 * waker's call happens before the return. Cannot fail: the queue's node lies on the waiter's
 * stack. */
LW_API lw_status lw_park(const void *address, lw_park_validate_fn validate, lw_park_leave_fn leave,
                         void *arg, int64_t timeout_ns, unsigned flags, uintptr_t *token);

/* Wakes the thread that has waited longest on `address`, if any. `decide` (may be NULL: token 0) is
 * always called. Returns what happened. Blocks for the queue's lock only, which is held for a walk
 * along the queue; any attach state. */
LW_API lw_unpark_result lw_unpark_one(const void *address, lw_unpark_decide_fn decide, void *arg);

/* Wakes all, in the order in which they came. Returns how many. As lw_unpark_one. */
LW_API size_t lw_unpark_all(const void *address, uintptr_t token);

/* The futex form: sleeps while *word == expected. Results as lw_park; after LW_OK, look again. */
LW_API lw_status lw_park_wait_u32(const lw_atomic_u32 *word, uint32_t expected, int64_t timeout_ns,
                                  unsigned flags);

/* Calls `visit` for each waiter of the process (address, nanoseconds waited), under one queue's
 * lock at a time: for a watchdog that says what waits on what. `visit` must not call the
 * library. */
LW_API void lw_park_report(void (*visit)(void *arg, const void *address, int64_t waited_ns),
                           void *arg);

/* ---- for the library's own locks ---- */

/* Whether the first waiter is woken by a release. If not it sleeps on, and nobody is woken:
 * somebody else will notify. STARVED asks those who have not waited yet to let it go first. */
enum { LW_GRANT_NO_, LW_GRANT_STARVED_, LW_GRANT_YES_ };

/* What may be NULL but for `validate`. */
typedef struct lw_park_how_ {
    lw_park_validate_fn validate;
    lw_park_leave_fn leave;
    /* When the waiter is in the queue, with no lock held and before the host detaches: lets go of
     * what it may not sleep with. Whoever wakes on the address from here on wakes it. */
    void (*queued)(void *arg);
    /* Under the queue's lock, by lw_park_notify_, for the first waiter: LW_GRANT_..., and the token
     * for a yes. *last_ns is the queue's, for what a lock likes to keep there. NULL: yes, with
     * 0. */
    int (*grant)(void *arg, int64_t *last_ns, uintptr_t *token);
    /* The thread ends while it attaches again: pass on what it was woken for. */
    void (*lost)(void *arg);
    void *arg;
    /* Since when the thread waits, if it has waited before: it goes before those who came later.
     * 0: since now. */
    int64_t since_ns;
    /* Announces itself (below), until it is taken out of the queue or leaves it. */
    bool announce;
    /* What it was woken with keeps others waiting. If it then has to wait for its critical section,
     * `lost` is called, to pass that on, and the result is LW_AGAIN and token 0. */
    bool gives_way;
} lw_park_how_;

/* As lw_park. */
LW_API lw_status lw_park_with_(const void *address, const lw_park_how_ *how, int64_t timeout_ns,
                               unsigned flags, uintptr_t *token);

/* Under the queue's lock: what becomes of the waiter whose lw_park_how_.arg is `waiter`; STOP: it
 * and all behind it stay. */
enum { LW_UNPARK_TAKE_, LW_UNPARK_SKIP_, LW_UNPARK_STOP_ };
typedef int (*lw_unpark_choose_fn_)(void *arg, void *waiter);

/* Wakes those of the waiters that `choose` takes, in the order in which they came; `decide` (may be
 * NULL) is called once after it has chosen, and what it returns is the token of all. As
 * lw_unpark_one. */
LW_API lw_unpark_result lw_unpark_some_(const void *address, lw_unpark_choose_fn_ choose,
                                        lw_unpark_decide_fn decide, void *arg);

/* The same in two steps. The first takes them out under the queue's lock; from then on they wait
 * for the second, whatever their limits, and lw_park_report does not see them. What `decide`
 * returns is not used. The second has to come; it touches nothing but what was taken, and in the
 * child of a fork in between it does nothing. */
typedef struct lw_unpark_taken_ {
    void *first;
    uint32_t ticket;
} lw_unpark_taken_;
LW_API lw_unpark_taken_ lw_unpark_take_(const void *address, lw_unpark_choose_fn_ choose,
                                        lw_unpark_decide_fn decide, void *arg);
LW_API void lw_unpark_wake_(lw_unpark_taken_ taken, uintptr_t token);

/* A second address of an object, which no word lies at and so no mutex ever lay at: waits on it get
 * no stray wakes. */
static inline const void *lw_park_beside_(const void *address)
{
    return (const char *)address + 1;
}

/* A third one, where a wake may come late: from the release of an object that lay here before. For
 * those that look again after each wake, and hand nothing over. */
static inline const void *lw_park_late_(const void *address)
{
    return (const char *)address + 3;
}

/* Instead of a park: pauses before the next look, if there is time for that before the deadline
 * (negative: none). False: it has been long enough, and is time to sleep. `looks` begins as 0. */
LW_API bool lw_park_spin_(unsigned *looks, int64_t deadline_ns);
/* Whether it would say so. */
LW_API bool lw_park_spun_(unsigned looks);

/* ---- for locks whose release is a plain store ----
 *
 *   whoever may have to sleep              whoever releases
 *   ticket = lw_park_announce_(address)    a release store to the object
 *   lw_park: `validate` looks              lw_fence_light()
 *   ...                                    if (lw_park_announced_(address))
 *   lw_park_retract_(address, ticket)          lw_park_notify_(address)
 *
 * Either `validate` sees the store, or the releaser sees the announcement: the two halves of an
 * asymmetric fence lie between (docs/park.md). The releaser reads the library's memory only, so the
 * object may be gone by then. */

/* A power of two. With as many queues as this, 256 waiting addresses make a chain of 1.5
 * waiters. A part of the ABI. */
#if !defined(LW_ATOMIC_RELACY)
#define LW_PARK_QUEUES 256
#endif

/* Fibonacci hashing: the high bits of the product depend on all bits of the address. */
static inline unsigned lw_park_index_(const void *address)
{
    uint64_t h = (uint64_t)(uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15);
    return (unsigned)(h >> 56) & (LW_PARK_QUEUES - 1);
}

/* For each queue: how many have announced themselves; in units of LW_PARK_STARVED_, how many of
 * them are starved (up to LW_PARK_STARVED_MAX_); LW_PARK_FENCED_ while releasers are known to make
 * the fence themselves. NULL until this copy has a domain. */
enum {
    LW_PARK_STARVED_ = 0x00100000,
    LW_PARK_STARVED_MAX_ = 0x3ff00000,
    LW_PARK_FENCED_ = 0x40000000,
};
extern LW_API lw_atomic_ptr lw_park_flags_;

static inline bool lw_park_announced_(const void *address)
{
    /* (1) acquire: pairs with the release (6) in domain.c, for what the pointer leads to. */
    const lw_atomic_u32 *flags = (const lw_atomic_u32 *)lw_atomic_load_acquire_ptr(&lw_park_flags_);
    return LW_UNLIKELY(flags == NULL) ||
           LW_UNLIKELY(lw_atomic_load_relaxed_u32(&flags[lw_park_index_(address)]) != 0);
}

LW_API void lw_park_notify_(const void *address);
/* Whether a waiter of the address's queue is starved (LW_GRANT_STARVED_). A hint. */
LW_API bool lw_park_starved_(const void *address);
/* Returns a ticket, not 0. A fork inside of the wait leaves nobody announced in the child: there
 * the ticket is void, and taking the announcement back does nothing. */
LW_API uint32_t lw_park_announce_(const void *address);
/* The ticket alone, for waiters that are counted elsewhere. */
LW_API uint32_t lw_park_ticket_(void);
LW_API bool lw_park_ticket_holds_(uint32_t ticket);
LW_API void lw_park_retract_(const void *address, uint32_t ticket);

LW_EXTERN_C_END

#endif /* LATCHWORK_PARK_H */
