/* SPDX-License-Identifier: BSD-2-Clause */
/* The platform layer under the model checker: what platform.h asks for, as the contract says and no
 * stronger. Included by src/platform/platform.h; the functions are in model.hpp. The shipped
 * futex.c and posix.c have harnesses of their own. */
#ifndef LATCHWORK_PLATFORM_MODEL_H
#define LATCHWORK_PLATFORM_MODEL_H

#include <latchwork/atomic.h>

typedef struct lw_parker {
    lw_rl_cell<uint32_t> state; /* 1: a wait is due; 0: woken */
} lw_parker;

typedef struct lw_rawlock {
    lw_rl_cell<uint32_t> held;
} lw_rawlock;

/* Read and written without atomics; a copy is a read. */
struct lw_tss {
    LW_PLAIN(int) number;

    constexpr lw_tss() {}
    lw_tss(const lw_tss &other)
    {
        (void)LW_PLAIN_GET(other.number);
    }
};

#endif /* LATCHWORK_PLATFORM_MODEL_H */
