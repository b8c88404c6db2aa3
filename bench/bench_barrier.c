/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/barrier.h>

#define BARRIER_NAME "latchwork"
#define BARRIER_ID barrier_latchwork
typedef lw_barrier_t barrier_object;
typedef char barrier_local;
#define barrier_begin(b, parties) lw_barrier_init(b, parties)
#define barrier_end(b) ((void)(b))
#define barrier_pass(b, c, parties) ((void)(c), (void)(parties), (void)!lw_barrier_wait(b, NULL))

#include "barrier_rows.h"
