/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/cond.h>

#define COND_NAME "latchwork"
#define COND_ID cond_latchwork
typedef lw_cond_t cond_t;
typedef lw_mutex_t cond_mutex_t;
#define cond_init(c, m) (lw_cond_init(c), lw_mutex_init(m))
#define cond_fini(c, m) ((void)(c), (void)(m))
#define cond_lock(m) lw_mutex_lock(m)
#define cond_unlock(m) lw_mutex_unlock(m)
#define cond_wait(c, m) lw_cond_wait(c, m)
#define cond_notify(c) ((void)lw_cond_notify_one(c))

#include "cond_rows.h"
