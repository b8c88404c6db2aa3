/* SPDX-License-Identifier: BSD-2-Clause */
/* The gnu back end with a random delay before each operation, for stress tests: it widens every
 * window between two operations. One in 64 spins for a while, one in 1024 gives up the processor.
 * LW_NOISE_SEED in the environment makes a run's delays repeatable for a given thread order. */
#ifndef LATCHWORK_ATOMIC_NOISE_H
#define LATCHWORK_ATOMIC_NOISE_H

#include <latchwork/config.h>

#include <sched.h>
#include <stdlib.h>

LW_EXTERN_C_BEGIN

static inline void lw_noise_(void)
{
    static __thread uint64_t state;
    static uint64_t threads;
    unsigned spin;
    if (state == 0) {
        const char *seed = getenv("LW_NOISE_SEED");
        state = seed != NULL ? strtoull(seed, NULL, 0) : (uint64_t)(uintptr_t)&state;
        state += 0x9e3779b97f4a7c15u * (1 + __atomic_fetch_add(&threads, 1, __ATOMIC_RELAXED));
        state |= 1;
    }
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    if ((state & 63) == 0) {
        for (spin = (unsigned)(state >> 32) & 255; spin != 0; spin--) {
            __asm__ __volatile__(""); /* or the loop would be optimised away */
        }
    }
    if ((state & 1023) == 1) {
        sched_yield();
    }
}

LW_EXTERN_C_END

#define LW_ATOMIC_BEFORE_() lw_noise_()
#include <latchwork/atomic/gnu.h>

#endif /* LATCHWORK_ATOMIC_NOISE_H */
