/* SPDX-License-Identifier: BSD-2-Clause */
/* The oracles of the map: every value names its key, iteration is exact, sums are exact, memory
 * comes back. */
#include <latchwork/map.h>

#include "heap.h"
#include "stress.h"

#include <malloc.h>
#include <pthread.h>
#include <string.h>

static lw_map_t *map;

static void begin(lw_key_kind keys)
{
    lw_map_config config;
    memset(&config, 0, sizeof config);
    config.keys = keys;
    map = lw_map_new(&config);
    CHECK(map != NULL);
}

static void end(void)
{
    lw_map_free(map);
    CHECK_EQ(lw_smr_flush(), LW_OK);
}

/* ---- Value identity: a writer overwrites, readers look (F1) ---- */

enum { KEYS = 600, READERS = 3 };

static uint64_t value_of(uint64_t key, support_random *random)
{
    return key << 32 | (support_next(random) & 0xffffffff);
}

static bool names(uint64_t value, uint64_t key)
{
    return value >> 32 == key;
}

static lw_match match_number(void *probe, uint64_t stored_key)
{
    return *(uint64_t *)probe == stored_key ? LW_MATCH_YES : LW_MATCH_NO;
}

/* A key of the kind that is under test; the bytes or the number lie with the caller. */
typedef struct any_key {
    lw_key_t key;
    uint64_t number;
    char text[24];
} any_key;

static lw_key_kind kind;

static const lw_key_t *set_key(any_key *k, uint64_t number)
{
    k->number = number;
    if (kind == LW_KEY_U64) {
        k->key = lw_key_u64(number);
    } else if (kind == LW_KEY_BYTES) {
        int size = snprintf(k->text, sizeof k->text, "%llu", (unsigned long long)number);
        k->key = lw_key_bytes(k->text, (size_t)size);
    } else {
        k->key = lw_key_u64(number);
        k->key.hash = number / 3; /* some collide */
        k->key.match = match_number;
        k->key.probe = &k->number;
    }
    return &k->key;
}

static void write_one(stress_worker *w, uint64_t keys)
{
    uint64_t number = support_below(&w->random, keys);
    uint64_t value = value_of(number, &w->random), old = number << 32;
    any_key k;
    const lw_key_t *key = set_key(&k, number);
    switch (support_below(&w->random, 6)) {
    case 0:
        if (lw_map_remove_key(map, key, &old) == LW_OK) {
            CHECK(names(old, number));
        }
        break;
    case 1:
        if (lw_map_put_if_absent_key(map, key, value, &old) == LW_EXISTS) {
            CHECK(names(old, number));
        }
        break;
    case 2:
        if (lw_map_replace_key(map, key, value, &old) == LW_OK) {
            CHECK(names(old, number));
        }
        break;
    default:
        if (lw_map_put_key(map, key, value, &old) == LW_EXISTS) {
            CHECK(names(old, number));
        }
        break;
    }
}

static void check_name(void *arg, const lw_map_entry *entry)
{
    uint64_t number = entry->key;
    if (kind == LW_KEY_BYTES) {
        char text[24];
        CHECK(entry->size < sizeof text);
        memcpy(text, entry->bytes, entry->size);
        text[entry->size] = '\0';
        number = strtoull(text, NULL, 10);
    }
    CHECK(names(entry->value, number));
    ++*(uint64_t *)arg;
}

static void read_or_write_names(stress_worker *w)
{
    /* The set swells and shrinks with time, so that the table does. */
    uint64_t life = 20000, keys = KEYS;
    while (life-- != 0 && stress_running()) {
        watchdog_tick(w->slot, w->number % (READERS + 1) == 0 ? "writes" : "reads", map);
        if (w->number % (READERS + 1) == 0) {
            if (life % 2000 == 0) {
                keys = support_below(&w->random, 2) == 0 ? KEYS : KEYS * 10;
                if (support_below(&w->random, 4) == 0) {
                    lw_map_clear(map);
                }
            }
            write_one(w, keys);
        } else if (support_below(&w->random, 5000) == 0) {
            lw_map_cursor cursor;
            uint64_t visited = 0;
            memset(&cursor, 0, sizeof cursor);
            while (lw_map_scan(map, &cursor, 10, check_name, &visited)) {
            }
            w->operations += visited;
        } else {
            uint64_t number = support_below(&w->random, KEYS), value;
            any_key k;
            if (lw_map_get_key(map, set_key(&k, number), &value) == LW_OK) {
                CHECK(names(value, number));
                w->operations++;
            }
        }
    }
}

static uint64_t identity(lw_key_kind keys)
{
    uint64_t operations;
    kind = keys;
    begin(keys);
    operations = stress_workers("user", READERS + 1, read_or_write_names);
    end();
    return operations;
}

static uint64_t identity_u64(void)
{
    return identity(LW_KEY_U64);
}

static uint64_t identity_bytes(void)
{
    return identity(LW_KEY_BYTES);
}

static uint64_t identity_custom(void)
{
    return identity(LW_KEY_CUSTOM);
}

/* ---- The same with values that are objects which the map owns ---- */

#define LIVE UINT64_C(0x4c4956454c495645)
#define DEAD UINT64_C(0x4445414444454144)

typedef struct owned {
    uint64_t magic;
    uint64_t key;
    uint64_t refs;
    uint64_t payload; /* plain */
} owned;

static uint64_t owned_made, owned_freed;

static owned *owned_new(uint64_t key)
{
    owned *o = (owned *)malloc(sizeof *o);
    CHECK(o != NULL);
    o->magic = LIVE;
    o->key = key;
    o->refs = 1;
    o->payload = key * 7;
    __atomic_fetch_add(&owned_made, 1, __ATOMIC_RELAXED);
    return o;
}

static void owned_drop(owned *o)
{
    uint64_t refs = __atomic_fetch_sub(&o->refs, 1, __ATOMIC_ACQ_REL);
    CHECK(refs != 0 && refs < 1000);
    if (refs == 1) {
        CHECK_EQ(o->magic, LIVE);
        o->magic = DEAD;
        o->payload = 0;
        free(o);
        __atomic_fetch_add(&owned_freed, 1, __ATOMIC_RELAXED);
    }
}

static void owned_ref(void *context, uint64_t value)
{
    owned *o = (owned *)lw_ptr_value(value);
    (void)context;
    CHECK_EQ(o->magic, LIVE);
    __atomic_fetch_add(&o->refs, 1, __ATOMIC_RELAXED);
}

static __thread unsigned refusals;

static bool owned_release(void *context, uint64_t key, uint64_t value, unsigned what)
{
    (void)context;
    (void)key;
    CHECK_EQ(what, LW_MAP_VALUE);
    CHECK(!lw_smr_in_section());
    if (++refusals % 1000 == 0) {
        return false;
    }
    owned_drop((owned *)lw_ptr_value(value));
    return true;
}

static void check_owned(uint64_t value, uint64_t key)
{
    owned *o = (owned *)lw_ptr_value(value);
    CHECK_EQ(o->magic, LIVE);
    CHECK_EQ(o->key, key);
    CHECK_EQ(o->payload, key * 7);
    owned_drop(o);
}

static void use_owned(stress_worker *w)
{
    uint64_t life = 20000;
    while (life-- != 0 && stress_running()) {
        uint64_t key = support_below(&w->random, KEYS / 10), old;
        watchdog_tick(w->slot, "uses owned values", map);
        switch (w->number % 4 != 0 ? 9 : support_below(&w->random, 5)) {
        case 0: {
            lw_key_t k = lw_key_u64(key);
            if (lw_map_put_key(map, &k, lw_value_ptr(owned_new(key)), &old) == LW_EXISTS) {
                check_owned(old, key);
            }
            break;
        }
        case 1: {
            owned *o = owned_new(key);
            if (lw_map_put_if_absent(map, key, lw_value_ptr(o), &old) == LW_EXISTS) {
                check_owned(old, key);
                owned_drop(o);
            }
            break;
        }
        case 2: {
            owned *o = owned_new(key);
            if (lw_map_replace(map, key, lw_value_ptr(o), &old) == LW_OK) {
                check_owned(old, key);
            } else {
                owned_drop(o);
            }
            break;
        }
        case 3:
            if (lw_map_remove(map, key, &old)) {
                check_owned(old, key);
            }
            break;
        default:
            if (lw_map_get(map, key, &old)) {
                stress_dawdle(&w->random);
                check_owned(old, key);
            }
            break;
        }
        w->operations++;
    }
}

static uint64_t owned_values(void)
{
    lw_map_config config;
    uint64_t operations;
    memset(&config, 0, sizeof config);
    config.ref = owned_ref;
    config.release = owned_release;
    map = lw_map_new(&config);
    CHECK(map != NULL);
    operations = stress_workers("user", 4, use_owned);
    lw_map_free(map);
    while (lw_smr_get_stats().pending != 0) {
        (void)lw_smr_poll();
    }
    CHECK_EQ(owned_made, owned_freed);
    return owned_made != 0 ? operations : 0;
}

/* ---- Iteration: what is there throughout is seen exactly once, whatever the table does ---- */

enum { STAY = 500, SWELL = 6000 };

static void see(void *arg, const lw_map_entry *entry)
{
    CHECK(names(entry->value, entry->key));
    CHECK(entry->key < STAY + SWELL);
    if (entry->key < STAY) {
        ((unsigned char *)arg)[entry->key]++;
    }
}

static void scan_or_resize(stress_worker *w)
{
    uint64_t i;
    if (w->number % 3 != 0) { /* each writer has transient keys of its own */
        uint64_t first = STAY + (uint64_t)(w->number % 3 - 1) * (SWELL / 2);
        while (stress_running()) {
            for (i = first; i < first + SWELL / 2; i++) {
                watchdog_tick(w->slot, "swells", map);
                CHECK_EQ(lw_map_put(map, i, value_of(i, &w->random)), LW_OK);
            }
            for (i = first; i < first + SWELL / 2; i++) {
                watchdog_tick(w->slot, "shrinks", map);
                CHECK(lw_map_remove(map, i, NULL));
            }
        }
        return;
    }
    while (stress_running()) {
        unsigned char times[STAY];
        lw_map_cursor cursor;
        memset(times, 0, sizeof times);
        memset(&cursor, 0, sizeof cursor);
        do {
            watchdog_tick(w->slot, "scans", map);
            stress_dawdle(&w->random);
        } while (lw_map_scan(map, &cursor, 1 + support_below(&w->random, 50), see, times));
        for (i = 0; i < STAY; i++) {
            CHECK_EQ(times[i], 1);
        }
        w->operations++;
    }
}

static uint64_t iteration(void)
{
    support_random random = support_random_new(support_seed(), 0);
    uint64_t i, operations;
    kind = LW_KEY_U64;
    begin(LW_KEY_U64);
    for (i = 0; i < STAY; i++) {
        CHECK_EQ(lw_map_put(map, i, value_of(i, &random)), LW_OK);
    }
    operations = stress_workers("scanner or writer", 3, scan_or_resize);
    CHECK_EQ(lw_map_size(map), STAY);
    end();
    return operations;
}

/* ---- Sums: no addition is lost, while the table is resized ---- */

enum { SUM_KEYS = 40 };

static uint64_t added;

static lw_compute add_one(void *arg, bool present, uint64_t *value)
{
    (void)arg;
    *value = present ? *value + 1 : 1;
    return LW_COMPUTE_PUT;
}

static void add_and_move(stress_worker *w)
{
    uint64_t sum = 0, i;
    while (stress_running()) {
        for (i = 0; i < 2000; i++) {
            uint64_t key = support_below(&w->random, SUM_KEYS), old;
            watchdog_tick(w->slot, "adds", map);
            switch (support_below(&w->random, 3)) {
            case 0:
                CHECK_EQ(lw_map_add(map, key, 1, NULL), LW_OK);
                sum++;
                break;
            case 1:
                CHECK_EQ(lw_map_compute(map, key, add_one, NULL), LW_OK);
                sum++;
                break;
            default: /* takes a sum out, and puts it back somewhere else */
                if (lw_map_remove(map, key, &old)) {
                    CHECK_EQ(lw_map_add(map, support_below(&w->random, SUM_KEYS), old, NULL),
                             LW_OK);
                }
                break;
            }
            w->operations++;
        }
        for (i = 0; i < 2000; i++) {
            CHECK_EQ(lw_map_put(map, 1000000 * (uint64_t)(w->number + 1) + i, 0), LW_OK);
        }
        for (i = 0; i < 2000; i++) {
            CHECK(lw_map_remove(map, 1000000 * (uint64_t)(w->number + 1) + i, NULL));
        }
    }
    __atomic_fetch_add(&added, sum, __ATOMIC_RELAXED);
}

static uint64_t sums(void)
{
    uint64_t operations, key, value, total = 0;
    begin(LW_KEY_U64);
    operations = stress_workers("adder", 4, add_and_move);
    for (key = 0; key < SUM_KEYS; key++) {
        if (lw_map_get(map, key, &value)) {
            total += value;
        }
    }
    CHECK_EQ(total, added);
    end();
    return operations;
}

/* ---- Memory: five million in and out, and the empty map is as small as before (F5) ---- */

enum {
    MEMORY_THREADS = 2,
#ifdef LW_ATOMIC_NOISE /* bytes do not depend on time, and it makes this slow */
    MEMORY_KEYS = 500000
#else
    MEMORY_KEYS = 5000000
#endif
};

static uint64_t memory_count; /* of keys, by all threads */

static void fill(void *arg)
{
    uint64_t me = *(uint64_t *)arg, i, n = memory_count / MEMORY_THREADS;
    watchdog_slot *slot = watchdog_enter("filler", (int)me);
    for (i = 0; i < n; i++) {
        watchdog_tick(slot, "inserts", map);
        CHECK_EQ(lw_map_put(map, i * MEMORY_THREADS + me, i), LW_OK);
    }
    watchdog_leave(slot);
}

static void empty(void *arg)
{
    uint64_t me = *(uint64_t *)arg, i, n = memory_count / MEMORY_THREADS;
    watchdog_slot *slot = watchdog_enter("emptier", (int)me);
    for (i = 0; i < n; i++) {
        watchdog_tick(slot, "removes", map);
        CHECK(lw_map_remove(map, i * MEMORY_THREADS + me, NULL));
    }
    watchdog_leave(slot);
}

/* Each key goes before the next one comes: nothing piles up on the way. */
static void turn_over(void *arg)
{
    uint64_t me = *(uint64_t *)arg, i, n = memory_count / MEMORY_THREADS;
    watchdog_slot *slot = watchdog_enter("turner", (int)me);
    for (i = 0; i < n; i++) {
        watchdog_tick(slot, "inserts and removes", map);
        CHECK_EQ(lw_map_put(map, i * MEMORY_THREADS + me, i), LW_OK);
        CHECK(lw_map_remove(map, i * MEMORY_THREADS + me, NULL));
    }
    watchdog_leave(slot);
}

static void check_memory(const char *what, size_t resident, size_t bytes)
{
    size_t resident_now, bytes_now;
    uint64_t i;
    CHECK_EQ(lw_map_size(map), 0);
    /* A resize that the last removals began is ended by the next writes. */
    for (i = 0; i < 100; i++) {
        CHECK_EQ(lw_map_put(map, i, i), LW_OK);
        CHECK(lw_map_remove(map, i, NULL));
    }
    CHECK_EQ(lw_smr_flush(), LW_OK);
    resident_now = support_resident();
    bytes_now = heap_bytes();
    printf("%s: %zu bytes from the allocator (empty: %zu), %zu KiB resident (empty: %zu)\n", what,
           bytes_now, bytes, resident_now / 1024, resident / 1024);
    fflush(stdout);
    CHECK(bytes_now <= bytes + bytes / 5);
    if (!support_sanitized()) {
        CHECK(resident_now <= resident + resident / 5);
    }
}

static pthread_barrier_t all_here;

static void take_a_record(void *arg)
{
    (void)arg;
    CHECK(lw_thread_self() != NULL);
    pthread_barrier_wait(&all_here); /* all at once, or one record would serve them in turn */
}

static uint64_t memory(void)
{
    uint64_t numbers[MEMORY_THREADS] = {0, 1};
    uint64_t many = support_sanitized() ? 200000 : MEMORY_KEYS;
    size_t resident, bytes;
    /* glibc keeps the last 64 MB of each arena but the main one, whatever was freed there. */
    CHECK(support_sanitized() || mallopt(M_ARENA_MAX, 1) == 1);
    CHECK(lw_thread_self() != NULL);
    begin(LW_KEY_U64);
    /* What threads cost once (records, stacks) is no memory of the map. */
    CHECK_EQ(pthread_barrier_init(&all_here, NULL, MEMORY_THREADS), 0);
    support_run(MEMORY_THREADS, take_a_record, numbers, sizeof numbers[0]);
    memory_count = many / 50;
    support_run(MEMORY_THREADS, turn_over, numbers, sizeof numbers[0]);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    resident = support_resident();
    bytes = heap_bytes();
    memory_count = many;
    support_run(MEMORY_THREADS, fill, numbers, sizeof numbers[0]);
    CHECK_EQ(lw_map_size(map), memory_count);
    printf("full: %zu bytes from the allocator, %zu by lw_map_memory, %zu KiB resident\n",
           heap_bytes(), lw_map_memory(map), support_resident() / 1024);
    support_run(MEMORY_THREADS, empty, numbers, sizeof numbers[0]);
    check_memory("filled and emptied", resident, bytes);
    support_run(MEMORY_THREADS, turn_over, numbers, sizeof numbers[0]);
    check_memory("one in and one out", resident, bytes);
    memory_count = many / 5;
    support_run(MEMORY_THREADS, fill, numbers, sizeof numbers[0]);
    lw_map_clear(map);
    check_memory("filled and cleared", resident, bytes);
    end();
    return 2 * many;
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {
        {"memory", memory}, /* first: nothing has used the allocator yet */
        {"identity_u64", identity_u64},
        {"identity_bytes", identity_bytes},
        {"identity_custom", identity_custom},
        {"owned_values", owned_values},
        {"iteration", iteration},
        {"sums", sums},
    };
    heap_install(); /* what is freed names no key: to read it is seen before it is used anew */
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
