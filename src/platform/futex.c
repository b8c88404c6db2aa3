/* SPDX-License-Identifier: BSD-2-Clause */
/* Sleeping and waking by futex (Linux). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "platform.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The lock is held for a few dozen instructions: most waits end within this many looks. */
#ifndef LW_RAWLOCK_SPINS
#define LW_RAWLOCK_SPINS 40
#endif

static int lw_futex_wait(const lw_atomic_u32 *word, uint32_t expected, int64_t deadline_ns)
{
    struct timespec at, *limit = NULL;
    if (deadline_ns >= 0) {
        at.tv_sec = (time_t)(deadline_ns / 1000000000);
        at.tv_nsec = (long)(deadline_ns % 1000000000);
        limit = &at;
    }
    /* The BITSET form takes an absolute time of CLOCK_MONOTONIC, which is lw_now_()'s. */
    if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, limit, NULL,
                FUTEX_BITSET_MATCH_ANY) == 0) {
        return 0;
    }
    return errno;
}

static void lw_futex_wake(const lw_atomic_u32 *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
}

void lw_parker_prepare_(lw_parker *parker)
{
    lw_atomic_store_relaxed_u32(&parker->state, 1);
}

lw_status lw_parker_wait_(lw_parker *parker, int64_t deadline_ns, bool interruptible)
{
    if (interruptible && deadline_ns < 0) {
        /* The kernel goes on with a wait that has no limit, and says nothing, after a handler that
         * was installed with SA_RESTART. */
        deadline_ns = INT64_MAX;
    }
    for (;;) {
        int error;
        /* (1) acquire: pairs with the wake (2). */
        if (lw_atomic_load_acquire_u32(&parker->state) == 0) {
            return LW_OK;
        }
        error = lw_futex_wait(&parker->state, 1, deadline_ns);
        if (error == ETIMEDOUT) {
            /* Look once more: a wake that came first counts. */
            return lw_atomic_load_acquire_u32(&parker->state) == 0 ? LW_OK : LW_TIMEOUT;
        }
        if (error == EINTR && interruptible) {
            return lw_atomic_load_acquire_u32(&parker->state) == 0 ? LW_OK : LW_INTERRUPTED;
        }
    }
}

void lw_parker_wake_(lw_parker *parker)
{
    /* (2) release: what the waker did happens before the waiter goes on (1). From here on the
     * waiter's stack may be gone; the wake-up below passes its address and reads nothing. If the
     * address has become another futex, that one wakes for no reason, which every wait here allows
     * for. */
    lw_atomic_store_release_u32(&parker->state, 0);
    lw_futex_wake(&parker->state);
}

void lw_parker_finish_(lw_parker *parker)
{
    (void)parker;
}

void lw_rawlock_init_(lw_rawlock *lock)
{
    lw_atomic_store_relaxed_u32(&lock->word, 0);
}

/* After U. Drepper, "Futexes Are Tricky" (2011), mutex 2. */
void lw_rawlock_lock_(lw_rawlock *lock)
{
    uint32_t word = 0;
    unsigned spins;
    for (spins = 0; spins < LW_RAWLOCK_SPINS; spins++) {
        /* (3) acquire: pairs with the release (4). */
        if (lw_atomic_cas_acquire_u32(&lock->word, &word, 1)) {
            return;
        }
        if (word == 2) {
            break;
        }
        word = 0;
        lw_cpu_relax();
    }
    while (lw_atomic_exchange_acquire_u32(&lock->word, 2) != 0) {
        (void)lw_futex_wait(&lock->word, 2, -1);
    }
}

void lw_rawlock_unlock_(lw_rawlock *lock)
{
    /* (4) release: pairs with the acquires (3). */
    if (lw_atomic_exchange_release_u32(&lock->word, 0) == 2) {
        lw_futex_wake(&lock->word);
    }
}

bool lw_rawlock_forked_(lw_rawlock *lock)
{
    return lw_atomic_exchange_relaxed_u32(&lock->word, 0) != 0;
}
