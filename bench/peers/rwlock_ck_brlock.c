/* SPDX-License-Identifier: BSD-2-Clause */
/* A reader has a record for each lock, which it registers beforehand. */
#include <ck_brlock.h>

#define RWLOCK_NAME "ck_brlock"
#define RWLOCK_ID rwlock_ck_brlock
typedef ck_brlock_t rwlock_t;
typedef ck_brlock_reader_t rwlock_local;
#define rwlock_init(l) ck_brlock_init(l)
#define rwlock_fini(l) ((void)(l))
#define rwlock_join(l, c, index) ((void)(index), ck_brlock_read_register(l, c))
#define rwlock_leave(l, c) ck_brlock_read_unregister(l, c)
#define rwlock_read(l, c) ck_brlock_read_lock(l, c)
#define rwlock_read_drop(l, c) ((void)(l), ck_brlock_read_unlock(c))
#define rwlock_write(l, c) ((void)(c), ck_brlock_write_lock(l))
#define rwlock_write_drop(l, c) ((void)(c), ck_brlock_write_unlock(l))

#include "../rwlock_rows.h"
