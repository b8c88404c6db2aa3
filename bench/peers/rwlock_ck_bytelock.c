/* SPDX-License-Identifier: BSD-2-Clause */
/* A reader has a byte of the lock, by the number of its thread. */
#include <ck_bytelock.h>

#define RWLOCK_NAME "ck_bytelock"
#define RWLOCK_ID rwlock_ck_bytelock
typedef ck_bytelock_t rwlock_t;
typedef unsigned rwlock_local;
#define rwlock_init(l) ck_bytelock_init(l)
#define rwlock_fini(l) ((void)(l))
#define rwlock_join(l, c, index) ((void)(l), (void)(*(c) = (unsigned)(index) + 1))
#define rwlock_leave(l, c) ((void)(l), (void)(c))
#define rwlock_read(l, c) ck_bytelock_read_lock(l, *(c))
#define rwlock_read_drop(l, c) ck_bytelock_read_unlock(l, *(c))
#define rwlock_write(l, c) ck_bytelock_write_lock(l, *(c))
#define rwlock_write_drop(l, c) ((void)(c), ck_bytelock_write_unlock(l))

#include "../rwlock_rows.h"
