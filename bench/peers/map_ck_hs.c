/* SPDX-License-Identifier: BSD-2-Clause */
/* ck_hs is a set of pointers with one writer at a time: entries of our own, a pthread mutex and
 * ck_epoch. A value is overwritten in its entry, without the lock. */
#include "ck_record.h"

#include <ck_hs.h>
#include <pthread.h>

#define MAP_NAME "ck_hs + pthread + ck_epoch"
#define MAP_ID map_ck_hs

#include "../map_keys.h"

typedef struct map_entry {
    uint64_t key; /* first: a key to look for is a pointer to it */
    uint64_t value;
    ck_epoch_entry_t retired;
} map_entry;

typedef struct map_t {
    BENCH_CACHE_LINE ck_hs_t set;
    BENCH_CACHE_LINE pthread_mutex_t writers;
    unsigned polls;
} map_t;

static void free_table(ck_epoch_entry_t *entry)
{
    free(entry);
}

CK_EPOCH_CONTAINER(map_entry, retired, entry_of)

static void free_entry(ck_epoch_entry_t *entry)
{
    free(entry_of(entry));
}

static void *table_malloc(size_t size)
{
    ck_epoch_entry_t *entry = (ck_epoch_entry_t *)malloc(sizeof *entry + size);
    return entry ? entry + 1 : NULL;
}

static void table_free(void *p, size_t size, bool defer)
{
    ck_epoch_entry_t *entry = (ck_epoch_entry_t *)p - 1;
    (void)size;
    if (defer)
        ck_epoch_call(record, entry, free_table);
    else
        free(entry);
}

static struct ck_malloc table_memory = {table_malloc, NULL, table_free};

static unsigned long entry_hash(const void *entry, unsigned long seed)
{
    (void)seed;
    return map_hash(*(const uint64_t *)entry);
}

static bool entry_same(const void *a, const void *b)
{
    return *(const uint64_t *)a == *(const uint64_t *)b;
}

static __attribute__((constructor)) void make_epoch(void)
{
    ck_epoch_init(&epoch);
}

static map_t *map_make(void)
{
    map_t *m = (map_t *)bench_alloc(sizeof *m);
    BENCH_CHECK(ck_hs_init(&m->set, CK_HS_MODE_OBJECT | CK_HS_MODE_SPMC | CK_HS_MODE_DELETE,
                           entry_hash, entry_same, &table_memory, 16, 0));
    pthread_mutex_init(&m->writers, NULL);
    return m;
}

static void map_free(map_t *m)
{
    ck_hs_iterator_t i = CK_HS_ITERATOR_INITIALIZER;
    void *entry;
    while (ck_hs_next(&m->set, &i, &entry))
        free(entry);
    ck_hs_destroy(&m->set);
    pthread_mutex_destroy(&m->writers);
    free(m);
}

#define map_join() ck_record_join()
#define map_leave() ck_record_leave()
#define map_settle(m) ((void)(m))
#define map_drain() ck_epoch_barrier(record)

/* Without this, what removals leave behind makes the searches longer and longer. */
static inline void map_poll(map_t *m)
{
    pthread_mutex_lock(&m->writers);
    if (++m->polls % 256 == 0)
        BENCH_CHECK(ck_hs_gc(&m->set, 0, 0));
    pthread_mutex_unlock(&m->writers);
    ck_epoch_poll(record);
}

static inline bool map_get(map_t *m, uint64_t key, uint64_t *value)
{
    map_entry *entry;
    ck_epoch_begin(record, NULL);
    entry = (map_entry *)ck_hs_get(&m->set, map_hash(key), &key);
    if (entry)
        *value = __atomic_load_n(&entry->value, __ATOMIC_RELAXED);
    ck_epoch_end(record, NULL);
    return entry != NULL;
}

static inline void map_put(map_t *m, uint64_t key, uint64_t value)
{
    unsigned long hash = map_hash(key);
    map_entry *entry, *fresh = NULL;
    ck_epoch_begin(record, NULL);
    entry = (map_entry *)ck_hs_get(&m->set, hash, &key);
    if (entry)
        __atomic_store_n(&entry->value, value, __ATOMIC_RELEASE);
    ck_epoch_end(record, NULL);
    if (entry)
        return;
    fresh = (map_entry *)malloc(sizeof *fresh);
    BENCH_CHECK(fresh);
    fresh->key = key;
    fresh->value = value;
    pthread_mutex_lock(&m->writers);
    entry = (map_entry *)ck_hs_get(&m->set, hash, &key);
    if (entry)
        __atomic_store_n(&entry->value, value, __ATOMIC_RELEASE);
    else
        BENCH_CHECK(ck_hs_put_unique(&m->set, hash, fresh));
    pthread_mutex_unlock(&m->writers);
    if (entry)
        free(fresh);
}

static inline bool map_remove(map_t *m, uint64_t key)
{
    map_entry *entry;
    pthread_mutex_lock(&m->writers);
    entry = (map_entry *)ck_hs_remove(&m->set, map_hash(key), &key);
    pthread_mutex_unlock(&m->writers);
    if (entry)
        ck_epoch_call(record, &entry->retired, free_entry);
    return entry != NULL;
}

#include "../map_rows.h"
