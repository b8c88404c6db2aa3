/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/rmutex.h>

#define RMUTEX_NAME "latchwork"
#define RMUTEX_ID rmutex_latchwork
typedef lw_rmutex_t rmutex_t;
#define rmutex_init(m) lw_rmutex_init(m)
#define rmutex_fini(m) ((void)(m))
#define rmutex_take(m) lw_rmutex_lock(m)
#define rmutex_drop(m) lw_rmutex_unlock(m)

#include "rmutex_rows.h"
