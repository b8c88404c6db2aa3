/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/mutex.h>

#define LOCK_NAME "latchwork"
#define LOCK_ID lock_latchwork
typedef lw_mutex_t lock_t;
typedef char lock_local;
#define lock_init(l) lw_mutex_init(l)
#define lock_fini(l) ((void)(l))
#define lock_take(l, c) ((void)(c), lw_mutex_lock(l))
#define lock_drop(l, c) ((void)(c), lw_mutex_unlock(l))
#define LOCK_TRY(l, c) ((void)(c), lw_mutex_trylock(l))
#define LOCK_BLOCKS
#define LOCK_BESIDE "lw_mutex"

#include "lock_rows.h"
