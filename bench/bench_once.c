/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/once.h>

#define ONCE_NAME "latchwork"
#define ONCE_ID once_latchwork
typedef lw_once_t once_type;
#define once_make(o) lw_once_init(o)

static lw_status once_fn(void *arg)
{
    (void)arg;
    return LW_OK;
}

#define once_call(o) ((void)!lw_once_call(o, once_fn, NULL))

#include "once_rows.h"
