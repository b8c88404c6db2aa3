/* SPDX-License-Identifier: BSD-2-Clause */
#include <ck_rwlock.h>

#define RWLOCK_NAME "ck_rwlock"
#define RWLOCK_ID rwlock_ck
typedef ck_rwlock_t rwlock_t;
typedef char rwlock_local;
#define rwlock_init(l) ck_rwlock_init(l)
#define rwlock_fini(l) ((void)(l))
#define rwlock_join(l, c, index) ((void)(l), (void)(c), (void)(index))
#define rwlock_leave(l, c) ((void)(l), (void)(c))
#define rwlock_read(l, c) ((void)(c), ck_rwlock_read_lock(l))
#define rwlock_read_drop(l, c) ((void)(c), ck_rwlock_read_unlock(l))
#define rwlock_write(l, c) ((void)(c), ck_rwlock_write_lock(l))
#define rwlock_write_drop(l, c) ((void)(c), ck_rwlock_write_unlock(l))

#include "../rwlock_rows.h"
