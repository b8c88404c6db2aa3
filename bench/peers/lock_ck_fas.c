/* SPDX-License-Identifier: BSD-2-Clause */
#include <ck_spinlock.h>

#define LOCK_NAME "ck_spinlock_fas"
#define LOCK_ID lock_ck_fas
typedef ck_spinlock_fas_t lock_t;
typedef char lock_local;
#define lock_init(l) ck_spinlock_fas_init(l)
#define lock_fini(l) ((void)(l))
#define lock_take(l, c) ((void)(c), ck_spinlock_fas_lock(l))
#define lock_drop(l, c) ((void)(c), ck_spinlock_fas_unlock(l))
#define LOCK_TRY(l, c) ((void)(c), ck_spinlock_fas_trylock(l))

#include "../lock_rows.h"
