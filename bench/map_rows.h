/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of one hash map from 64-bit keys to 64-bit values. An adapter defines, before it
 * includes this file,
 *   MAP_NAME, MAP_ID   the implementation's name, and the same as a C identifier
 *   map_t *map_make(void), map_free(map_t *)       an empty one; drop one with its entries
 *   map_join(), map_leave()                        for each thread
 *   bool map_get(map_t *, uint64_t key, uint64_t *value)
 *   void map_put(map_t *, uint64_t key, uint64_t value)      insert or overwrite
 *   bool map_remove(map_t *, uint64_t key)
 *   map_poll(m)        once after every 64 removals; may free what was removed, and clean up
 *   map_settle(m)      after a fill: whatever it has others finish is done
 *   map_drain()        all that this thread removed has been freed, and a shrink has ended
 * and gets register_MAP_ID(). Every reader may meet every writer: the adapter adds what its map
 * lacks for that (a writers' lock, a read section). */
#include "map_keys.h"

typedef struct map_shared {
    map_t *map;
    size_t entries;
} map_shared;

typedef struct map_user {
    map_shared *shared;
    size_t next; /* where in the sequence of keys this thread is */
    uint64_t fresh;
} map_user;

static void *map_setup_entries(size_t entries)
{
    map_shared *s = (map_shared *)bench_alloc(sizeof *s);
    size_t i;
    map_join();
    s->map = map_make();
    s->entries = entries;
    for (i = 0; i < entries; i++)
        map_put(s->map, map_key(i), map_value(map_key(i)));
    map_settle(s->map);
    map_leave();
    return s;
}

static void *map_setup_none(int threads)
{
    (void)threads;
    return map_setup_entries(0);
}

static void *map_setup_small(int threads)
{
    (void)threads;
    return map_setup_entries(MAP_SMALL);
}

static void *map_setup_large(int threads)
{
    (void)threads;
    return map_setup_entries(MAP_LARGE);
}

/* Between two sizes of a table: neither one more entry nor one less makes it grow or shrink. */
static void *map_setup_middle(int threads)
{
    (void)threads;
    return map_setup_entries(MAP_LARGE / 4 * 3);
}

static void map_teardown(void *shared)
{
    map_shared *s = (map_shared *)shared;
    map_join();
    map_free(s->map);
    map_leave();
    free(s);
}

static void *map_begin(void *shared, int index)
{
    map_user *u = (map_user *)bench_alloc(sizeof *u);
    u->shared = (map_shared *)shared;
    u->next = (size_t)index * (MAP_LARGE / 2);
    u->fresh = ((uint64_t)index + 1) << 40;
    map_join();
    return u;
}

static void map_end(void *shared, void *local)
{
    (void)shared;
    map_leave();
    free(local);
}

static uint64_t map_hit(void *local, size_t n)
{
    map_user *u = (map_user *)local;
    size_t mask = u->shared->entries - 1, i;
    uint64_t sum = 0;
    for (i = 0; i < n; i++) {
        uint64_t value = 0;
        BENCH_CHECK(map_get(u->shared->map, map_keys.shuffled[u->next++ & mask], &value));
        sum += value;
    }
    return sum;
}

static uint64_t map_miss(void *local, size_t n)
{
    map_user *u = (map_user *)local;
    size_t mask = u->shared->entries - 1, i;
    uint64_t sum = 0;
    for (i = 0; i < n; i++) {
        uint64_t value = 0;
        sum += map_get(u->shared->map, ~map_keys.shuffled[u->next++ & mask], &value);
    }
    BENCH_CHECK(sum == 0);
    return sum;
}

static uint64_t map_overwrite(void *local, size_t n)
{
    map_user *u = (map_user *)local;
    size_t mask = u->shared->entries - 1, i;
    for (i = 0; i < n; i++)
        map_put(u->shared->map, map_keys.shuffled[u->next++ & mask], i);
    return n;
}

static uint64_t map_mixed(void *local, size_t n)
{
    map_user *u = (map_user *)local;
    size_t mask = u->shared->entries - 1, i;
    uint64_t sum = 0;
    for (i = 0; i < n; i++) {
        uint64_t key = map_keys.shuffled[u->next++ & mask], value = 0;
        if (i % 10 == 9)
            map_put(u->shared->map, key, i);
        else
            BENCH_CHECK(map_get(u->shared->map, key, &value));
        sum += value;
    }
    return sum;
}

static uint64_t map_put_remove(void *local, size_t n)
{
    map_user *u = (map_user *)local;
    size_t i;
    for (i = 0; i < n; i++) {
        uint64_t key = map_key(u->fresh++);
        map_put(u->shared->map, key, i);
        BENCH_CHECK(map_remove(u->shared->map, key));
        if (i % 64 == 63)
            map_poll(u->shared->map);
    }
    return n;
}

static uint64_t map_fill(void *local, size_t n)
{
    map_t *map = map_make();
    size_t i;
    (void)local;
    for (i = 0; i < n; i++)
        map_put(map, map_key(i), i);
    map_free(map);
    return n;
}

/* What an entry takes, and what is left of a map that has become empty. */
static void map_end_weigh(void *shared, void *local)
{
    size_t before, full, empty, i;
    map_t *map;
    map_drain();
    before = bench_bytes_in_use();
    map = map_make();
    for (i = 0; i < MAP_LARGE; i++)
        map_put(map, map_key(i), i);
    map_settle(map);
    full = bench_bytes_in_use();
    for (i = 0; i < MAP_LARGE; i++) {
        BENCH_CHECK(map_remove(map, map_key(i)));
        if (i % 64 == 63)
            map_poll(map);
    }
    map_drain();
    empty = bench_bytes_in_use();
    gb_counter("bytes_an_entry", (double)(full - before) / MAP_LARGE);
    gb_counter("bytes_when_empty_again", (double)empty - (double)before);
    map_free(map);
    map_end(shared, local);
}

BENCH_REGISTER(MAP_ID)(void)
{
    gb_row row = {"map",           "get of 1024 keys", MAP_NAME,  1,       1024,
                  map_setup_small, map_teardown,       map_begin, map_end, map_hit};
    map_keys_init();
    gb_add(&row);
    row.setup = map_setup_large;
    row.row = "get of 65536 keys";
    gb_add(&row);
    row.threads = 2;
    gb_add(&row);
    row.row = "9 gets to an overwrite";
    row.body = map_mixed;
    gb_add(&row);
    row.threads = 1;
    row.row = "get of absent keys";
    row.body = map_miss;
    gb_add(&row);
    row.row = "overwrite";
    row.body = map_overwrite;
    gb_add(&row);
    row.threads = 2;
    gb_add(&row);
    row.row = "put and remove";
    row.body = map_put_remove;
    row.setup = map_setup_middle;
    gb_add(&row);
    row.threads = 1;
    gb_add(&row);
    row.setup = map_setup_none;
    row.row = "fill an empty map and drop it";
    row.body = map_fill;
    row.end = map_end_weigh;
    row.batch = MAP_LARGE;
    gb_add(&row);
}
