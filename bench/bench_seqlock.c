/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/seqlock.h>

#define SEQLOCK_NAME "latchwork"
#define SEQLOCK_ID seqlock_latchwork
typedef struct seqlock_type {
    lw_seqlock_t lock;
    lw_atomic_u64 data[2];
} seqlock_type;
#define seqlock_init(s) lw_seqlock_init(&(s)->lock)
#define seqlock_read(s, to) lw_seqlock_read(&(s)->lock, to, (s)->data, 2)
#define seqlock_write(s, from) lw_seqlock_write(&(s)->lock, (s)->data, from, 2)

#include "seqlock_rows.h"
