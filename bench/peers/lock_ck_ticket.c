/* SPDX-License-Identifier: BSD-2-Clause */
#include <ck_spinlock.h>

#define LOCK_NAME "ck_spinlock_ticket"
#define LOCK_ID lock_ck_ticket
typedef ck_spinlock_ticket_t lock_t;
typedef char lock_local;
#define lock_init(l) ck_spinlock_ticket_init(l)
#define lock_fini(l) ((void)(l))
#define lock_take(l, c) ((void)(c), ck_spinlock_ticket_lock(l))
#define lock_drop(l, c) ((void)(c), ck_spinlock_ticket_unlock(l))
#define LOCK_TRY(l, c) ((void)(c), ck_spinlock_ticket_trylock(l))
#define LOCK_FIFO_SPIN

#include "../lock_rows.h"
