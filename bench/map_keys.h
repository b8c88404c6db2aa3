/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys, values and hash functions that all maps share. */
#ifndef LW_BENCH_MAP_KEYS_H
#define LW_BENCH_MAP_KEYS_H

#include "rows.h"

enum { MAP_SMALL = 1024, MAP_LARGE = 65536 };

/* A bijection on 64 bits: distinct numbers give distinct keys without a pattern. */
static inline uint64_t map_mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

static inline uint64_t map_key(uint64_t i)
{
    return map_mix(i + 1);
}

static inline uint64_t map_value(uint64_t key)
{
    return key >> 16;
}

/* The hash function of the peers, which bring none. */
static inline uint64_t map_hash(uint64_t key)
{
    return map_mix(key);
}

typedef struct map_key_set {
    /* The first MAP_SMALL are the small maps' keys in some order, all are the large maps'. */
    uint64_t shuffled[MAP_LARGE];
} map_key_set;

#ifdef __cplusplus
extern "C" {
#endif

extern map_key_set map_keys;

/* Does its work once. */
void map_keys_init(void);

#ifdef __cplusplus
}
#endif

#endif
