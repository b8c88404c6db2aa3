/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>

#define LOCK_NAME "pthread"
#define LOCK_ID lock_pthread
typedef pthread_mutex_t lock_t;
typedef char lock_local;
#define lock_init(l) pthread_mutex_init(l, NULL)
#define lock_fini(l) pthread_mutex_destroy(l)
#define lock_take(l, c) ((void)(c), pthread_mutex_lock(l))
#define lock_drop(l, c) ((void)(c), pthread_mutex_unlock(l))
#define LOCK_TRY(l, c) ((void)(c), pthread_mutex_trylock(l) == 0)
#define LOCK_BLOCKS

#include "../lock_rows.h"
