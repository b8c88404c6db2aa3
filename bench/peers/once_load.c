/* SPDX-License-Identifier: BSD-2-Clause */
/* The least that can be: a look that acquires, and a branch that is not taken. */
#include <stdint.h>

#define ONCE_NAME "a load and a branch"
#define ONCE_ID once_load
typedef uint64_t once_type;
#define once_make(o) ((void)(o))

static __attribute__((noinline)) void once_do(uint64_t *o)
{
    __atomic_store_n(o, 2, __ATOMIC_RELEASE);
}

static inline void once_call(uint64_t *o)
{
    if (__builtin_expect(__atomic_load_n(o, __ATOMIC_ACQUIRE) != 2, 0))
        once_do(o);
}

#include "../once_rows.h"
