/* SPDX-License-Identifier: BSD-2-Clause */
#include <absl/synchronization/mutex.h>

#include <new>

#define LOCK_NAME "absl::Mutex"
#define LOCK_ID lock_absl
using lock_t = absl::Mutex;
typedef char lock_local;
/* As in its optimised builds, which Debian's is not: it records no order of locks. */
#define lock_init(l)                                                                               \
    (absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore), (void)new (l) absl::Mutex)
#define lock_fini(l) (l)->~Mutex()
#define lock_take(l, c) ((void)(c), (l)->Lock())
#define lock_drop(l, c) ((void)(c), (l)->Unlock())
#define LOCK_TRY(l, c) ((void)(c), (l)->TryLock())
#define LOCK_BLOCKS

#include "../lock_rows.h"
