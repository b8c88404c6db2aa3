/* SPDX-License-Identifier: BSD-2-Clause */
/* A flag that is looked at and never slept for: what a wait for a set event cannot be below. */
#include <sched.h>

#define EVENT_NAME "an acquire load"
#define EVENT_ID event_load
typedef unsigned event_object;
#define event_begin(e) ((void)(e))
#define event_end(e) ((void)(e))
#define event_set(e) __atomic_store_n(e, 1, __ATOMIC_RELEASE)
#define event_clear(e) __atomic_store_n(e, 0, __ATOMIC_RELAXED)

static inline void event_wait(const event_object *e)
{
    while (__atomic_load_n(e, __ATOMIC_ACQUIRE) == 0) {
        sched_yield();
    }
}

#include "../event_rows.h"
