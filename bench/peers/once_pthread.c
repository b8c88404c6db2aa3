/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>

#define ONCE_NAME "pthread_once"
#define ONCE_ID once_pthread
typedef pthread_once_t once_type;

static void once_make(pthread_once_t *o)
{
    static const pthread_once_t fresh = PTHREAD_ONCE_INIT;
    *o = fresh;
}

static void once_fn(void) {}

#define once_call(o) pthread_once(o, once_fn)

#include "../once_rows.h"
