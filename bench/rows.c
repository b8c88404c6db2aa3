/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of all adapters, compiled for each interpreter: before 3.13 there is no PyMutex. */
#include "rows.h"

#include <Python.h>

#define OURS(X)                                                                                    \
    X(lock_latchwork)                                                                              \
    X(lock_biased)                                                                                 \
    X(critical_latchwork)                                                                          \
    X(rmutex_latchwork)                                                                            \
    X(cond_latchwork)                                                                              \
    X(once_latchwork)                                                                              \
    X(seqlock_latchwork)                                                                           \
    X(event_latchwork)                                                                             \
    X(latch_latchwork)                                                                             \
    X(sem_latchwork)                                                                               \
    X(barrier_latchwork)                                                                           \
    X(rwlock_latchwork)                                                                            \
    X(shared_rwlock_latchwork)                                                                     \
    X(ref_latchwork)                                                                               \
    X(smr_latchwork)                                                                               \
    X(map_latchwork)                                                                               \
    X(thread_latchwork)

#define PEERS(X)                                                                                   \
    X(lock_pthread)                                                                                \
    X(lock_absl)                                                                                   \
    X(lock_ck_fas)                                                                                 \
    X(lock_ck_ticket)                                                                              \
    X(lock_ck_mcs)                                                                                 \
    X(lock_biased_floor)                                                                           \
    X(critical_pairs)                                                                              \
    X(critical_python)                                                                             \
    X(critical_sorted)                                                                             \
    X(rmutex_pthread)                                                                              \
    X(rmutex_std)                                                                                  \
    X(cond_pthread)                                                                                \
    X(once_load)                                                                                   \
    X(once_pthread)                                                                                \
    X(once_std)                                                                                    \
    X(seqlock_ck)                                                                                  \
    X(event_load)                                                                                  \
    X(event_pthread)                                                                               \
    X(latch_std)                                                                                   \
    X(sem_posix)                                                                                   \
    X(barrier_pthread)                                                                             \
    X(barrier_ck)                                                                                  \
    X(rwlock_pthread)                                                                              \
    X(rwlock_ck)                                                                                   \
    X(rwlock_ck_brlock)                                                                            \
    X(rwlock_ck_bytelock)                                                                          \
    X(ref_atomic)                                                                                  \
    X(ref_python)                                                                                  \
    X(smr_ck_epoch)                                                                                \
    X(smr_urcu_memb)                                                                               \
    X(smr_urcu_bp)                                                                                 \
    X(smr_urcu_qsbr)                                                                               \
    X(map_ck_ht)                                                                                   \
    X(map_ck_hs)                                                                                   \
    X(map_urcu)                                                                                    \
    X(map_tbb)                                                                                     \
    X(thread_none)                                                                                 \
    X(thread_tls)                                                                                  \
    X(thread_pthread)                                                                              \
    X(thread_python)                                                                               \
    X(queue_ck_stack)                                                                              \
    X(queue_ck_ring_mpmc)                                                                          \
    X(queue_ck_ring_spsc)                                                                          \
    X(queue_urcu)

#if PY_VERSION_HEX >= 0x030d0000
#define NEWER(X) X(lock_pymutex)
#else
#define NEWER(X)
#endif

#define DECLARE(id) void register_##id(void);
#define CALL(id) register_##id();

OURS(DECLARE)
PEERS(DECLARE)
NEWER(DECLARE)

void bench_register_all(void)
{
    OURS(CALL)
    PEERS(CALL)
    NEWER(CALL)
}
