/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/rwlock.h>

#define RWLOCK_AREA "rwlocks"
#define RWLOCK_NAME "latchwork"
#define RWLOCK_ID rwlock_latchwork
typedef lw_rwlock_t rwlock_t;
typedef char rwlock_local;
#define rwlock_init(l) lw_rwlock_init(l)
#define rwlock_fini(l) ((void)(l))
#define rwlock_join(l, c, index) ((void)(l), (void)(c), (void)(index))
#define rwlock_leave(l, c) ((void)(l), (void)(c))
#define rwlock_read(l, c) ((void)(c), lw_rwlock_read_lock(l))
#define rwlock_read_drop(l, c) ((void)(c), lw_rwlock_read_unlock(l))
#define rwlock_write(l, c) ((void)(c), lw_rwlock_write_lock(l))
#define rwlock_write_drop(l, c) ((void)(c), lw_rwlock_write_unlock(l))

#include "rwlock_rows.h"
