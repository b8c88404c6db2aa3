/* SPDX-License-Identifier: BSD-2-Clause */
/* Atomics by the __atomic builtins of gcc and clang. Included by atomic.h; contracts are there.
 * The noise and tsan back ends define the two macros below and reuse the rest. */
#ifndef LATCHWORK_ATOMIC_GNU_H
#define LATCHWORK_ATOMIC_GNU_H

#include <latchwork/config.h>

#ifndef LW_ATOMIC_BEFORE_
#define LW_ATOMIC_BEFORE_() ((void)0)
#endif
#ifndef LW_FENCE_SEQ_CST_
#define LW_FENCE_SEQ_CST_() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

LW_EXTERN_C_BEGIN

#define LW_GEN_LOAD_(S, T, name, order)                                                            \
    static inline T lw_atomic_load_##name##_##S(const lw_atomic_##S *a)                            \
    {                                                                                              \
        LW_ATOMIC_BEFORE_();                                                                       \
        return __atomic_load_n(&a->v_, order);                                                     \
    }
#define LW_GEN_STORE_(S, T, name, order)                                                           \
    static inline void lw_atomic_store_##name##_##S(lw_atomic_##S *a, T value)                     \
    {                                                                                              \
        LW_ATOMIC_BEFORE_();                                                                       \
        __atomic_store_n(&a->v_, value, order);                                                    \
    }
#define LW_GEN_SWAP_(S, T, name, order, failure)                                                   \
    static inline T lw_atomic_exchange_##name##_##S(lw_atomic_##S *a, T value)                     \
    {                                                                                              \
        LW_ATOMIC_BEFORE_();                                                                       \
        return __atomic_exchange_n(&a->v_, value, order);                                          \
    }                                                                                              \
    static inline bool lw_atomic_cas_##name##_##S(lw_atomic_##S *a, T *expected, T desired)        \
    {                                                                                              \
        LW_ATOMIC_BEFORE_();                                                                       \
        return __atomic_compare_exchange_n(&a->v_, expected, desired, false, order, failure);      \
    }
#define LW_GEN_RMW_(S, T, op, name, order)                                                         \
    static inline T lw_atomic_##op##_##name##_##S(lw_atomic_##S *a, T value)                       \
    {                                                                                              \
        LW_ATOMIC_BEFORE_();                                                                       \
        return __atomic_fetch_##op(&a->v_, value, order);                                          \
    }
#define LW_GEN_RMW_ORDERS_(S, T, op)                                                               \
    LW_GEN_RMW_(S, T, op, relaxed, __ATOMIC_RELAXED)                                               \
    LW_GEN_RMW_(S, T, op, acquire, __ATOMIC_ACQUIRE)                                               \
    LW_GEN_RMW_(S, T, op, release, __ATOMIC_RELEASE)                                               \
    LW_GEN_RMW_(S, T, op, acq_rel, __ATOMIC_ACQ_REL)
#define LW_GEN_TYPE_(S, T)                                                                         \
    typedef struct lw_atomic_##S {                                                                 \
        T v_;                                                                                      \
    } lw_atomic_##S;                                                                               \
    LW_GEN_LOAD_(S, T, relaxed, __ATOMIC_RELAXED)                                                  \
    LW_GEN_LOAD_(S, T, acquire, __ATOMIC_ACQUIRE)                                                  \
    LW_GEN_STORE_(S, T, relaxed, __ATOMIC_RELAXED)                                                 \
    LW_GEN_STORE_(S, T, release, __ATOMIC_RELEASE)                                                 \
    LW_GEN_SWAP_(S, T, relaxed, __ATOMIC_RELAXED, __ATOMIC_RELAXED)                                \
    LW_GEN_SWAP_(S, T, acquire, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)                                \
    LW_GEN_SWAP_(S, T, release, __ATOMIC_RELEASE, __ATOMIC_RELAXED)                                \
    LW_GEN_SWAP_(S, T, acq_rel, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)
#define LW_GEN_ARITH_(S, T)                                                                        \
    LW_GEN_RMW_ORDERS_(S, T, add)                                                                  \
    LW_GEN_RMW_ORDERS_(S, T, sub)                                                                  \
    LW_GEN_RMW_ORDERS_(S, T, or)                                                                   \
    LW_GEN_RMW_ORDERS_(S, T, and)                                                                  \
    LW_GEN_RMW_ORDERS_(S, T, xor)

LW_GEN_TYPE_(u8, uint8_t)
LW_GEN_TYPE_(u32, uint32_t)
LW_GEN_TYPE_(u64, uint64_t)
LW_GEN_TYPE_(ptr, void *)
LW_GEN_ARITH_(u32, uint32_t)
LW_GEN_ARITH_(u64, uint64_t)

#undef LW_GEN_LOAD_
#undef LW_GEN_STORE_
#undef LW_GEN_SWAP_
#undef LW_GEN_RMW_
#undef LW_GEN_RMW_ORDERS_
#undef LW_GEN_TYPE_
#undef LW_GEN_ARITH_

static inline void lw_fence_seq_cst(void)
{
    LW_FENCE_SEQ_CST_();
}

static inline void lw_fence_light(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void lw_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
#else
    __asm__ __volatile__("" ::: "memory");
#endif
}

#define LW_PLAIN(T) T
#define LW_PLAIN_GET(field) (field)
#define LW_PLAIN_SET(field, value) ((void)((field) = (value)))

LW_EXTERN_C_END

#endif /* LATCHWORK_ATOMIC_GNU_H */
