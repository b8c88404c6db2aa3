/* SPDX-License-Identifier: BSD-2-Clause */
/* Compiled with each back end, as C and as C++ (CMakeLists.txt): nothing here knows which. */
#include <latchwork/atomic.h>

#include "unit.h"

#include <sched.h>
#include <string.h>

/* Written as an expression of two values, so that pointers fit as well. */
#define CHECK_SAME(a, b) CHECK((a) == (b))

#define CHECK_ACCESS(S, T, a, b)                                                                   \
    do {                                                                                           \
        lw_atomic_##S word;                                                                        \
        memset(&word, 0, sizeof word);                                                             \
        CHECK_SAME(sizeof word, sizeof(T));                                                        \
        CHECK_SAME(lw_atomic_load_relaxed_##S(&word), (T)0);                                       \
        lw_atomic_store_relaxed_##S(&word, a);                                                     \
        CHECK_SAME(lw_atomic_load_acquire_##S(&word), a);                                          \
        lw_atomic_store_release_##S(&word, b);                                                     \
        CHECK_SAME(lw_atomic_load_relaxed_##S(&word), b);                                          \
        CHECK_SWAP(S, T, relaxed, a, b);                                                           \
        CHECK_SWAP(S, T, acquire, a, b);                                                           \
        CHECK_SWAP(S, T, release, a, b);                                                           \
        CHECK_SWAP(S, T, acq_rel, a, b);                                                           \
    } while (0)

/* `word` starts and ends with b. */
#define CHECK_SWAP(S, T, order, a, b)                                                              \
    do {                                                                                           \
        T expected = a;                                                                            \
        CHECK_SAME(lw_atomic_exchange_##order##_##S(&word, a), b);                                 \
        CHECK_SAME(lw_atomic_load_relaxed_##S(&word), a);                                          \
        CHECK(lw_atomic_cas_##order##_##S(&word, &expected, b));                                   \
        CHECK_SAME(expected, a);                                                                   \
        CHECK_SAME(lw_atomic_load_relaxed_##S(&word), b);                                          \
        CHECK(!lw_atomic_cas_##order##_##S(&word, &expected, a));                                  \
        CHECK_SAME(expected, b);                                                                   \
        CHECK_SAME(lw_atomic_load_relaxed_##S(&word), b);                                          \
    } while (0)

#define CHECK_OP(S, T, op, order, start, n, result)                                                \
    do {                                                                                           \
        lw_atomic_store_relaxed_##S(&word, (T)(start));                                            \
        CHECK_SAME(lw_atomic_##op##_##order##_##S(&word, (T)(n)), (T)(start));                     \
        CHECK_SAME(lw_atomic_load_relaxed_##S(&word), (T)(result));                                \
    } while (0)

#define CHECK_OP_ORDERS(S, T, op, start, n, result)                                                \
    do {                                                                                           \
        CHECK_OP(S, T, op, relaxed, start, n, result);                                             \
        CHECK_OP(S, T, op, acquire, start, n, result);                                             \
        CHECK_OP(S, T, op, release, start, n, result);                                             \
        CHECK_OP(S, T, op, acq_rel, start, n, result);                                             \
    } while (0)

#define CHECK_ARITHMETIC(S, T, max, top)                                                           \
    do {                                                                                           \
        lw_atomic_##S word;                                                                        \
        CHECK_OP_ORDERS(S, T, add, 40, 2, 42);                                                     \
        CHECK_OP_ORDERS(S, T, add, max, 1, 0);                                                     \
        CHECK_OP_ORDERS(S, T, add, top, top, 0);                                                   \
        CHECK_OP_ORDERS(S, T, sub, 42, 40, 2);                                                     \
        CHECK_OP_ORDERS(S, T, sub, 0, 1, max);                                                     \
        CHECK_OP_ORDERS(S, T, sub, 7, 0, 7);                                                       \
        CHECK_OP_ORDERS(S, T, or, 12, 10, 14);                                                     \
        CHECK_OP_ORDERS(S, T, or, 1, top, (top) | 1);                                              \
        CHECK_OP_ORDERS(S, T, and, 12, 10, 8);                                                     \
        CHECK_OP_ORDERS(S, T, and, max, top, top);                                                 \
        CHECK_OP_ORDERS(S, T, xor, 12, 10, 6);                                                     \
        CHECK_OP_ORDERS(S, T, xor, max, max, 0);                                                   \
    } while (0)

TEST(u8_access)
{
    CHECK_ACCESS(u8, uint8_t, 0xff, 0x80);
    CHECK_ACCESS(u8, uint8_t, 1, 0);
}

TEST(u32_access)
{
    CHECK_ACCESS(u32, uint32_t, UINT32_MAX, UINT32_C(0x80000000));
    CHECK_ACCESS(u32, uint32_t, 1, 0);
}

TEST(u64_access)
{
    CHECK_ACCESS(u64, uint64_t, UINT64_MAX, UINT64_C(0x8000000000000000));
    CHECK_ACCESS(u64, uint64_t, UINT64_C(0x100000000), UINT64_C(1));
}

TEST(ptr_access)
{
    int one, two;
    CHECK_ACCESS(ptr, void *, (void *)&one, (void *)&two);
    CHECK_ACCESS(ptr, void *, (void *)&one, (void *)0);
}

TEST(u8_neighbours_stay)
{
    struct {
        lw_atomic_u8 a, b, c;
    } bytes;
    uint8_t expected = 2;
    memset(&bytes, 0, sizeof bytes);
    CHECK_EQ(sizeof bytes, 3);
    lw_atomic_store_release_u8(&bytes.a, 1);
    lw_atomic_store_relaxed_u8(&bytes.b, 2);
    lw_atomic_store_release_u8(&bytes.c, 3);
    CHECK(lw_atomic_cas_acq_rel_u8(&bytes.b, &expected, 0xff));
    CHECK_EQ(lw_atomic_exchange_acq_rel_u8(&bytes.b, 9), 0xff);
    CHECK_EQ(lw_atomic_load_acquire_u8(&bytes.a), 1);
    CHECK_EQ(lw_atomic_load_acquire_u8(&bytes.b), 9);
    CHECK_EQ(lw_atomic_load_acquire_u8(&bytes.c), 3);
}

TEST(u32_arithmetic)
{
    CHECK_ARITHMETIC(u32, uint32_t, UINT32_MAX, UINT32_C(0x80000000));
}

TEST(u64_arithmetic)
{
    CHECK_ARITHMETIC(u64, uint64_t, UINT64_MAX, UINT64_C(0x8000000000000000));
}

TEST(plain_fields)
{
    struct {
        LW_PLAIN(int) number;
        LW_PLAIN(void *) pointer;
    } s;
    LW_PLAIN_SET(s.number, 41);
    LW_PLAIN_SET(s.number, LW_PLAIN_GET(s.number) + 1);
    LW_PLAIN_SET(s.pointer, &s);
    CHECK_EQ(LW_PLAIN_GET(s.number), 42);
    CHECK(LW_PLAIN_GET(s.pointer) == &s);
}

TEST(fences_and_hint_compile)
{
    lw_fence_seq_cst();
    lw_fence_light();
    lw_cpu_relax();
}

enum { ROUNDS = 20000, THREADS = 4 };

static lw_atomic_u32 sum32, bits32;
static lw_atomic_u64 sum64, casum64;

static void add_up(void *arg)
{
    uint32_t bit = *(uint32_t *)arg;
    int i;
    for (i = 0; i < ROUNDS; i++) {
        uint64_t seen = lw_atomic_load_relaxed_u64(&casum64);
        (void)lw_atomic_add_relaxed_u32(&sum32, 3);
        (void)lw_atomic_sub_acq_rel_u32(&sum32, 1);
        (void)lw_atomic_add_release_u64(&sum64, UINT64_C(0x100000001));
        (void)lw_atomic_xor_acquire_u32(&bits32, bit);
        while (!lw_atomic_cas_relaxed_u64(&casum64, &seen, seen + 2)) {
        }
    }
}

TEST(nothing_is_lost_between_threads)
{
    uint32_t bits[THREADS] = {1, 2, 4, 8};
    support_run(THREADS, add_up, bits, sizeof bits[0]);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&sum32), THREADS * ROUNDS * 2);
    CHECK_EQ(lw_atomic_load_relaxed_u64(&sum64), THREADS * ROUNDS * UINT64_C(0x100000001));
    CHECK_EQ(lw_atomic_load_relaxed_u64(&casum64), THREADS * ROUNDS * 2);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&bits32), 0);
}

static lw_atomic_u32 turn;
static LW_PLAIN(uint64_t) payload;

static void take_turns(void *arg)
{
    uint32_t me = *(uint32_t *)arg;
    uint32_t i;
    for (i = 0; i < ROUNDS / 10; i++) {
        while (lw_atomic_load_acquire_u32(&turn) != me) {
            sched_yield();
        }
        LW_PLAIN_SET(payload, LW_PLAIN_GET(payload) + 1);
        lw_atomic_store_release_u32(&turn, me ^ 1);
    }
}

TEST(release_publishes_to_acquire)
{
    uint32_t numbers[2] = {0, 1};
    support_run(2, take_turns, numbers, sizeof numbers[0]);
    CHECK_EQ(LW_PLAIN_GET(payload), ROUNDS / 10 * 2);
}

/* Store buffering: with a full fence between each thread's store and load, one of the two sees the
 * other's. */
static lw_atomic_u32 flag[2];
static lw_atomic_u32 arrived;
static uint32_t saw[2][ROUNDS];

static void store_then_load(void *arg)
{
    uint32_t me = *(uint32_t *)arg, i;
    for (i = 0; i < ROUNDS; i++) {
        (void)lw_atomic_add_acq_rel_u32(&arrived, 1);
        while (lw_atomic_load_acquire_u32(&arrived) < 2 * (i + 1)) {
            sched_yield();
        }
        lw_atomic_store_relaxed_u32(&flag[me], i + 1);
        lw_fence_seq_cst();
        saw[me][i] = lw_atomic_load_relaxed_u32(&flag[me ^ 1]);
    }
}

TEST(full_fence_orders_store_before_load)
{
    uint32_t numbers[2] = {0, 1}, i;
    support_run(2, store_then_load, numbers, sizeof numbers[0]);
    for (i = 0; i < ROUNDS; i++) {
        CHECK(saw[0][i] >= i + 1 || saw[1][i] >= i + 1);
    }
}
