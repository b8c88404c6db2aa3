/* SPDX-License-Identifier: BSD-2-Clause */
#include <pthread.h>

#define RWLOCK_NAME "pthread_rwlock"
#define RWLOCK_ID rwlock_pthread
typedef pthread_rwlock_t rwlock_t;
typedef char rwlock_local;
#define rwlock_init(l) pthread_rwlock_init(l, NULL)
#define rwlock_fini(l) pthread_rwlock_destroy(l)
#define rwlock_join(l, c, index) ((void)(l), (void)(c), (void)(index))
#define rwlock_leave(l, c) ((void)(l), (void)(c))
#define rwlock_read(l, c) ((void)(c), (void)pthread_rwlock_rdlock(l))
#define rwlock_read_drop(l, c) ((void)(c), (void)pthread_rwlock_unlock(l))
#define rwlock_write(l, c) ((void)(c), (void)pthread_rwlock_wrlock(l))
#define rwlock_write_drop(l, c) ((void)(c), (void)pthread_rwlock_unlock(l))

#include "../rwlock_rows.h"
