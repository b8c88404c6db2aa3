/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/map.h>
#include <latchwork/mutex.h>

#include "heap.h"
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static lw_map_t *map_by(const lw_map_config *config)
{
    lw_map_t *map = lw_map_new(config);
    CHECK(map != NULL);
    return map;
}

static lw_map_t *map_of(lw_key_kind keys)
{
    lw_map_config config;
    memset(&config, 0, sizeof config);
    config.keys = keys;
    return map_by(&config);
}

static void map_end(lw_map_t *map)
{
    lw_map_free(map);
    CHECK_EQ(lw_smr_flush(), LW_OK);
}

/* ---- Making one ---- */

TEST(configurations)
{
    lw_map_config config;
    lw_map_t *map;
    volatile int nonsense = 77;
    memset(&config, 0, sizeof config);
    config.keys = (lw_key_kind)nonsense;
    CHECK(lw_map_new(&config) == NULL);
    memset(&config, 0, sizeof config);
    config.capacity = SIZE_MAX / 4; /* no memory for that */
    CHECK(lw_map_new(&config) == NULL);
    memset(&config, 0, sizeof config);
    config.capacity = 10000;
    config.stripes = 5;
    config.seed = 42;
    map = lw_map_new(&config);
    CHECK(map != NULL);
    CHECK_EQ(lw_map_size(map), 0);
    CHECK(lw_map_buckets(map) > 0);
    CHECK(lw_map_memory(map) > 0);
    map_end(map);
    lw_map_free(NULL);
}

TEST(capacity_is_kept)
{
    lw_map_config config;
    lw_map_t *map;
    size_t buckets;
    uint64_t i;
    memset(&config, 0, sizeof config);
    config.capacity = 5000;
    map = lw_map_new(&config);
    buckets = lw_map_buckets(map);
    for (i = 0; i < 5000; i++) {
        CHECK_EQ(lw_map_put(map, i, i), LW_OK);
    }
    CHECK_EQ(lw_map_buckets(map), buckets);
    for (i = 0; i < 5000; i++) {
        CHECK(lw_map_remove(map, i, NULL));
    }
    lw_map_clear(map);
    CHECK_EQ(lw_map_buckets(map), buckets);
    map_end(map);
}

/* ---- Every operation, on every kind of key ---- */

static void check_operations(lw_map_t *map, const lw_key_t *key)
{
    uint64_t value = 77;
    CHECK_EQ(lw_map_get_key(map, key, &value), LW_NOT_FOUND);
    CHECK_EQ(value, 77);
    CHECK_EQ(lw_map_get_key(map, key, NULL), LW_NOT_FOUND);
    CHECK_EQ(lw_map_replace_key(map, key, 1, &value), LW_NOT_FOUND);
    CHECK_EQ(lw_map_remove_key(map, key, &value), LW_NOT_FOUND);
    CHECK_EQ(lw_map_compare_replace_key(map, key, 0, 1), LW_NOT_FOUND);
    CHECK_EQ(lw_map_compare_remove_key(map, key, 0), LW_NOT_FOUND);

    CHECK_EQ(lw_map_put_key(map, key, 10, &value), LW_OK);
    CHECK_EQ(lw_map_get_key(map, key, &value), LW_OK);
    CHECK_EQ(value, 10);
    CHECK_EQ(lw_map_get_key(map, key, NULL), LW_OK);
    CHECK_EQ(lw_map_put_key(map, key, 11, &value), LW_EXISTS);
    CHECK_EQ(value, 10);
    CHECK_EQ(lw_map_put_key(map, key, 12, NULL), LW_EXISTS);
    CHECK_EQ(lw_map_put_if_absent_key(map, key, 13, &value), LW_EXISTS);
    CHECK_EQ(value, 12);
    CHECK_EQ(lw_map_put_if_absent_key(map, key, 13, NULL), LW_EXISTS);
    CHECK_EQ(lw_map_replace_key(map, key, 14, &value), LW_OK);
    CHECK_EQ(value, 12);
    CHECK_EQ(lw_map_replace_key(map, key, 15, NULL), LW_OK);
    CHECK_EQ(lw_map_compare_replace_key(map, key, 14, 99), LW_MISMATCH);
    CHECK_EQ(lw_map_compare_replace_key(map, key, 15, 16), LW_OK);
    CHECK_EQ(lw_map_compare_remove_key(map, key, 15), LW_MISMATCH);
    CHECK_EQ(lw_map_get_key(map, key, &value), LW_OK);
    CHECK_EQ(value, 16);
    CHECK_EQ(lw_map_add_key(map, key, 4, &value), LW_OK);
    CHECK_EQ(value, 20);
    CHECK_EQ(lw_map_add_key(map, key, (uint64_t)-21, NULL), LW_OK);
    CHECK_EQ(lw_map_get_key(map, key, &value), LW_OK);
    CHECK_EQ(value, UINT64_MAX);
    CHECK_EQ(lw_map_remove_key(map, key, &value), LW_OK);
    CHECK_EQ(value, UINT64_MAX);
    CHECK_EQ(lw_map_get_key(map, key, NULL), LW_NOT_FOUND);

    CHECK_EQ(lw_map_add_key(map, key, 5, &value), LW_OK);
    CHECK_EQ(value, 5);
    CHECK_EQ(lw_map_compare_remove_key(map, key, 5), LW_OK);
    CHECK_EQ(lw_map_put_if_absent_key(map, key, 6, &value), LW_OK);
    CHECK_EQ(lw_map_remove_key(map, key, NULL), LW_OK);
    CHECK_EQ(lw_map_remove_key(map, key, NULL), LW_NOT_FOUND);
}

static lw_match match_number(void *probe, uint64_t stored_key)
{
    return *(uint64_t *)probe == stored_key ? LW_MATCH_YES : LW_MATCH_NO;
}

static lw_key_t custom_key(uint64_t *number, uint64_t hash)
{
    lw_key_t key = {*number, NULL, 0, hash, match_number, number};
    return key;
}

TEST(operations_u64)
{
    static const uint64_t keys[] = {0, 1, 2, UINT64_MAX, UINT64_C(1) << 63, 0xdeadbeef};
    lw_map_t *map = map_of(LW_KEY_U64);
    size_t i;
    for (i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        lw_key_t key = lw_key_u64(keys[i]);
        check_operations(map, &key);
        CHECK_EQ(lw_map_size(map), i);
        CHECK_EQ(lw_map_put(map, keys[i], i), LW_OK); /* stays beside the later keys */
    }
    for (i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        uint64_t value;
        CHECK(lw_map_get(map, keys[i], &value));
        CHECK_EQ(value, i);
    }
    map_end(map);
}

TEST(operations_bytes)
{
    enum { LONG = 1 << 20 };
    char *buffer = (char *)malloc(LONG);
    lw_map_t *map = map_of(LW_KEY_BYTES);
    size_t i, n = 0;
    uint64_t value;
    lw_key_t keys[80];
    CHECK(buffer != NULL);
    memset(buffer, 'x', LONG);
    /* One is a prefix of the next; the empty one; bytes of zero; a long one; one that differs in
     * the last byte. */
    for (i = 0; i < 70; i++) {
        keys[n++] = lw_key_bytes(buffer, i);
    }
    keys[n++] = lw_key_bytes("\0", 1);
    keys[n++] = lw_key_bytes("\0\0", 2);
    keys[n++] = lw_key_bytes("\0a\0", 3);
    keys[n++] = lw_key_bytes("\0b\0", 3);
    keys[n++] = lw_key_bytes(buffer, LONG);
    keys[n++] = lw_key_bytes(buffer, LONG - 1);
    keys[n++] = lw_key_bytes("xxxxxxxy", 8);
    keys[n++] = lw_key_bytes("xxxxxxxxxxxxxxxy", 16);
    for (i = 0; i < n; i++) {
        check_operations(map, &keys[i]);
        CHECK_EQ(lw_map_put_key(map, &keys[i], i, NULL), LW_OK);
    }
    CHECK_EQ(lw_map_size(map), n);
    for (i = 0; i < n; i++) {
        CHECK_EQ(lw_map_get_key(map, &keys[i], &value), LW_OK);
        CHECK_EQ(value, i);
    }
    CHECK(lw_map_memory(map) > 2 * (size_t)LONG - 1); /* the map has copies of its own */
    CHECK(lw_map_get_bytes(map, NULL, 0, &value));
    CHECK_EQ(value, 0);
    memset(buffer, 'z', LONG);
    CHECK_EQ(lw_map_get_key(map, &keys[5], NULL), LW_NOT_FOUND);
    memset(buffer, 'x', LONG);
    CHECK_EQ(lw_map_get_key(map, &keys[5], NULL), LW_OK);
    for (i = 0; i < n; i++) {
        CHECK_EQ(lw_map_remove_key(map, &keys[i], NULL), LW_OK);
    }
    CHECK_EQ(lw_map_size(map), 0);
    free(buffer);
    map_end(map);
}

TEST(operations_custom)
{
    lw_map_t *map = map_of(LW_KEY_CUSTOM);
    uint64_t numbers[50], value;
    size_t i;
    for (i = 0; i < 50; i++) {
        lw_key_t key;
        numbers[i] = i * 1000;
        key = custom_key(&numbers[i], i % 3); /* few hashes: most keys collide */
        check_operations(map, &key);
        CHECK_EQ(lw_map_put_key(map, &key, i, NULL), LW_OK);
    }
    for (i = 0; i < 50; i++) {
        lw_key_t key = custom_key(&numbers[i], i % 3);
        CHECK_EQ(lw_map_get_key(map, &key, &value), LW_OK);
        CHECK_EQ(value, i);
        CHECK_EQ(lw_map_remove_key(map, &key, NULL), LW_OK);
    }
    CHECK_EQ(lw_map_size(map), 0);
    map_end(map);
}

TEST(wrappers)
{
    lw_map_t *map = map_of(LW_KEY_U64), *bytes = map_of(LW_KEY_BYTES);
    uint64_t value = 0;
    int target;
    CHECK(!lw_map_get(map, 1, &value));
    CHECK_EQ(lw_map_put(map, 1, lw_value_ptr(&target)), LW_OK);
    CHECK(lw_map_get(map, 1, &value));
    CHECK(lw_ptr_value(value) == &target);
    CHECK_EQ(lw_map_put(map, 1, 5), LW_EXISTS);
    CHECK_EQ(lw_map_put_if_absent(map, 1, 6, &value), LW_EXISTS);
    CHECK_EQ(value, 5);
    CHECK_EQ(lw_map_replace(map, 1, 7, &value), LW_OK);
    CHECK_EQ(lw_map_replace(map, 2, 7, &value), LW_NOT_FOUND);
    CHECK_EQ(lw_map_add(map, 1, 1, &value), LW_OK);
    CHECK_EQ(value, 8);
    CHECK(lw_map_remove(map, 1, &value));
    CHECK_EQ(value, 8);
    CHECK(!lw_map_remove(map, 1, &value));

    CHECK(!lw_map_get_bytes(bytes, "k", 1, &value));
    CHECK_EQ(lw_map_put_bytes(bytes, "k", 1, 5), LW_OK);
    CHECK_EQ(lw_map_put_bytes(bytes, "k", 1, 6), LW_EXISTS);
    CHECK_EQ(lw_map_put_if_absent_bytes(bytes, "k", 1, 7, &value), LW_EXISTS);
    CHECK_EQ(value, 6);
    CHECK_EQ(lw_map_replace_bytes(bytes, "k", 1, 8, &value), LW_OK);
    CHECK_EQ(lw_map_add_bytes(bytes, "k", 1, 2, &value), LW_OK);
    CHECK_EQ(value, 10);
    CHECK(lw_map_get_bytes(bytes, "k", 1, &value));
    CHECK(lw_map_remove_bytes(bytes, "k", 1, &value));
    CHECK_EQ(value, 10);
    map_end(map);
    map_end(bytes);
}

TEST(any_value_can_be_stored)
{
    lw_map_t *map = map_of(LW_KEY_U64);
    uint64_t i, value;
    for (i = 0; i < 64; i++) {
        CHECK_EQ(lw_map_put(map, 3 * i, UINT64_C(1) << i), LW_OK);
        CHECK_EQ(lw_map_put(map, 3 * i + 1, i), LW_OK);
        CHECK_EQ(lw_map_put(map, 3 * i + 2, UINT64_MAX - i), LW_OK);
    }
    for (i = 0; i < 64; i++) {
        CHECK(lw_map_get(map, 3 * i, &value));
        CHECK_EQ(value, UINT64_C(1) << i);
        CHECK(lw_map_get(map, 3 * i + 1, &value));
        CHECK_EQ(value, i);
        CHECK(lw_map_get(map, 3 * i + 2, &value));
        CHECK_EQ(value, UINT64_MAX - i);
    }
    map_end(map);
}

/* ---- Compute ---- */

typedef struct computation {
    lw_map_t *map;
    lw_compute what;
    uint64_t store;
    int calls;
    bool present;
    uint64_t value;
    bool meddle; /* changes the key once, as another thread might */
} computation;

static lw_compute compute(void *arg, bool present, uint64_t *value)
{
    computation *c = (computation *)arg;
    c->present = present;
    c->value = present ? *value : 0;
    CHECK(!lw_smr_in_section()); /* nothing is held */
    CHECK(lw_smr_flush() == LW_OK);
    if (c->calls++ == 0 && c->meddle) {
        CHECK(lw_map_put(c->map, 1, 1000) != LW_NOMEM);
    }
    *value = c->store;
    return c->what;
}

TEST(compute_keeps_stores_removes)
{
    lw_map_t *map = map_of(LW_KEY_U64);
    computation c;
    uint64_t value;
    memset(&c, 0, sizeof c);
    c.map = map;
    c.store = 7;
    c.what = LW_COMPUTE_KEEP;
    CHECK_EQ(lw_map_compute(map, 1, compute, &c), LW_OK);
    CHECK_EQ(c.calls, 1);
    CHECK(!c.present);
    CHECK(!lw_map_get(map, 1, NULL));
    c.what = LW_COMPUTE_REMOVE;
    CHECK_EQ(lw_map_compute(map, 1, compute, &c), LW_OK);
    CHECK(!lw_map_get(map, 1, NULL));
    c.what = LW_COMPUTE_PUT;
    CHECK_EQ(lw_map_compute(map, 1, compute, &c), LW_OK);
    CHECK(!c.present);
    CHECK(lw_map_get(map, 1, &value));
    CHECK_EQ(value, 7);
    c.what = LW_COMPUTE_KEEP;
    c.store = 8;
    CHECK_EQ(lw_map_compute(map, 1, compute, &c), LW_OK);
    CHECK(c.present);
    CHECK_EQ(c.value, 7);
    CHECK(lw_map_get(map, 1, &value));
    CHECK_EQ(value, 7);
    c.what = LW_COMPUTE_PUT;
    CHECK_EQ(lw_map_compute(map, 1, compute, &c), LW_OK);
    CHECK(lw_map_get(map, 1, &value));
    CHECK_EQ(value, 8);
    c.what = LW_COMPUTE_REMOVE;
    CHECK_EQ(lw_map_compute(map, 1, compute, &c), LW_OK);
    CHECK(!lw_map_get(map, 1, NULL));
    CHECK_EQ(c.calls, 6);
    CHECK_EQ(lw_map_size(map), 0);
    map_end(map);
}

TEST(compute_asks_again_when_the_key_changed)
{
    lw_map_t *map = map_of(LW_KEY_U64);
    lw_compute whats[2] = {LW_COMPUTE_PUT, LW_COMPUTE_REMOVE};
    int i, before;
    for (i = 0; i < 2; i++) {
        for (before = 0; before < 2; before++) {
            computation c;
            uint64_t value;
            memset(&c, 0, sizeof c);
            c.map = map;
            c.what = whats[i];
            c.store = 7;
            c.meddle = true;
            lw_map_clear(map);
            if (before != 0) {
                CHECK_EQ(lw_map_put(map, 1, 5), LW_OK);
            } else if (c.what == LW_COMPUTE_REMOVE) {
                continue; /* removing what is not there needs no second look */
            }
            CHECK_EQ(lw_map_compute(map, 1, compute, &c), LW_OK);
            CHECK_EQ(c.calls, 2);
            CHECK(c.present);
            CHECK_EQ(c.value, 1000);
            CHECK_EQ(lw_map_get(map, 1, &value), c.what == LW_COMPUTE_PUT);
        }
    }
    map_end(map);
}

TEST(compute_on_bytes)
{
    lw_map_t *map = map_of(LW_KEY_BYTES);
    computation c;
    uint64_t value;
    memset(&c, 0, sizeof c);
    c.what = LW_COMPUTE_PUT;
    c.store = 9;
    CHECK_EQ(lw_map_compute_bytes(map, "key", 3, compute, &c), LW_OK);
    CHECK(lw_map_get_bytes(map, "key", 3, &value));
    CHECK_EQ(value, 9);
    map_end(map);
}

/* ---- Keys that cannot tell ---- */

static lw_match match_unknown(void *probe, uint64_t stored_key)
{
    ++*(int *)probe;
    (void)stored_key;
    return LW_MATCH_UNKNOWN;
}

static lw_compute compute_never(void *arg, bool present, uint64_t *value)
{
    (void)arg;
    (void)present;
    (void)value;
    CHECK(!"called");
    return LW_COMPUTE_KEEP;
}

TEST(unknown_match_stops_with_again)
{
    lw_map_t *map = map_of(LW_KEY_CUSTOM);
    uint64_t number = 5, value;
    int asked = 0;
    lw_key_t stored = custom_key(&number, 1);
    lw_key_t unsure = {6, NULL, 0, 1, match_unknown, &asked};
    lw_key_t elsewhere = {6, NULL, 0, 2, match_unknown, &asked};
    CHECK_EQ(lw_map_put_key(map, &stored, 50, NULL), LW_OK);
    CHECK_EQ(lw_map_get_key(map, &unsure, &value), LW_AGAIN);
    CHECK_EQ(lw_map_put_key(map, &unsure, 1, &value), LW_AGAIN);
    CHECK_EQ(lw_map_put_if_absent_key(map, &unsure, 1, &value), LW_AGAIN);
    CHECK_EQ(lw_map_replace_key(map, &unsure, 1, &value), LW_AGAIN);
    CHECK_EQ(lw_map_compare_replace_key(map, &unsure, 50, 1), LW_AGAIN);
    CHECK_EQ(lw_map_remove_key(map, &unsure, &value), LW_AGAIN);
    CHECK_EQ(lw_map_compare_remove_key(map, &unsure, 50), LW_AGAIN);
    CHECK_EQ(lw_map_add_key(map, &unsure, 1, &value), LW_AGAIN);
    CHECK_EQ(lw_map_compute_key(map, &unsure, compute_never, NULL), LW_AGAIN);
    CHECK(asked >= 9);
    asked = 0;
    CHECK_EQ(lw_map_get_key(map, &elsewhere, &value), LW_NOT_FOUND);
    CHECK_EQ(asked, 0); /* another hash: nothing to compare */
    CHECK_EQ(lw_map_size(map), 1);
    CHECK_EQ(lw_map_get_key(map, &stored, &value), LW_OK);
    CHECK_EQ(value, 50);
    map_end(map);
}

/* ---- Growing and shrinking ---- */

TEST(grows_and_shrinks)
{
    enum { N = 50000 };
    lw_map_t *map = map_of(LW_KEY_U64);
    size_t buckets = lw_map_buckets(map), memory = lw_map_memory(map), full;
    uint64_t i, value;
    int round;
    for (round = 0; round < 2; round++) {
        for (i = 0; i < N; i++) {
            CHECK_EQ(lw_map_put(map, i * i, i), LW_OK);
            CHECK_EQ(lw_map_size(map), i + 1);
        }
        full = lw_map_buckets(map);
        CHECK(full >= N / 4);
        CHECK(lw_map_memory(map) > memory + N * 16);
        for (i = 0; i < N; i++) {
            CHECK(lw_map_get(map, i * i, &value));
            CHECK_EQ(value, i);
        }
        CHECK(!lw_map_get(map, 2, NULL));
        for (i = 0; i < N; i++) {
            CHECK(lw_map_remove(map, i * i, &value));
            CHECK_EQ(value, i);
        }
        CHECK_EQ(lw_map_size(map), 0);
        CHECK(lw_map_buckets(map) <= buckets * 4);
        CHECK(lw_map_memory(map) <= memory + buckets * 8 * sizeof(void *));
    }
    map_end(map);
}

TEST(clear)
{
    enum { N = 20000 };
    lw_map_t *map = map_of(LW_KEY_U64);
    size_t memory = lw_map_memory(map);
    uint64_t i;
    lw_map_clear(map);
    for (i = 0; i < N; i++) {
        CHECK_EQ(lw_map_put(map, i, i), LW_OK);
    }
    lw_map_clear(map);
    CHECK_EQ(lw_map_size(map), 0);
    for (i = 0; i < N; i++) {
        CHECK(!lw_map_get(map, i, NULL));
    }
    CHECK(lw_map_memory(map) <= 2 * memory);
    CHECK_EQ(lw_map_put(map, 3, 4), LW_OK);
    CHECK_EQ(lw_map_size(map), 1);
    map_end(map);
}

TEST(clear_in_the_middle_of_a_resize)
{
    lw_map_t *map = map_of(LW_KEY_U64);
    uint64_t n, i;
    /* Somewhere on the way each length falls into a resize that is not done. */
    for (n = 1; n < 600; n += 7) {
        for (i = 0; i < n; i++) {
            CHECK_EQ(lw_map_put(map, i, i), LW_OK);
        }
        lw_map_clear(map);
        CHECK_EQ(lw_map_size(map), 0);
        for (i = 0; i < n; i++) {
            CHECK(!lw_map_get(map, i, NULL));
        }
    }
    map_end(map);
}

/* ---- Iteration ---- */

enum { SCAN_MAX = 20000 };

typedef struct seen {
    unsigned char times[SCAN_MAX];
    size_t count;
} seen;

static void see(void *arg, const lw_map_entry *entry)
{
    seen *s = (seen *)arg;
    CHECK(lw_smr_in_section());
    CHECK(entry->key < SCAN_MAX);
    CHECK_EQ(entry->value, entry->key * 3);
    s->times[entry->key]++;
    s->count++;
}

static seen seen_all;

TEST(scan_of_an_empty_map)
{
    lw_map_t *map = map_of(LW_KEY_U64);
    lw_map_cursor cursor;
    int steps = 0;
    memset(&cursor, 0, sizeof cursor);
    while (lw_map_scan(map, &cursor, 10, see, &seen_all)) {
        CHECK(++steps < 1000);
    }
    CHECK(cursor.done);
    CHECK(!lw_map_scan(map, &cursor, 10, see, &seen_all));
    CHECK_EQ(seen_all.count, 0);
    map_end(map);
}

TEST(scan_sees_each_once)
{
    lw_map_t *map = map_of(LW_KEY_U64);
    static const size_t wants[] = {1, 2, 7, 1000, SIZE_MAX};
    size_t w, i, n;
    for (n = 0; n <= 5000; n = n * 2 + 1) {
        for (i = lw_map_size(map); i < n; i++) {
            CHECK_EQ(lw_map_put(map, i, i * 3), LW_OK);
        }
        for (w = 0; w < sizeof wants / sizeof wants[0]; w++) {
            lw_map_cursor cursor;
            size_t before = 0;
            memset(&cursor, 0, sizeof cursor);
            memset(&seen_all, 0, sizeof seen_all);
            while (lw_map_scan(map, &cursor, wants[w], see, &seen_all)) {
                CHECK(seen_all.count - before >= wants[w]);
                before = seen_all.count;
            }
            CHECK_EQ(seen_all.count, n);
            for (i = 0; i < n; i++) {
                CHECK_EQ(seen_all.times[i], 1);
            }
        }
    }
    map_end(map);
}

/* Keys below `stay` are there all the time; the others come and go between the steps, so that the
 * table grows and shrinks under the cursor. */
static void scan_under_change(bool grow_first, size_t stay, size_t swell, uint64_t seed)
{
    lw_map_t *map;
    lw_map_config config;
    lw_map_cursor cursor;
    size_t i, step = 0, resizes = 0, buckets;
    bool more, full = !grow_first;
    memset(&config, 0, sizeof config);
    config.seed = seed;
    map = map_by(&config);
    memset(&cursor, 0, sizeof cursor);
    memset(&seen_all, 0, sizeof seen_all);
    for (i = 0; i < (full ? stay + swell : stay); i++) {
        CHECK_EQ(lw_map_put(map, i, i * 3), LW_OK);
    }
    do {
        more = lw_map_scan(map, &cursor, 5, see, &seen_all);
        buckets = lw_map_buckets(map);
        if (step++ % 10 == 0) {
            for (i = stay; i < stay + swell; i++) {
                if (full) {
                    CHECK(lw_map_remove(map, i, NULL));
                } else {
                    CHECK_EQ(lw_map_put(map, i, i * 3), LW_OK);
                }
            }
            full = !full;
        }
        resizes += lw_map_buckets(map) != buckets;
    } while (more);
    for (i = 0; i < stay; i++) {
        CHECK_EQ(seen_all.times[i], 1);
    }
    CHECK(resizes >= 2);
    map_end(map);
}

/* Where the cursor stands when the table changes depends on the hash: many of them, and the same
 * ones each time. */
TEST(scan_while_the_table_grows)
{
    uint64_t seed;
    for (seed = 1; seed <= 30; seed++) {
        scan_under_change(true, 300, 3000, seed);
    }
}

TEST(scan_while_the_table_shrinks)
{
    uint64_t seed;
    for (seed = 1; seed <= 30; seed++) {
        scan_under_change(false, 300, 3000, seed);
    }
}

TEST(scan_while_it_is_emptied)
{
    lw_map_t *map = map_of(LW_KEY_U64);
    lw_map_cursor cursor;
    size_t i;
    memset(&cursor, 0, sizeof cursor);
    for (i = 0; i < 5000; i++) {
        CHECK_EQ(lw_map_put(map, i, i * 3), LW_OK);
    }
    CHECK(lw_map_scan(map, &cursor, 100, see, &seen_all));
    lw_map_clear(map);
    i = seen_all.count;
    while (lw_map_scan(map, &cursor, 100, see, &seen_all)) {
    }
    CHECK_EQ(seen_all.count, i);
    map_end(map);
}

static uint64_t hash_of(uint64_t number)
{
    return number == 0 ? UINT64_MAX : number * 7919 % 13 - 6; /* some collide, some are negative */
}

static void see_custom(void *arg, const lw_map_entry *entry)
{
    CHECK_EQ(entry->hash, hash_of(entry->key));
    see(arg, entry);
}

static void see_bytes(void *arg, const lw_map_entry *entry)
{
    seen *s = (seen *)arg;
    unsigned number;
    char text[16];
    CHECK(entry->size < sizeof text);
    memcpy(text, entry->bytes, entry->size);
    text[entry->size] = '\0';
    CHECK_EQ(sscanf(text, "key%u", &number), 1);
    CHECK_EQ(entry->value, number);
    CHECK_EQ(entry->hash, 0);
    s->times[number]++;
    s->count++;
}

TEST(scan_of_bytes_and_custom_keys)
{
    lw_map_t *bytes = map_of(LW_KEY_BYTES), *custom = map_of(LW_KEY_CUSTOM);
    lw_map_cursor cursor;
    uint64_t i;
    for (i = 0; i < 1000; i++) {
        char text[16];
        lw_key_t key = custom_key(&i, hash_of(i));
        int size = snprintf(text, sizeof text, "key%u", (unsigned)i);
        CHECK_EQ(lw_map_put_bytes(bytes, text, (size_t)size, i), LW_OK);
        CHECK_EQ(lw_map_put_key(custom, &key, i * 3, NULL), LW_OK);
    }
    memset(&cursor, 0, sizeof cursor);
    while (lw_map_scan(bytes, &cursor, 10, see_bytes, &seen_all)) {
    }
    for (i = 0; i < 1000; i++) {
        CHECK_EQ(seen_all.times[i], 1);
    }
    memset(&cursor, 0, sizeof cursor);
    while (lw_map_scan(custom, &cursor, 10, see_custom, &seen_all)) {
    }
    for (i = 0; i < 1000; i++) {
        CHECK_EQ(seen_all.times[i], 2);
    }
    map_end(bytes);
    map_end(custom);
}

/* ---- A map that owns what it holds ---- */

typedef struct counted {
    int refs;
    bool key;
} counted;

static counted things[64];
static int releases, refuse;
static lw_mutex_t release_mutex;

static void owned_ref(void *context, uint64_t value)
{
    counted *c = (counted *)lw_ptr_value(value);
    CHECK(context == things);
    __atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
}

static void unref(uint64_t thing)
{
    counted *c = (counted *)lw_ptr_value(thing);
    CHECK(__atomic_fetch_sub(&c->refs, 1, __ATOMIC_ACQ_REL) > 0);
}

static bool owned_release(void *context, uint64_t key, uint64_t value, unsigned what)
{
    CHECK(context == things);
    CHECK(what != 0 && (what & ~(unsigned)(LW_MAP_KEY | LW_MAP_VALUE)) == 0);
    CHECK(!lw_smr_in_section());
    lw_mutex_lock(&release_mutex); /* no lock is held: foreign code may take its own */
    lw_mutex_unlock(&release_mutex);
    if (refuse > 0) {
        refuse--;
        return false;
    }
    if (what & LW_MAP_KEY) {
        unref(key);
    }
    if (what & LW_MAP_VALUE) {
        unref(value);
    }
    releases++;
    return true;
}

static lw_map_config owning_config(lw_key_kind keys, bool exclusive)
{
    lw_map_config config;
    memset(&config, 0, sizeof config);
    config.keys = keys;
    config.ref = owned_ref;
    config.release = owned_release;
    config.context = things;
    config.exclusive = exclusive;
    return config;
}

static lw_map_t *owning_map(lw_key_kind keys, bool exclusive)
{
    lw_map_config config = owning_config(keys, exclusive);
    return map_by(&config);
}

/* A reference of the caller's, to give to the map. */
static uint64_t give(int i)
{
    __atomic_fetch_add(&things[i].refs, 1, __ATOMIC_RELAXED);
    return lw_value_ptr(&things[i]);
}

static void check_owned(lw_key_kind keys, bool exclusive)
{
    lw_map_t *map = owning_map(keys, exclusive);
    uint64_t number = lw_value_ptr(&things[10]), value;
    lw_key_t key = keys == LW_KEY_U64     ? lw_key_u64(1)
                   : keys == LW_KEY_BYTES ? lw_key_bytes("k", 1)
                                          : custom_key(&number, 1);
    int key_refs = keys == LW_KEY_CUSTOM;
    things[10].refs = 2 * key_refs; /* one for the map, one for a put that does not take it */
    CHECK_EQ(lw_map_put_key(map, &key, give(0), &value), LW_OK);
    CHECK_EQ(things[0].refs, 1);
    CHECK_EQ(lw_map_get_key(map, &key, &value), LW_OK);
    CHECK_EQ(value, lw_value_ptr(&things[0]));
    CHECK_EQ(things[0].refs, 2);
    unref(value);
    CHECK_EQ(lw_map_get_key(map, &key, NULL), LW_OK);
    CHECK_EQ(things[0].refs, 1);

    CHECK_EQ(lw_map_put_key(map, &key, give(1), &value), LW_EXISTS);
    CHECK_EQ(value, lw_value_ptr(&things[0]));
    CHECK_EQ(things[10].refs, 2 * key_refs); /* the map kept its key */
    unref(value);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(things[0].refs, 0);
    CHECK_EQ(lw_map_put_key(map, &key, give(2), NULL), LW_EXISTS);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(things[1].refs, 0);

    CHECK_EQ(lw_map_put_if_absent_key(map, &key, lw_value_ptr(&things[3]), &value), LW_EXISTS);
    CHECK_EQ(value, lw_value_ptr(&things[2]));
    CHECK_EQ(things[2].refs, 2);
    unref(value);
    CHECK_EQ(things[3].refs, 0);
    CHECK_EQ(lw_map_replace_key(map, &key, give(3), &value), LW_OK);
    CHECK_EQ(value, lw_value_ptr(&things[2]));
    unref(value);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(things[2].refs, 0);
    CHECK_EQ(
        lw_map_compare_replace_key(map, &key, lw_value_ptr(&things[2]), lw_value_ptr(&things[4])),
        LW_MISMATCH);
    CHECK_EQ(lw_map_compare_replace_key(map, &key, lw_value_ptr(&things[3]), give(4)), LW_OK);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(things[3].refs, 0);
    CHECK_EQ(things[4].refs, 1);
    CHECK_EQ(lw_map_add_key(map, &key, 1, &value), LW_INVALID);
    CHECK_EQ(lw_map_compute_key(map, &key, compute_never, NULL), LW_INVALID);
    CHECK_EQ(lw_map_compare_remove_key(map, &key, lw_value_ptr(&things[3])), LW_MISMATCH);
    CHECK_EQ(lw_map_remove_key(map, &key, &value), LW_OK);
    CHECK_EQ(value, lw_value_ptr(&things[4]));
    unref(value);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(things[4].refs, 0);
    CHECK_EQ(things[10].refs, key_refs);

    if (keys == LW_KEY_CUSTOM) {
        things[10].refs = 1;
    }
    CHECK_EQ(lw_map_put_if_absent_key(map, &key, give(5), &value), LW_OK);
    CHECK_EQ(lw_map_compare_remove_key(map, &key, lw_value_ptr(&things[5])), LW_OK);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(things[5].refs, 0);
    CHECK_EQ(things[10].refs, 0);

    things[10].refs = key_refs;
    CHECK_EQ(lw_map_put_key(map, &key, give(6), NULL), LW_OK);
    lw_map_clear(map);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(things[6].refs, 0);
    CHECK_EQ(things[10].refs, 0);

    things[10].refs = key_refs;
    CHECK_EQ(lw_map_put_key(map, &key, give(7), NULL), LW_OK);
    lw_map_free(map);
    CHECK_EQ(things[7].refs, 0); /* at once */
    CHECK_EQ(things[10].refs, 0);
    CHECK(releases >= 8);
}

TEST(owned_values_u64)
{
    check_owned(LW_KEY_U64, false);
}

TEST(owned_values_bytes)
{
    check_owned(LW_KEY_BYTES, false);
}

TEST(owned_keys_and_values)
{
    check_owned(LW_KEY_CUSTOM, false);
}

TEST(owned_values_exclusive)
{
    check_owned(LW_KEY_U64, true);
}

TEST(owned_keys_and_values_exclusive)
{
    check_owned(LW_KEY_CUSTOM, true);
}

static support_step reader_in = SUPPORT_STEP_INIT, reader_out = SUPPORT_STEP_INIT;

static void hold_a_section(void *arg)
{
    (void)arg;
    lw_smr_enter();
    support_reach(&reader_in, 1);
    support_await(&reader_out, 1);
    lw_smr_exit();
}

TEST(values_are_released_after_readers_have_gone)
{
    lw_map_t *map = owning_map(LW_KEY_U64, false);
    support_thread reader;
    CHECK_EQ(lw_map_put(map, 1, give(0)), LW_OK);
    CHECK_EQ(lw_map_put(map, 2, give(1)), LW_OK);
    support_start(&reader, hold_a_section, NULL);
    support_await(&reader_in, 1);
    CHECK_EQ(lw_map_put(map, 1, give(2)), LW_EXISTS);
    CHECK(lw_map_remove(map, 2, NULL));
    (void)lw_smr_poll();
    CHECK_EQ(things[0].refs, 1);
    CHECK_EQ(things[1].refs, 1);
    support_reach(&reader_out, 1);
    support_join(&reader);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(things[0].refs, 0);
    CHECK_EQ(things[1].refs, 0);
    map_end(map);
    CHECK_EQ(things[2].refs, 0);
}

TEST(exclusive_map_releases_at_once)
{
    lw_map_t *map = owning_map(LW_KEY_U64, true);
    support_thread reader;
    CHECK_EQ(lw_map_put(map, 1, give(0)), LW_OK);
    support_start(&reader, hold_a_section, NULL);
    support_await(&reader_in, 1);
    CHECK_EQ(lw_map_put(map, 1, give(1)), LW_EXISTS);
    CHECK_EQ(things[0].refs, 0);
    CHECK(lw_map_remove(map, 1, NULL));
    CHECK_EQ(things[1].refs, 0);
    support_reach(&reader_out, 1);
    support_join(&reader);
    map_end(map);
}

TEST(release_may_refuse)
{
    lw_map_t *map = owning_map(LW_KEY_U64, false);
    CHECK_EQ(lw_map_put(map, 1, give(0)), LW_OK);
    refuse = 1;
    CHECK(lw_map_remove(map, 1, NULL));
    CHECK_EQ(lw_map_put(map, 1, give(1)), LW_OK);
    refuse += 1;
    CHECK_EQ(lw_map_put(map, 1, give(2)), LW_EXISTS);
    CHECK(lw_map_remove(map, 1, NULL));
    while (lw_smr_get_stats().pending != 0) {
        (void)lw_smr_poll();
    }
    CHECK_EQ(refuse, 0);
    CHECK_EQ(things[0].refs, 0);
    CHECK_EQ(things[1].refs, 0);
    CHECK_EQ(things[2].refs, 0);
    map_end(map);
}

/* ---- What waits counts with its weight ---- */

/* Heavier than a batch may be, so that an operation that takes it out releases it, too. */
enum { HEAVY = LW_SMR_BATCH_BYTES, KEY_WEIGHT = 3000, VALUE_WEIGHT = 500 };

static size_t value_weight, weighed;

static size_t owned_weigh(void *context, uint64_t key, uint64_t value, unsigned what)
{
    counted *v = (counted *)lw_ptr_value(value), *k = (counted *)lw_ptr_value(key);
    CHECK(context == things);
    CHECK(!lw_smr_in_section());
    lw_mutex_lock(&release_mutex);
    lw_mutex_unlock(&release_mutex);
    CHECK((what & LW_MAP_VALUE) != 0);
    CHECK(!v->key);
    CHECK(v->refs > 0); /* the map's own */
    weighed++;
    if ((what & LW_MAP_KEY) == 0) {
        CHECK_EQ(key, 0);
        return value_weight;
    }
    CHECK(k->key);
    CHECK(k->refs > 0);
    return value_weight + KEY_WEIGHT;
}

static lw_map_t *weighing_map(lw_key_kind keys, bool exclusive)
{
    lw_map_config config = owning_config(keys, exclusive);
    config.weigh = owned_weigh;
    return map_by(&config);
}

/* How many bytes wait for their release since the last call. */
static size_t more_pending(void)
{
    static size_t before;
    size_t now = lw_smr_get_stats().pending_bytes, more = now - before;
    before = now;
    return more;
}

static void check_weights(lw_key_kind keys)
{
    lw_map_t *map = weighing_map(keys, false);
    support_thread reader;
    uint64_t number = lw_value_ptr(&things[10]);
    lw_key_t key = keys == LW_KEY_CUSTOM ? custom_key(&number, 1) : lw_key_u64(1);
    size_t key_weight = keys == LW_KEY_CUSTOM ? KEY_WEIGHT : 0, more;
    int i;
    value_weight = VALUE_WEIGHT;
    things[10].key = true;
    things[10].refs = 100;
    support_start(&reader, hold_a_section, NULL);
    support_await(&reader_in, 1);
    (void)more_pending();
    CHECK_EQ(lw_map_put_key(map, &key, give(0), NULL), LW_OK);
    CHECK_EQ(weighed, 0);
    CHECK_EQ(more_pending(), 0);
    CHECK_EQ(lw_map_put_key(map, &key, give(1), NULL), LW_EXISTS);
    more = more_pending();
    CHECK(more > VALUE_WEIGHT && more < VALUE_WEIGHT + 100);
    CHECK_EQ(lw_map_replace_key(map, &key, give(2), NULL), LW_OK);
    CHECK_EQ(more_pending(), more);
    CHECK_EQ(lw_map_compare_replace_key(map, &key, lw_value_ptr(&things[1]), 0), LW_MISMATCH);
    CHECK_EQ(more_pending(), 0);
    CHECK_EQ(lw_map_compare_replace_key(map, &key, lw_value_ptr(&things[2]), give(3)), LW_OK);
    CHECK_EQ(more_pending(), more);
    CHECK_EQ(lw_map_remove_key(map, &key, NULL), LW_OK);
    more = more_pending();
    CHECK(more > key_weight + VALUE_WEIGHT && more < key_weight + VALUE_WEIGHT + 200);
    CHECK_EQ(lw_map_put_key(map, &key, give(4), NULL), LW_OK);
    CHECK_EQ(lw_map_compare_remove_key(map, &key, lw_value_ptr(&things[4])), LW_OK);
    CHECK_EQ(more_pending(), more);
    CHECK_EQ(lw_map_put_key(map, &key, give(5), NULL), LW_OK);
    lw_map_clear(map);
    CHECK_EQ(more_pending(), more);
    CHECK_EQ(weighed, 6);
    support_reach(&reader_out, 1);
    support_join(&reader);
    map_end(map);
    for (i = 0; i <= 5; i++) {
        CHECK_EQ(things[i].refs, 0);
    }
}

TEST(values_count_by_their_weight)
{
    check_weights(LW_KEY_U64);
}

TEST(keys_and_values_count_by_their_weight)
{
    check_weights(LW_KEY_CUSTOM);
}

static void be_idle(void *arg)
{
    (void)arg;
    CHECK(lw_thread_self() != NULL);
    support_reach(&reader_in, 1);
    support_await(&reader_out, 1);
}

TEST(heavy_values_do_not_gather_beside_an_idle_thread)
{
    lw_map_t *map = weighing_map(LW_KEY_U64, false);
    support_thread idle;
    int i;
    value_weight = HEAVY;
    support_start(&idle, be_idle, NULL);
    support_await(&reader_in, 1);
    CHECK_EQ(lw_map_put(map, 1, give(0)), LW_OK);
    for (i = 1; i < 50; i++) {
        CHECK_EQ(lw_map_put(map, 1, give(i)), LW_EXISTS);
        CHECK_EQ(things[i - 1].refs, 0);
    }
    support_reach(&reader_out, 1);
    support_join(&idle);
    map_end(map);
}

TEST(an_exclusive_map_weighs_nothing)
{
    lw_map_t *map = weighing_map(LW_KEY_U64, true);
    CHECK_EQ(lw_map_put(map, 1, give(0)), LW_OK);
    CHECK_EQ(lw_map_put(map, 1, give(1)), LW_EXISTS);
    CHECK(lw_map_remove(map, 1, NULL));
    CHECK_EQ(weighed, 0);
    CHECK_EQ(things[0].refs + things[1].refs, 0);
    map_end(map);
}

TEST(a_retired_value_may_outlive_the_map)
{
    lw_map_t *map = owning_map(LW_KEY_U64, false);
    support_thread reader;
    CHECK_EQ(lw_map_put(map, 1, give(0)), LW_OK);
    support_start(&reader, hold_a_section, NULL);
    support_await(&reader_in, 1);
    CHECK(lw_map_remove(map, 1, NULL));
    lw_map_free(map);
    CHECK_EQ(things[0].refs, 1);
    support_reach(&reader_out, 1);
    support_join(&reader);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(things[0].refs, 0);
}

/* ---- Failing allocations: the map stays as it was, and whole ---- */

enum { MODEL = 400 };

typedef struct model {
    bool there[MODEL];
    uint64_t value[MODEL];
} model;

static void check_model(lw_map_t *map, const model *m, const lw_key_t *keys)
{
    size_t i, n = 0;
    for (i = 0; i < MODEL; i++) {
        uint64_t value;
        lw_status status = lw_map_get_key(map, &keys[i], &value);
        CHECK_EQ(status, m->there[i] ? LW_OK : LW_NOT_FOUND);
        CHECK(!m->there[i] || value == m->value[i]);
        n += m->there[i];
    }
    CHECK_EQ(lw_map_size(map), n);
}

static lw_compute compute_put(void *arg, bool present, uint64_t *value)
{
    (void)present;
    *value = *(uint64_t *)arg;
    return LW_COMPUTE_PUT;
}

static void failing_operations(lw_key_kind kind)
{
    static uint64_t numbers[MODEL];
    static char texts[MODEL][16];
    static lw_key_t keys[MODEL];
    support_random random = support_random_new(support_seed(), 0);
    size_t blocks, i, failed = 0;
    long nth;
    heap_install();
    CHECK(lw_thread_self() != NULL);
    for (i = 0; i < MODEL; i++) {
        int size = snprintf(texts[i], sizeof texts[i], "%zu", i * 7919);
        numbers[i] = i * 7919;
        keys[i] = kind == LW_KEY_U64     ? lw_key_u64(numbers[i])
                  : kind == LW_KEY_BYTES ? lw_key_bytes(texts[i], (size_t)size)
                                         : custom_key(&numbers[i], i / 3);
    }
    blocks = heap_blocks();
    for (nth = 1; nth < 8; nth++) {
        lw_map_t *map = map_of(kind);
        static model m;
        int step;
        memset(&m, 0, sizeof m);
        heap_fail_every(nth);
        for (step = 0; step < 3000; step++) {
            /* The working set swells and shrinks, so that resizes meet failures too. */
            size_t k = support_below(&random, (step / 500) % 2 == 0 ? MODEL : MODEL / 10);
            uint64_t value = support_next(&random), out = 0;
            lw_status status = LW_OK;
            bool writes = false;
            switch (support_below(&random, 8)) {
            case 0:
            case 1:
                status = lw_map_put_key(map, &keys[k], value, &out);
                writes = true;
                CHECK(status == LW_NOMEM || status == (m.there[k] ? LW_EXISTS : LW_OK));
                break;
            case 2:
                status = lw_map_put_if_absent_key(map, &keys[k], value, &out);
                writes = !m.there[k];
                CHECK(status == LW_NOMEM || status == (m.there[k] ? LW_EXISTS : LW_OK));
                break;
            case 3:
                status = lw_map_replace_key(map, &keys[k], value, &out);
                writes = m.there[k];
                CHECK_EQ(status, m.there[k] ? LW_OK : LW_NOT_FOUND);
                break;
            case 4:
                status = lw_map_add_key(map, &keys[k], 1, &out);
                CHECK(status == LW_OK || (status == LW_NOMEM && !m.there[k]));
                value = m.there[k] ? m.value[k] + 1 : 1;
                writes = true;
                CHECK(status != LW_OK || out == value);
                break;
            case 5:
                status = lw_map_compute_key(map, &keys[k], compute_put, &value);
                writes = true;
                CHECK(status == LW_OK || (status == LW_NOMEM && !m.there[k]));
                break;
            case 6:
                status = lw_map_remove_key(map, &keys[k], &out);
                CHECK_EQ(status, m.there[k] ? LW_OK : LW_NOT_FOUND); /* never for want of memory */
                CHECK(!m.there[k] || out == m.value[k]);
                m.there[k] = false;
                break;
            default:
                status = lw_map_get_key(map, &keys[k], &out);
                CHECK_EQ(status, m.there[k] ? LW_OK : LW_NOT_FOUND);
                break;
            }
            if (status == LW_NOMEM) {
                failed++;
            } else if (writes) {
                m.there[k] = true;
                m.value[k] = value;
            }
            if (step % 500 == 499) {
                check_model(map, &m, keys);
            }
        }
        lw_map_clear(map);
        CHECK_EQ(lw_map_size(map), 0);
        heap_fail_every(0);
        map_end(map);
        CHECK_EQ(heap_blocks(), blocks);
    }
    CHECK(failed > 0);
}

TEST(every_nth_allocation_fails_u64)
{
    failing_operations(LW_KEY_U64);
}

TEST(every_nth_allocation_fails_bytes)
{
    failing_operations(LW_KEY_BYTES);
}

TEST(every_nth_allocation_fails_custom)
{
    failing_operations(LW_KEY_CUSTOM);
}

TEST(new_fails_at_each_allocation)
{
    lw_map_config config;
    lw_map_t *map = NULL;
    size_t blocks;
    long n;
    memset(&config, 0, sizeof config);
    config.release = owned_release;
    config.ref = owned_ref;
    config.context = things;
    heap_install();
    CHECK(lw_thread_self() != NULL);
    blocks = heap_blocks();
    for (n = 0; map == NULL; n++) {
        heap_fail_after(n);
        map = lw_map_new(&config);
        heap_fail_after(-1);
        CHECK(map != NULL || heap_blocks() == blocks);
        CHECK(n < 100);
    }
    CHECK(n > 1);
    map_end(map);
    CHECK_EQ(heap_blocks(), blocks);
}

TEST(owned_overwrite_without_memory_changes_nothing)
{
    lw_map_t *map;
    uint64_t value;
    long n;
    bool done = false;
    heap_install();
    CHECK(lw_thread_self() != NULL);
    map = owning_map(LW_KEY_U64, false);
    CHECK_EQ(lw_map_put(map, 1, give(0)), LW_OK);
    for (n = 0; !done; n++) {
        lw_status status;
        heap_fail_after(n);
        status = lw_map_put(map, 1, give(1));
        heap_fail_after(-1);
        done = status == LW_EXISTS;
        if (!done) {
            CHECK_EQ(status, LW_NOMEM);
            unref(lw_value_ptr(&things[1])); /* it is the caller's still */
            CHECK(lw_map_get(map, 1, &value));
            CHECK_EQ(value, lw_value_ptr(&things[0]));
            unref(value);
        }
    }
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(things[0].refs, 0);
    CHECK_EQ(things[1].refs, 1);
    map_end(map);
    CHECK_EQ(things[1].refs, 0);
}

TEST(remove_and_clear_need_no_memory)
{
    enum { N = 5000 };
    lw_map_t *map;
    uint64_t i;
    heap_install();
    map = map_of(LW_KEY_U64);
    for (i = 0; i < N; i++) {
        CHECK_EQ(lw_map_put(map, i, i), LW_OK);
    }
    heap_fail_after(0);
    for (i = 0; i < N / 2; i++) {
        CHECK(lw_map_remove(map, i, NULL));
    }
    lw_map_clear(map);
    CHECK_EQ(lw_map_size(map), 0);
    heap_fail_after(-1);
    CHECK_EQ(lw_map_put(map, 1, 1), LW_OK);
    map_end(map);
}

TEST(a_table_that_cannot_grow_still_works)
{
    enum { N = 3000 };
    lw_map_t *map;
    uint64_t i, value;
    size_t buckets;
    heap_install();
    map = map_of(LW_KEY_U64);
    buckets = lw_map_buckets(map);
    for (i = 0; i < N; i++) {
        /* An entry is had, a table is not: it is what is asked for after the entry. */
        heap_fail_after(1);
        CHECK_EQ(lw_map_put(map, i, i), LW_OK);
    }
    CHECK_EQ(lw_map_buckets(map), buckets);
    for (i = 0; i < N; i++) {
        CHECK(lw_map_get(map, i, &value));
        CHECK_EQ(value, i);
    }
    heap_fail_after(-1);
    for (i = 0; i < 2000; i++) {
        CHECK_EQ(lw_map_put(map, N + i, i), LW_OK);
    }
    CHECK(lw_map_buckets(map) > buckets);
    map_end(map);
}

/* ---- Fork ---- */

static lw_map_t *forked_map;

static void use_and_stay(void *arg)
{
    uint64_t i;
    (void)arg;
    for (i = 0; i < 500; i++) {
        CHECK_EQ(lw_map_put(forked_map, i, i), LW_OK);
    }
    support_reach(&reader_in, 1);
    support_await(&reader_out, 1);
}

static void child_uses_map(void *arg)
{
    uint64_t i, value;
    (void)arg;
    for (i = 0; i < 500; i++) {
        CHECK(lw_map_get(forked_map, i, &value));
        CHECK_EQ(value, i);
    }
    for (i = 0; i < 5000; i++) {
        CHECK(lw_map_put(forked_map, i, i + 1) != LW_NOMEM);
    }
    for (i = 0; i < 5000; i++) {
        CHECK(lw_map_remove(forked_map, i, &value));
        CHECK_EQ(value, i + 1);
    }
    CHECK_EQ(lw_map_size(forked_map), 0);
    map_end(forked_map);
}

TEST(forked_child_uses_the_map)
{
    support_thread thread;
    forked_map = map_of(LW_KEY_U64);
    support_start(&thread, use_and_stay, NULL);
    support_await(&reader_in, 1);
    support_fork_ok(child_uses_map, NULL);
    CHECK_EQ(lw_map_size(forked_map), 500);
    support_reach(&reader_out, 1);
    support_join(&thread);
    map_end(forked_map);
}

static int reading_stop;

static void read_all_the_time(void *arg)
{
    uint64_t i = 0, value;
    (void)arg;
    while (!__atomic_load_n(&reading_stop, __ATOMIC_RELAXED)) {
        CHECK(lw_map_get(forked_map, i++ % 500, &value));
    }
}

TEST(fork_while_others_read)
{
    support_thread threads[2];
    uint64_t i;
    int n;
    forked_map = map_of(LW_KEY_U64);
    for (i = 0; i < 500; i++) {
        CHECK_EQ(lw_map_put(forked_map, i, i), LW_OK);
    }
    for (n = 0; n < 2; n++) {
        support_start(&threads[n], read_all_the_time, NULL);
    }
    for (n = 0; n < 10; n++) {
        support_fork_ok(child_uses_map, NULL);
    }
    __atomic_store_n(&reading_stop, 1, __ATOMIC_RELAXED);
    for (n = 0; n < 2; n++) {
        support_join(&threads[n]);
    }
    map_end(forked_map);
}

/* ---- Several threads, exact sums ---- */

enum { THREADS = 4, ADDS = 20000, SUM_KEYS = 13 };
static lw_map_t *sum_map;

static lw_compute compute_add(void *arg, bool present, uint64_t *value)
{
    (void)arg;
    *value = present ? *value + 1 : 1;
    return LW_COMPUTE_PUT;
}

static void add_many(void *arg)
{
    int i, me = *(int *)arg;
    for (i = 0; i < ADDS; i++) {
        uint64_t key = (uint64_t)((i + me) % SUM_KEYS);
        if (i % 2 == 0) {
            CHECK_EQ(lw_map_add(sum_map, key, 1, NULL), LW_OK);
        } else {
            CHECK_EQ(lw_map_compute(sum_map, key, compute_add, NULL), LW_OK);
        }
    }
}

TEST(no_addition_is_lost)
{
    int numbers[THREADS] = {0, 1, 2, 3};
    uint64_t key, value, total = 0;
    sum_map = map_of(LW_KEY_U64);
    support_run(THREADS, add_many, numbers, sizeof numbers[0]);
    for (key = 0; key < SUM_KEYS; key++) {
        CHECK(lw_map_get(sum_map, key, &value));
        total += value;
    }
    CHECK_EQ(total, THREADS * ADDS);
    map_end(sum_map);
}

/* ---- A reader that stands still on an old chain ---- */

static lw_atomic_u32 reader_stands, reader_may_go;

static void visit_and_stand(void *arg, const lw_map_entry *entry)
{
    (void)entry;
    ++*(size_t *)arg;
    lw_atomic_store_release_u32(&reader_stands, 1);
    while (lw_atomic_load_acquire_u32(&reader_may_go) == 0) {
        sched_yield();
    }
}

static void *stand_in_a_scan(void *map)
{
    lw_map_cursor cursor = {0, false};
    size_t *visits = (size_t *)calloc(1, sizeof *visits);
    (void)lw_map_scan((lw_map_t *)map, &cursor, 1, visit_and_stand, visits);
    return visits;
}

/* One resize may happen beside a reader. The next would use the links that the reader walks by, so
 * it has to wait. */
TEST(a_second_resize_waits_for_readers_of_old_chains)
{
    lw_map_config config;
    lw_map_t *map;
    pthread_t reader;
    void *visits;
    uint64_t key, value;
    memset(&config, 0, sizeof config);
    config.stripes = 1;
    map = lw_map_new(&config);
    CHECK_EQ(lw_map_put(map, 0, 0), LW_OK);
    CHECK_EQ(lw_map_buckets(map), 1);
    CHECK_EQ(pthread_create(&reader, NULL, stand_in_a_scan, map), 0);
    while (lw_atomic_load_acquire_u32(&reader_stands) == 0) {
        sched_yield();
    }
    for (key = 1; key < 1000; key++) {
        CHECK_EQ(lw_map_put(map, key, key), LW_OK);
    }
    CHECK_EQ(lw_map_buckets(map), 2);
    lw_atomic_store_release_u32(&reader_may_go, 1);
    CHECK_EQ(pthread_join(reader, &visits), 0);
    CHECK_EQ(*(size_t *)visits, 1); /* the chain as it was: one entry */
    free(visits);
    for (key = 1000; key < 2000; key++) {
        CHECK_EQ(lw_map_put(map, key, key), LW_OK);
    }
    CHECK(lw_map_buckets(map) > 2);
    for (key = 0; key < 2000; key++) {
        CHECK(lw_map_get(map, key, &value));
        CHECK_EQ(value, key);
    }
    map_end(map);
}
