/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/sem.h>

#define SEM_NAME "latchwork"
#define SEM_ID sem_latchwork
typedef lw_sem_t sem_object;
#define sem_begin(s, value) lw_sem_init(s, value)
#define sem_end(s) ((void)(s))
#define sem_take(s) lw_sem_acquire(s)
#define sem_try(s) lw_sem_try_acquire(s)
#define sem_give(s) ((void)!lw_sem_release(s, 1))

#include "sem_rows.h"
