/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/biased_mutex.h>

#define LOCK_NAME "latchwork"
#define LOCK_ID lock_biased
typedef lw_biased_mutex_t lock_t;
typedef char lock_local;
#define lock_init(l) lw_biased_mutex_init(l)
#define lock_fini(l) ((void)(l))
#define lock_take(l, c) ((void)(c), lw_biased_mutex_lock(l))
#define lock_drop(l, c) ((void)(c), lw_biased_mutex_unlock(l))
#define LOCK_BIASED

#include "lock_rows.h"
