/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/latch.h>

#define LATCH_NAME "latchwork"
#define LATCH_ID latch_latchwork
typedef lw_latch_t latch_object;
#define latch_begin(l, count) lw_latch_init(l, count)
#define latch_end(l) ((void)(l))
#define latch_count_down(l) lw_latch_count_down(l, 1)
#define latch_wait(l) lw_latch_wait(l)

#include "latch_rows.h"
