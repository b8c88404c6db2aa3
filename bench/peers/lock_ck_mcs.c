/* SPDX-License-Identifier: BSD-2-Clause */
#include <ck_spinlock.h>

#define LOCK_NAME "ck_spinlock_mcs"
#define LOCK_ID lock_ck_mcs
typedef ck_spinlock_mcs_t lock_t;
typedef struct ck_spinlock_mcs lock_local;
#define lock_init(l) ck_spinlock_mcs_init(l)
#define lock_fini(l) ((void)(l))
#define lock_take(l, c) ck_spinlock_mcs_lock(l, c)
#define lock_drop(l, c) ck_spinlock_mcs_unlock(l, c)
#define LOCK_TRY(l, c) ck_spinlock_mcs_trylock(l, c)
#define LOCK_FIFO_SPIN

#include "../lock_rows.h"
