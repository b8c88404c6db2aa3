/* SPDX-License-Identifier: BSD-2-Clause */
/* Atomics by the interlocked intrinsics of MSVC, which clang -fms-extensions knows as well.
 * Included by atomic.h; contracts are there.
 *
 * Each interlocked intrinsic without a suffix is a full barrier, so every read-modify-write here is
 * at least as strong as its name. Loads and stores: on x64 a volatile access is an acquire load or
 * a release store, given a compiler barrier; on ARM64 the __ldar and __stlr intrinsics are. */
#ifndef LATCHWORK_ATOMIC_MSVC_H
#define LATCHWORK_ATOMIC_MSVC_H

#include <latchwork/config.h>

#if defined(_MSC_VER)
#include <intrin.h>
#endif

LW_EXTERN_C_BEGIN

#if defined(_M_ARM64)
#define LW_MSVC_LOAD_ACQ_(bits, p) __ldar##bits((unsigned __int##bits volatile *)(p))
#define LW_MSVC_STORE_REL_(bits, p, v) __stlr##bits((unsigned __int##bits volatile *)(p), (v))
#endif

#if defined(_MSC_VER)
#define LW_MSVC_COMPILER_BARRIER_() _ReadWriteBarrier()
typedef char lw_msvc_i8_;
typedef long lw_msvc_i32_;
typedef long long lw_msvc_i64_;
#else
/* clang -fms-extensions on an LP64 system: the same intrinsics, declared here, over int and
 * long. */
#define LW_MSVC_COMPILER_BARRIER_() __asm__ __volatile__("" ::: "memory")
typedef char lw_msvc_i8_;
typedef int lw_msvc_i32_;
typedef long lw_msvc_i64_;
char _InterlockedExchange8(char volatile *, char);
char _InterlockedCompareExchange8(char volatile *, char, char);
int _InterlockedExchange(int volatile *, int);
int _InterlockedCompareExchange(int volatile *, int, int);
int _InterlockedExchangeAdd(int volatile *, int);
int _InterlockedOr(int volatile *, int);
int _InterlockedAnd(int volatile *, int);
int _InterlockedXor(int volatile *, int);
long _InterlockedExchange64(long volatile *, long);
long long _InterlockedCompareExchange64(long long volatile *, long long, long long);
long _InterlockedExchangeAdd64(long volatile *, long);
long _InterlockedOr64(long volatile *, long);
long _InterlockedAnd64(long volatile *, long);
long _InterlockedXor64(long volatile *, long);
#endif

static inline lw_msvc_i64_ lw_msvc_cas64_(lw_msvc_i64_ volatile *p, lw_msvc_i64_ desired,
                                          lw_msvc_i64_ expected)
{
    return (lw_msvc_i64_)_InterlockedCompareExchange64((long long volatile *)p, desired, expected);
}

#define LW_GEN_ACCESS_(S, T, bits)                                                                 \
    typedef struct lw_atomic_##S {                                                                 \
        T v_;                                                                                      \
    } lw_atomic_##S;                                                                               \
    static inline T lw_atomic_load_relaxed_##S(const lw_atomic_##S *a)                             \
    {                                                                                              \
        return *(T const volatile *)&a->v_;                                                        \
    }                                                                                              \
    static inline void lw_atomic_store_relaxed_##S(lw_atomic_##S *a, T value)                      \
    {                                                                                              \
        *(T volatile *)&a->v_ = value;                                                             \
    }                                                                                              \
    static inline T lw_atomic_load_acquire_##S(const lw_atomic_##S *a)                             \
    {                                                                                              \
        T value = (T)LW_MSVC_LOAD_ACQ_(bits, &a->v_);                                              \
        LW_MSVC_COMPILER_BARRIER_();                                                               \
        return value;                                                                              \
    }                                                                                              \
    static inline void lw_atomic_store_release_##S(lw_atomic_##S *a, T value)                      \
    {                                                                                              \
        LW_MSVC_COMPILER_BARRIER_();                                                               \
        LW_MSVC_STORE_REL_(bits, &a->v_, (LW_MSVC_BITS_##bits##_)value);                           \
    }

typedef unsigned char LW_MSVC_BITS_8_;
typedef uint32_t LW_MSVC_BITS_32_;
typedef unsigned long long LW_MSVC_BITS_64_;

#ifndef LW_MSVC_LOAD_ACQ_
#define LW_MSVC_LOAD_ACQ_(bits, p) (*(LW_MSVC_BITS_##bits##_ const volatile *)(p))
#define LW_MSVC_STORE_REL_(bits, p, v) (*(LW_MSVC_BITS_##bits##_ volatile *)(p) = (v))
#endif

#define LW_GEN_SWAP_(S, T, name, I, xchg, cmpxchg)                                                 \
    static inline T lw_atomic_exchange_##name##_##S(lw_atomic_##S *a, T value)                     \
    {                                                                                              \
        return (T)xchg((I volatile *)&a->v_, (I)value);                                            \
    }                                                                                              \
    static inline bool lw_atomic_cas_##name##_##S(lw_atomic_##S *a, T *expected, T desired)        \
    {                                                                                              \
        T seen = (T)cmpxchg((I volatile *)&a->v_, (I)desired, (I)*expected);                       \
        bool done = seen == *expected;                                                             \
        *expected = seen;                                                                          \
        return done;                                                                               \
    }
#define LW_GEN_SWAPS_(S, T, I, xchg, cmpxchg)                                                      \
    LW_GEN_SWAP_(S, T, relaxed, I, xchg, cmpxchg)                                                  \
    LW_GEN_SWAP_(S, T, acquire, I, xchg, cmpxchg)                                                  \
    LW_GEN_SWAP_(S, T, release, I, xchg, cmpxchg)                                                  \
    LW_GEN_SWAP_(S, T, acq_rel, I, xchg, cmpxchg)
#define LW_GEN_RMW_(S, T, I, op, fn, prep)                                                         \
    static inline T lw_atomic_##op##_relaxed_##S(lw_atomic_##S *a, T n)                            \
    {                                                                                              \
        return (T)fn((I volatile *)&a->v_, (I)(prep n));                                           \
    }                                                                                              \
    static inline T lw_atomic_##op##_acquire_##S(lw_atomic_##S *a, T n)                            \
    {                                                                                              \
        return (T)fn((I volatile *)&a->v_, (I)(prep n));                                           \
    }                                                                                              \
    static inline T lw_atomic_##op##_release_##S(lw_atomic_##S *a, T n)                            \
    {                                                                                              \
        return (T)fn((I volatile *)&a->v_, (I)(prep n));                                           \
    }                                                                                              \
    static inline T lw_atomic_##op##_acq_rel_##S(lw_atomic_##S *a, T n)                            \
    {                                                                                              \
        return (T)fn((I volatile *)&a->v_, (I)(prep n));                                           \
    }

LW_GEN_ACCESS_(u8, uint8_t, 8)
LW_GEN_ACCESS_(u32, uint32_t, 32)
LW_GEN_ACCESS_(u64, uint64_t, 64)
LW_GEN_ACCESS_(ptr, void *, 64)
LW_GEN_SWAPS_(u8, uint8_t, lw_msvc_i8_, _InterlockedExchange8, _InterlockedCompareExchange8)
LW_GEN_SWAPS_(u32, uint32_t, lw_msvc_i32_, _InterlockedExchange, _InterlockedCompareExchange)
LW_GEN_SWAPS_(u64, uint64_t, lw_msvc_i64_, _InterlockedExchange64, lw_msvc_cas64_)
LW_GEN_SWAPS_(ptr, void *, lw_msvc_i64_, _InterlockedExchange64, lw_msvc_cas64_)
LW_GEN_RMW_(u32, uint32_t, lw_msvc_i32_, add, _InterlockedExchangeAdd, +)
LW_GEN_RMW_(u32, uint32_t, lw_msvc_i32_, sub, _InterlockedExchangeAdd, 0u -)
LW_GEN_RMW_(u32, uint32_t, lw_msvc_i32_, or, _InterlockedOr, +)
LW_GEN_RMW_(u32, uint32_t, lw_msvc_i32_, and, _InterlockedAnd, +)
LW_GEN_RMW_(u32, uint32_t, lw_msvc_i32_, xor, _InterlockedXor, +)
LW_GEN_RMW_(u64, uint64_t, lw_msvc_i64_, add, _InterlockedExchangeAdd64, +)
LW_GEN_RMW_(u64, uint64_t, lw_msvc_i64_, sub, _InterlockedExchangeAdd64, 0u -)
LW_GEN_RMW_(u64, uint64_t, lw_msvc_i64_, or, _InterlockedOr64, +)
LW_GEN_RMW_(u64, uint64_t, lw_msvc_i64_, and, _InterlockedAnd64, +)
LW_GEN_RMW_(u64, uint64_t, lw_msvc_i64_, xor, _InterlockedXor64, +)

#undef LW_GEN_ACCESS_
#undef LW_GEN_SWAP_
#undef LW_GEN_SWAPS_
#undef LW_GEN_RMW_

static inline void lw_fence_seq_cst(void)
{
    /* A locked operation on the own stack is a full fence, on x64 cheaper than mfence. */
    lw_msvc_i64_ volatile word = 0;
    (void)_InterlockedExchangeAdd64(&word, 0);
}

static inline void lw_fence_light(void)
{
    LW_MSVC_COMPILER_BARRIER_();
}

static inline void lw_cpu_relax(void)
{
#if defined(_MSC_VER) && (defined(_M_X64) || defined(_M_IX86))
    _mm_pause();
#elif defined(_MSC_VER) && defined(_M_ARM64)
    __isb(15);
#else
    LW_MSVC_COMPILER_BARRIER_();
#endif
}

#define LW_PLAIN(T) T
#define LW_PLAIN_GET(field) (field)
#define LW_PLAIN_SET(field, value) ((void)((field) = (value)))

LW_EXTERN_C_END

#endif /* LATCHWORK_ATOMIC_MSVC_H */
