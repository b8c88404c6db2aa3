/* SPDX-License-Identifier: BSD-2-Clause */
/* A chained hash table with lock-free readers and a lock per stripe of buckets for writers.
 * docs/map.md has the protocol and the argument.
 *
 * A bucket is a pointer to a chain, or LW_MOVED when its entries have gone to the next table. An
 * entry has two sets of links; a table uses one of them, the next table the other, so that entries
 * move between tables while readers of the old chains walk on. The set is used again only after a
 * grace period.
 *
 *   field            written by                               read by
 *   map.table        the thread that ends a resize            all
 *   table.next       the thread that starts a resize, once    all
 *   table.bucket[i]  whoever holds the stripe of i            all
 *   entry.link[k]    whoever holds the entry's stripe         all
 *   entry.value      whoever holds the entry's stripe         all
 *   the rest of an entry is written before it is published
 *
 * A stripe covers the buckets whose number has its low bits, in every table: the smallest table has
 * as many buckets as there are stripes, so an entry has the same stripe in all tables. */
#include <latchwork/map.h>

#include "../base/domain_internal.h"
#include <latchwork/mutex.h>

#include <string.h>

typedef struct lw_entry lw_entry;
struct lw_entry {
    lw_atomic_ptr link[2];
    uint64_t hash;
    lw_atomic_u64 value;
    lw_smr_node node; /* context: the map's shared part, for release */
    /* By kind of key. U64: nothing, the key is the hash undone. CUSTOM: uint64_t. BYTES: size_t,
     * then the bytes. */
};

typedef struct lw_table lw_table;
struct lw_table {
    size_t mask;
    unsigned link;         /* the set of links that this table's chains use */
    lw_atomic_ptr next;    /* the table that entries move to; NULL: none */
    lw_atomic_u64 claimed; /* units of moving work that helpers have taken up */
    lw_atomic_u64 done;    /* units moved; when all are, the next table takes this one's place */
    lw_smr_node node;
    lw_atomic_ptr bucket[1];
};

typedef struct LW_ALIGNED(LW_CACHE_LINE) lw_stripe {
    lw_mutex_t mutex;
    lw_atomic_u64 count; /* entries; written under the mutex */
    lw_atomic_u64 bytes; /* of keys that lie behind entries */
} lw_stripe;

/* What release functions need, and which may outlive the map by a grace period. */
typedef struct lw_map_owner {
    bool (*release)(void *context, uint64_t key, uint64_t value, unsigned what);
    void *context;
    lw_key_kind keys;
    lw_atomic_u64 users; /* the map, and each retired entry */
} lw_map_owner;

struct lw_map {
    lw_atomic_ptr table;
    lw_map_config config;
    lw_map_owner *owner;
    uint64_t seed;
    uint64_t seed2; /* LW_KEY_BYTES */
    size_t min_buckets;
    unsigned stripes;
    lw_stripe *stripe;
    void *stripe_memory;
    lw_mutex_t resize;   /* held by whoever starts a resize; never waited for */
    lw_atomic_u64 grace; /* links may be reused after this; LW_RESIZING until a resize has ended */
};

/* Marks a bucket whose entries are in the next table. The same in every copy of the library, and no
 * entry's address. */
#define LW_MOVED ((void *)(uintptr_t)1)

#define LW_RESIZING UINT64_MAX

/* A write helps to move this many buckets of a resize: enough that a resize ends before the next is
 * due (bench/run.py --vary LW_MAP_HELP=...). */
#ifndef LW_MAP_HELP
#define LW_MAP_HELP 16
#endif

/* The table grows at one entry a bucket on average, and shrinks at one for eight. */
#define LW_MAP_SHRINK_AT 8

/* ---- hashing ---- */

/* The finalizer of MurmurHash3 (A. Appleby, public domain): one to one, so that it can be
 * undone. */
static uint64_t lw_mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    x ^= x >> 33;
    return x;
}

static uint64_t lw_unmix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0x9cb4b2f8129337db); /* the inverses of the two factors mod 2^64 */
    x ^= x >> 33;
    x *= UINT64_C(0x4f74430c22a54005);
    x ^= x >> 33;
    return x;
}

static uint64_t lw_fold(uint64_t a, uint64_t b)
{
#if defined(__SIZEOF_INT128__)
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    uint64_t al = (uint32_t)a, ah = a >> 32, bl = (uint32_t)b, bh = b >> 32;
    uint64_t ll = al * bl, lh = al * bh, hl = ah * bl, hh = ah * bh;
    uint64_t mid = (ll >> 32) + (uint32_t)lh + (uint32_t)hl;
    return (mid << 32 | (uint32_t)ll) ^ (hh + (lh >> 32) + (hl >> 32) + (mid >> 32));
#endif
}

static uint64_t lw_load_u64(const unsigned char *p, size_t n)
{
    uint64_t x = 0;
    memcpy(&x, p, n);
    return x;
}

/* Folded multiplications over words of 8 bytes, both factors keyed by the map's random seed (after
 * the multiply-and-fold idea of Wang Yi's wyhash). Not meant to withstand an attacker who can
 * observe hashes. */
static uint64_t lw_hash_bytes(uint64_t seed, uint64_t seed2, const void *bytes, size_t size)
{
    const unsigned char *p = (const unsigned char *)bytes;
    uint64_t h = seed ^ (uint64_t)size * UINT64_C(0x9e3779b97f4a7c15);
    size_t left = size;
    while (left > 16) {
        h = lw_fold(lw_load_u64(p, 8) ^ h, lw_load_u64(p + 8, 8) ^ seed2);
        p += 16;
        left -= 16;
    }
    if (left > 8) {
        h = lw_fold(lw_load_u64(p, 8) ^ h, lw_load_u64(p + 8, left - 8) ^ seed2);
    } else {
        h = lw_fold((left != 0 ? lw_load_u64(p, left) : 0) ^ h, seed2);
    }
    return lw_mix(h ^ seed);
}

static uint64_t lw_map_hash(const lw_map_t *map, const lw_key_t *key)
{
    switch (map->config.keys) {
    case LW_KEY_U64:
        return lw_mix(key->number ^ map->seed);
    case LW_KEY_BYTES:
        return lw_hash_bytes(map->seed, map->seed2, key->bytes, key->size);
    case LW_KEY_CUSTOM:
        break;
    }
    return lw_mix(key->hash ^ map->seed);
}

static uint64_t lw_reverse_bits(uint64_t x)
{
    x = (x >> 1 & UINT64_C(0x5555555555555555)) | (x & UINT64_C(0x5555555555555555)) << 1;
    x = (x >> 2 & UINT64_C(0x3333333333333333)) | (x & UINT64_C(0x3333333333333333)) << 2;
    x = (x >> 4 & UINT64_C(0x0f0f0f0f0f0f0f0f)) | (x & UINT64_C(0x0f0f0f0f0f0f0f0f)) << 4;
    x = (x >> 8 & UINT64_C(0x00ff00ff00ff00ff)) | (x & UINT64_C(0x00ff00ff00ff00ff)) << 8;
    x = (x >> 16 & UINT64_C(0x0000ffff0000ffff)) | (x & UINT64_C(0x0000ffff0000ffff)) << 16;
    return x >> 32 | x << 32;
}

/* ---- entries ---- */

static uint64_t *lw_entry_number(const lw_entry *e)
{
    return (uint64_t *)(void *)(e + 1);
}

static size_t *lw_entry_size(const lw_entry *e)
{
    return (size_t *)(void *)(e + 1);
}

static unsigned char *lw_entry_bytes(const lw_entry *e)
{
    return (unsigned char *)(void *)(lw_entry_size(e) + 1);
}

static size_t lw_entry_extra(lw_key_kind keys, size_t size)
{
    return keys == LW_KEY_U64      ? 0
           : keys == LW_KEY_CUSTOM ? sizeof(uint64_t)
                                   : sizeof(size_t) + size;
}

static lw_entry *lw_entry_new(const lw_map_t *map, const lw_key_t *key, uint64_t hash,
                              uint64_t value)
{
    lw_key_kind keys = map->config.keys;
    lw_entry *e;
    if (keys == LW_KEY_BYTES && key->size > SIZE_MAX / 2) {
        return NULL;
    }
    e = (lw_entry *)lw_alloc(sizeof *e + lw_entry_extra(keys, key->size));
    if (e == NULL) {
        return NULL;
    }
    e->hash = hash;
    lw_atomic_store_relaxed_u64(&e->value, value);
    if (keys == LW_KEY_CUSTOM) {
        *lw_entry_number(e) = key->number;
    } else if (keys == LW_KEY_BYTES) {
        *lw_entry_size(e) = key->size;
        if (key->size != 0) {
            memcpy(lw_entry_bytes(e), key->bytes, key->size);
        }
    }
    return e;
}

static lw_match lw_entry_match(const lw_map_t *map, const lw_entry *e, const lw_key_t *key)
{
    switch (map->config.keys) {
    case LW_KEY_U64:
        break; /* equal hashes are equal keys */
    case LW_KEY_BYTES:
        return *lw_entry_size(e) == key->size &&
                       (key->size == 0 || memcmp(lw_entry_bytes(e), key->bytes, key->size) == 0)
                   ? LW_MATCH_YES
                   : LW_MATCH_NO;
    case LW_KEY_CUSTOM:
        return key->match(key->probe, *lw_entry_number(e));
    }
    return LW_MATCH_YES;
}

/* ---- giving up what was taken out ---- */

static void lw_owner_drop(lw_map_owner *owner)
{
    if (lw_atomic_sub_acq_rel_u64(&owner->users, 1) == 1) {
        lw_free(owner);
    }
}

/* A value that was overwritten in a map that owns its values. */
typedef struct lw_old_value {
    lw_smr_node node; /* first; context: the owner part */
    uint64_t value;
} lw_old_value;

static bool lw_free_old_value(lw_smr_node *node)
{
    lw_old_value *old = (lw_old_value *)(void *)node;
    lw_map_owner *owner = (lw_map_owner *)node->context;
    /* Only a map with an owner part makes these nodes. NOLINTNEXTLINE(clang-analyzer-*) */
    if (!owner->release(owner->context, 0, old->value, LW_MAP_VALUE)) {
        return false;
    }
    lw_free(old);
    lw_owner_drop(owner);
    return true;
}

static bool lw_free_entry(lw_smr_node *node)
{
    lw_entry *e = (lw_entry *)(void *)((char *)node - offsetof(lw_entry, node));
    lw_map_owner *owner = (lw_map_owner *)node->context;
    if (owner != NULL) {
        /* Only a custom key is a reference. */
        bool custom = owner->keys == LW_KEY_CUSTOM;
        if (!owner->release(owner->context, custom ? *lw_entry_number(e) : 0,
                            lw_atomic_load_relaxed_u64(&e->value),
                            custom ? LW_MAP_KEY | LW_MAP_VALUE : LW_MAP_VALUE)) {
            return false;
        }
        lw_free(e);
        lw_owner_drop(owner);
        return true;
    }
    lw_free(e);
    return true;
}

static void lw_map_dispose(lw_map_t *map, lw_smr_node *node, lw_smr_free_fn free_fn, size_t bytes)
{
    node->context = NULL;
    if (map->owner != NULL) {
        node->context = map->owner;
        (void)lw_atomic_add_relaxed_u64(&map->owner->users, 1);
    }
    if (map->config.exclusive) {
        (void)free_fn(node);
    } else {
        lw_smr_retire_node(node, free_fn, bytes);
    }
}

/* What waits for a grace period counts with what it keeps in memory; nothing of an exclusive map
 * waits. */
static size_t lw_map_weight(const lw_map_t *map, uint64_t key, uint64_t value, unsigned what)
{
    bool asks = map->owner != NULL && !map->config.exclusive && map->config.weigh != NULL;
    return asks ? map->config.weigh(map->config.context, key, value, what) : 0;
}

static void lw_map_dispose_entry(lw_map_t *map, lw_entry *e)
{
    size_t size = map->config.keys == LW_KEY_BYTES ? *lw_entry_size(e) : 0;
    bool custom = map->config.keys == LW_KEY_CUSTOM;
    /* No writer changes the value of an entry that is out of the map. */
    size_t weight =
        lw_map_weight(map, custom ? *lw_entry_number(e) : 0, lw_atomic_load_relaxed_u64(&e->value),
                      custom ? LW_MAP_KEY | LW_MAP_VALUE : LW_MAP_VALUE);
    lw_map_dispose(map, &e->node, lw_free_entry,
                   sizeof *e + lw_entry_extra(map->config.keys, size) + weight);
}

/* ---- tables ---- */

static size_t lw_table_bytes(size_t buckets)
{
    return offsetof(lw_table, bucket) + buckets * sizeof(lw_atomic_ptr);
}

static lw_table *lw_table_new(size_t buckets, unsigned link)
{
    lw_table *t = buckets > SIZE_MAX / 2 / sizeof(lw_atomic_ptr)
                      ? NULL
                      : (lw_table *)lw_alloc(lw_table_bytes(buckets));
    if (t != NULL) {
        t->mask = buckets - 1;
        t->link = link;
    }
    return t;
}

static size_t lw_power_of_two(size_t n)
{
    size_t p = 1;
    while (p < n && p <= SIZE_MAX / 2) {
        p *= 2;
    }
    return p;
}

/* The table and the bucket that `hash` lives in now, and the chain's head. In a section or under
 * the stripe's lock. */
static lw_table *lw_map_bucket(const lw_map_t *map, uint64_t hash, lw_atomic_ptr **bucket,
                               void **head)
{
    /* (1) acquire: pairs with the ends of resizes (8). */
    lw_table *t = (lw_table *)lw_atomic_load_acquire_ptr(&map->table);
    for (;;) {
        *bucket = &t->bucket[hash & t->mask];
        /* (2) acquire: pairs with insertions (5) and removals (6), for the entries; with moves (7),
         * for the chain in the next table. */
        *head = lw_atomic_load_acquire_ptr(*bucket);
        if (LW_LIKELY(*head != LW_MOVED)) {
            return t;
        }
        /* Written before any bucket was marked: (2) and (7) bring it along. */
        t = (lw_table *)lw_atomic_load_relaxed_ptr(&t->next);
    }
}

/* Walks a chain. LW_OK: *found, and *at is where its pointer stands; LW_NOT_FOUND; LW_AGAIN: the
 * key could not tell. */
static lw_status lw_map_find(const lw_map_t *map, const lw_key_t *key, uint64_t hash,
                             const lw_table *t, lw_atomic_ptr *bucket, void *head, lw_entry **found,
                             lw_atomic_ptr **at)
{
    lw_entry *e = (lw_entry *)head;
    *at = bucket;
    while (e != NULL) {
        if (e->hash == hash) {
            lw_match match = lw_entry_match(map, e, key);
            if (match != LW_MATCH_NO) {
                *found = e;
                return match == LW_MATCH_YES ? LW_OK : LW_AGAIN;
            }
        }
        *at = &e->link[t->link];
        /* (3) acquire: pairs with insertions (5), removals (6) and moves (7). */
        e = (lw_entry *)lw_atomic_load_acquire_ptr(*at);
    }
    *found = NULL;
    return LW_NOT_FOUND;
}

static lw_stripe *lw_map_stripe(const lw_map_t *map, uint64_t hash)
{
    return &map->stripe[hash & (map->stripes - 1)];
}

lw_map_t *lw_map_new(const lw_map_config *config)
{
    static const lw_map_config plain = {LW_KEY_U64, 0, 0, 0, NULL, NULL, NULL, NULL, false};
    lw_map_t *map;
    size_t stripes;
    if (config == NULL) {
        config = &plain;
    }
    if ((unsigned)config->keys > LW_KEY_CUSTOM ||
        (config->ref != NULL && config->release == NULL)) {
        return NULL;
    }
    map = (lw_map_t *)lw_alloc(sizeof *map);
    if (map == NULL) {
        return NULL;
    }
    map->config = *config;
    stripes = config->stripes != 0 ? config->stripes : (size_t)lw_processors_() * 4;
    stripes = lw_power_of_two(stripes);
    map->stripes = (unsigned)(stripes > 64 && config->stripes == 0 ? 64
                              : stripes > 65536                    ? 65536
                                                                   : stripes);
    map->seed = lw_mix(config->seed != 0 ? config->seed
                                         : lw_atomic_add_relaxed_u64(&lw_domain_get()->seed, 1));
    map->seed2 =
        lw_mix(map->seed ^ UINT64_C(0xa0761d6478bd642f)) | 1; /* a factor: never 0 by itself */
    map->min_buckets = lw_power_of_two(config->capacity);
    if (map->min_buckets < map->stripes) {
        map->min_buckets = map->stripes;
    }
    map->stripe_memory = lw_alloc(LW_LINES_SIZE(map->stripes * sizeof *map->stripe));
    map->stripe = (lw_stripe *)LW_LINES_ALIGN(map->stripe_memory);
    lw_atomic_store_relaxed_ptr(&map->table, lw_table_new(map->min_buckets, 0));
    if (config->release != NULL) {
        map->owner = (lw_map_owner *)lw_alloc(sizeof *map->owner);
    }
    if (map->stripe_memory == NULL || lw_atomic_load_relaxed_ptr(&map->table) == NULL ||
        (config->release != NULL && map->owner == NULL)) {
        lw_free(map->stripe_memory);
        lw_free(lw_atomic_load_relaxed_ptr(&map->table));
        lw_free(map->owner);
        lw_free(map);
        return NULL;
    }
    if (map->owner != NULL) {
        map->owner->release = config->release;
        map->owner->context = config->context;
        map->owner->keys = config->keys;
        lw_atomic_store_relaxed_u64(&map->owner->users, 1);
    }
    return map;
}

void lw_map_free(lw_map_t *map)
{
    lw_table *t, *next;
    if (map == NULL) {
        return;
    }
    for (t = (lw_table *)lw_atomic_load_acquire_ptr(&map->table); t != NULL; t = next) {
        size_t i;
        next = (lw_table *)lw_atomic_load_relaxed_ptr(&t->next);
        for (i = 0; i <= t->mask; i++) {
            lw_entry *e = (lw_entry *)lw_atomic_load_relaxed_ptr(&t->bucket[i]);
            while (e != NULL && (void *)e != LW_MOVED) {
                lw_entry *after = (lw_entry *)lw_atomic_load_relaxed_ptr(&e->link[t->link]);
                e->node.context = map->owner;
                if (map->owner != NULL) {
                    (void)lw_atomic_add_relaxed_u64(&map->owner->users, 1);
                }
                if (!lw_free_entry(&e->node)) {
                    lw_smr_retire_node(&e->node, lw_free_entry, sizeof *e);
                }
                e = after;
            }
        }
        lw_free(t);
    }
    lw_free(map->stripe_memory);
    if (map->owner != NULL) {
        lw_owner_drop(map->owner);
    }
    lw_free(map);
}

/* ---- resizing ---- */

static uint64_t lw_map_total(const lw_map_t *map)
{
    uint64_t total = 0;
    unsigned i;
    for (i = 0; i < map->stripes; i++) {
        total += lw_atomic_load_relaxed_u64(&map->stripe[i].count);
    }
    return total;
}

/* How many units of work a resize has: the smaller of the two numbers of buckets. */
static size_t lw_map_units(const lw_table *from, const lw_table *to)
{
    return (to->mask < from->mask ? to->mask : from->mask) + 1;
}

/* Moves the entries of one unit, unless that is done: in a growing table one old bucket into
 * several, in a shrinking one several old buckets into one. All of them are of one stripe. `from`
 * and `to` are safe: a section is open. */
static void lw_map_move_unit(lw_table *from, lw_table *to, size_t unit)
{
    size_t step = lw_map_units(from, to);
    size_t i;
    /* New chains first, through links that no reader of the old ones uses; nobody reads them before
     * the marks ... */
    for (i = unit; i <= from->mask; i += step) {
        lw_entry *e = (lw_entry *)lw_atomic_load_relaxed_ptr(&from->bucket[i]);
        while (e != NULL) {
            lw_atomic_ptr *bucket = &to->bucket[e->hash & to->mask];
            lw_atomic_store_relaxed_ptr(&e->link[to->link], lw_atomic_load_relaxed_ptr(bucket));
            lw_atomic_store_relaxed_ptr(bucket, e);
            e = (lw_entry *)lw_atomic_load_relaxed_ptr(&e->link[from->link]);
        }
    }
    for (i = unit; i <= from->mask; i += step) {
        /* ... (7) release: pairs with (2): who sees the mark finds the new chains, and the next
         * table. */
        lw_atomic_store_release_ptr(&from->bucket[i], LW_MOVED);
    }
}

static bool lw_free_table(lw_smr_node *node)
{
    lw_free((char *)node - offsetof(lw_table, node));
    return true;
}

/* Does one unit of the resize that is under way, if one is and the unit is not done. Ends the
 * resize with the last. */
static void lw_map_help_unit(lw_map_t *map, size_t unit)
{
    lw_stripe *stripe = &map->stripe[unit & (map->stripes - 1)];
    lw_table *from, *to, *left = NULL;
    lw_mutex_lock(&stripe->mutex);
    /* Another thread may end the resize, and a new one may be under way by now: then this helps
     * that one. */
    lw_smr_enter();
    from = (lw_table *)lw_atomic_load_acquire_ptr(&map->table);
    /* (9) acquire: pairs with (10), for the next table's first fields. */
    to = (lw_table *)lw_atomic_load_acquire_ptr(&from->next);
    if (to != NULL && unit < lw_map_units(from, to) &&
        lw_atomic_load_relaxed_ptr(&from->bucket[unit]) != LW_MOVED) {
        lw_map_move_unit(from, to, unit);
        /* Acquire and release: whoever does the last unit has seen all moves, and (8) publishes
         * them. */
        if (lw_atomic_add_acq_rel_u64(&from->done, 1) + 1 == lw_map_units(from, to)) {
            /* (8) release: pairs with (1). */
            lw_atomic_store_release_ptr(&map->table, to);
            left = from;
        }
    }
    lw_smr_exit();
    lw_mutex_unlock(&stripe->mutex);
    if (left != NULL) {
        /* Readers of the old chains must be gone before the next resize uses their links. */
        lw_atomic_store_release_u64(&map->grace, lw_smr_grace_start());
        lw_smr_retire_node(&left->node, lw_free_table, lw_table_bytes(left->mask + 1));
    }
}

/* Does up to `units` units of the resize that is under way, if one is. Waits for stripes, so that
 * it must not be called with one held. Returns whether one was. */
static bool lw_map_help(lw_map_t *map, uint64_t units)
{
    lw_table *from, *to;
    uint64_t all, first, unit;
    lw_smr_enter();
    from = (lw_table *)lw_atomic_load_acquire_ptr(&map->table);
    to = (lw_table *)lw_atomic_load_acquire_ptr(&from->next);
    if (to == NULL) {
        lw_smr_exit();
        return false;
    }
    all = lw_map_units(from, to);
    /* A claim is a hint, so that helpers do not crowd. If all are claimed and some not done, a
     * helper is late, or will never come back (it was ended while it waited; a fork): the next
     * round of claims passes over what is done. */
    if (lw_atomic_load_relaxed_u64(&from->claimed) >= all) {
        lw_atomic_store_relaxed_u64(&from->claimed, 0);
    }
    first = lw_atomic_add_relaxed_u64(&from->claimed, units);
    lw_smr_exit();
    for (unit = first; unit < first + units && unit < all; unit++) {
        lw_map_help_unit(map, (size_t)unit);
    }
    return true;
}

/* Starts a resize to fit the number of entries, if none is under way and the links are free. */
static void lw_map_start_resize(lw_map_t *map)
{
    lw_table *from, *to;
    uint64_t total, grace;
    size_t wanted;
    if (!lw_mutex_trylock(&map->resize)) {
        return;
    }
    /* (11) acquire: pairs with the store after (8): the grace period is of the table seen next. */
    grace = lw_atomic_load_acquire_u64(&map->grace);
    if (grace != LW_RESIZING && (grace == 0 || lw_smr_grace_passed(grace))) {
        /* No resize can start or end now: this table stays. */
        from = (lw_table *)lw_atomic_load_acquire_ptr(&map->table);
        total = lw_map_total(map);
        wanted = lw_power_of_two((size_t)(total > from->mask ? total : total * 2));
        if (total <= from->mask && wanted > from->mask + 1) {
            wanted = from->mask + 1; /* called to shrink, and it filled up meanwhile */
        }
        if (wanted < map->min_buckets) {
            wanted = map->min_buckets;
        }
        if (wanted != from->mask + 1) {
            to = lw_table_new(wanted, from->link ^ 1);
            if (to !=
                NULL) { /* without memory the chains get longer, and the next write tries again */
                lw_atomic_store_relaxed_u64(&map->grace, LW_RESIZING);
                /* (10) release: pairs with (9). */
                lw_atomic_store_release_ptr(&from->next, to);
            }
        }
    }
    lw_mutex_unlock(&map->resize);
}

/* After a write, with nothing held: helps a resize, or starts one. `count`: entries of the stripe
 * written to. */
static void lw_map_maintain(lw_map_t *map, uint64_t count)
{
    lw_table *t;
    size_t buckets, share;
    bool resizing;
    lw_smr_enter();
    t = (lw_table *)lw_atomic_load_acquire_ptr(&map->table);
    buckets = t->mask + 1;
    resizing = lw_atomic_load_relaxed_ptr(&t->next) != NULL;
    lw_smr_exit();
    if (LW_UNLIKELY(resizing)) {
        (void)lw_map_help(map, LW_MAP_HELP);
        return;
    }
    /* A look at one stripe first; the sum over all only if it says so. */
    share = buckets / map->stripes;
    if (LW_UNLIKELY(count > share)) {
        if (lw_map_total(map) > buckets) {
            lw_map_start_resize(map);
        }
    } else if (LW_UNLIKELY(buckets > map->min_buckets && count * LW_MAP_SHRINK_AT <= share)) {
        if (lw_map_total(map) * LW_MAP_SHRINK_AT <= buckets) {
            lw_map_start_resize(map);
        }
    }
}

/* ---- reading ---- */

lw_status lw_map_get_key(lw_map_t *map, const lw_key_t *key, uint64_t *value)
{
    uint64_t hash = lw_map_hash(map, key);
    lw_atomic_ptr *bucket, *at;
    void *head;
    lw_table *t;
    lw_entry *e;
    lw_status status;
    lw_smr_enter();
    t = lw_map_bucket(map, hash, &bucket, &head);
    status = lw_map_find(map, key, hash, t, bucket, head, &e, &at);
    if (status == LW_OK && value != NULL) {
        /* (4) acquire: pairs with (12), for what a pointer points to. */
        *value = lw_atomic_load_acquire_u64(&e->value);
        if (map->config.ref != NULL) {
            map->config.ref(map->config.context, *value);
        }
    }
    lw_smr_exit();
    return status;
}

/* ---- writing ---- */

typedef enum lw_map_op {
    LW_MAP_PUT,
    LW_MAP_PUT_IF_ABSENT,
    LW_MAP_REPLACE,
    LW_MAP_COMPARE_REPLACE,
    LW_MAP_REMOVE,
    LW_MAP_COMPARE_REMOVE,
    LW_MAP_ADD,
} lw_map_op;

static bool lw_map_op_inserts(lw_map_op op)
{
    return op == LW_MAP_PUT || op == LW_MAP_PUT_IF_ABSENT || op == LW_MAP_ADD;
}

/* One write under the stripe's lock. What it may need is allocated before the lock is taken; a
 * first look without it tells what. */
static lw_status lw_map_write(lw_map_t *map, lw_map_op op, const lw_key_t *key, uint64_t value,
                              uint64_t expected, uint64_t *out)
{
    uint64_t hash = lw_map_hash(map, key);
    lw_stripe *stripe = lw_map_stripe(map, hash);
    bool owned = map->owner != NULL;
    bool inserts = lw_map_op_inserts(op);
    /* In a map that owns its values, one that is overwritten is retired, and needs a node for
     * that. */
    bool needs_node = owned && !map->config.exclusive &&
                      (op == LW_MAP_PUT || op == LW_MAP_REPLACE || op == LW_MAP_COMPARE_REPLACE);
    lw_entry *fresh = NULL, *removed = NULL;
    lw_old_value *old_node = NULL;
    uint64_t old = 0, count = 0;
    bool overwritten = false, inserted = false;
    lw_status status;

    (void)lw_thread_self(); /* a thread's first section allocates: not under a lock */
    if (op == LW_MAP_PUT_IF_ABSENT) {
        status = lw_map_get_key(map, key, out);
        if (status != LW_NOT_FOUND) {
            return status == LW_OK ? LW_EXISTS : status;
        }
    }
    if (op == LW_MAP_PUT || op == LW_MAP_PUT_IF_ABSENT) {
        status = op == LW_MAP_PUT ? lw_map_get_key(map, key, NULL) : LW_NOT_FOUND;
        if (status == LW_NOT_FOUND) {
            fresh = lw_entry_new(map, key, hash, value);
            if (fresh == NULL) {
                return LW_NOMEM;
            }
        } else if (status == LW_AGAIN) {
            return LW_AGAIN;
        }
    }
    for (;;) {
        lw_atomic_ptr *bucket, *at;
        lw_table *t;
        lw_entry *e;
        void *head;
        if (needs_node && old_node == NULL && fresh == NULL) {
            old_node = (lw_old_value *)lw_alloc(sizeof *old_node);
            if (old_node == NULL) {
                return LW_NOMEM;
            }
        }
        lw_mutex_lock(&stripe->mutex);
        lw_smr_enter(); /* for the older of two tables, which another thread may retire meanwhile */
        t = lw_map_bucket(map, hash, &bucket, &head);
        status = lw_map_find(map, key, hash, t, bucket, head, &e, &at);
        if (status == LW_NOT_FOUND && inserts) {
            if (fresh == NULL) {
                lw_smr_exit();
                lw_mutex_unlock(&stripe->mutex);
                fresh = lw_entry_new(map, key, hash, value);
                if (fresh == NULL) {
                    status = LW_NOMEM;
                    break;
                }
                continue;
            }
            lw_atomic_store_relaxed_ptr(&fresh->link[t->link], head);
            /* (5) release: pairs with (2) and (3). */
            lw_atomic_store_release_ptr(bucket, fresh);
            fresh = NULL;
            inserted = true;
            count = lw_atomic_load_relaxed_u64(&stripe->count) + 1;
            lw_atomic_store_relaxed_u64(&stripe->count, count);
            if (map->config.keys == LW_KEY_BYTES) {
                lw_atomic_store_relaxed_u64(&stripe->bytes,
                                            lw_atomic_load_relaxed_u64(&stripe->bytes) + key->size);
            }
            old = value;
            status = LW_OK;
        } else if (status == LW_OK) {
            bool overwrite = op == LW_MAP_PUT || op == LW_MAP_REPLACE;
            old = lw_atomic_load_relaxed_u64(&e->value);
            if (op == LW_MAP_COMPARE_REPLACE || op == LW_MAP_COMPARE_REMOVE) {
                if (old != expected) {
                    status = LW_MISMATCH;
                }
                overwrite = status == LW_OK && op == LW_MAP_COMPARE_REPLACE;
            }
            if (overwrite && needs_node && old_node == NULL) {
                lw_smr_exit();
                lw_mutex_unlock(&stripe->mutex);
                old_node = (lw_old_value *)lw_alloc(sizeof *old_node);
                if (old_node == NULL) {
                    status = LW_NOMEM;
                    break;
                }
                continue;
            }
            if (overwrite) {
                /* (12) release: pairs with (4). */
                lw_atomic_store_release_u64(&e->value, value);
                overwritten = true;
            } else if (op == LW_MAP_ADD) {
                old += value;
                lw_atomic_store_release_u64(&e->value, old);
            } else if (status == LW_OK && (op == LW_MAP_REMOVE || op == LW_MAP_COMPARE_REMOVE)) {
                /* (6) release: as (5); the entry's own links stay for readers that stand on it. */
                lw_atomic_store_release_ptr(at, lw_atomic_load_relaxed_ptr(&e->link[t->link]));
                removed = e;
                count = lw_atomic_load_relaxed_u64(&stripe->count) - 1;
                lw_atomic_store_relaxed_u64(&stripe->count, count);
                if (map->config.keys == LW_KEY_BYTES) {
                    lw_atomic_store_relaxed_u64(
                        &stripe->bytes, lw_atomic_load_relaxed_u64(&stripe->bytes) - key->size);
                }
            }
            if (status == LW_OK && (op == LW_MAP_PUT || op == LW_MAP_PUT_IF_ABSENT)) {
                status = LW_EXISTS;
            }
        }
        if (out != NULL && !(inserted && op != LW_MAP_ADD) &&
            (status == LW_OK || status == LW_EXISTS)) {
            *out = old;
            if (map->config.ref != NULL) {
                map->config.ref(map->config.context, old);
            }
        }
        lw_smr_exit();
        lw_mutex_unlock(&stripe->mutex);
        break;
    }
    lw_free(fresh);
    if (inserted || removed != NULL) {
        lw_map_maintain(map, count);
    }
    if (removed != NULL) {
        lw_map_dispose_entry(map, removed);
    }
    if (overwritten && old_node != NULL) {
        old_node->value = old;
        lw_map_dispose(map, &old_node->node, lw_free_old_value,
                       sizeof *old_node + lw_map_weight(map, 0, old, LW_MAP_VALUE));
        old_node = NULL;
    } else if (overwritten && owned) { /* exclusive */
        (void)map->owner->release(map->owner->context, 0, old, LW_MAP_VALUE);
    }
    lw_free(old_node);
    return status;
}

lw_status lw_map_put_key(lw_map_t *map, const lw_key_t *key, uint64_t value, uint64_t *old)
{
    return lw_map_write(map, LW_MAP_PUT, key, value, 0, old);
}

lw_status lw_map_put_if_absent_key(lw_map_t *map, const lw_key_t *key, uint64_t value,
                                   uint64_t *present)
{
    return lw_map_write(map, LW_MAP_PUT_IF_ABSENT, key, value, 0, present);
}

lw_status lw_map_replace_key(lw_map_t *map, const lw_key_t *key, uint64_t value, uint64_t *old)
{
    return lw_map_write(map, LW_MAP_REPLACE, key, value, 0, old);
}

lw_status lw_map_compare_replace_key(lw_map_t *map, const lw_key_t *key, uint64_t expected,
                                     uint64_t value)
{
    return lw_map_write(map, LW_MAP_COMPARE_REPLACE, key, value, expected, NULL);
}

lw_status lw_map_remove_key(lw_map_t *map, const lw_key_t *key, uint64_t *old)
{
    return lw_map_write(map, LW_MAP_REMOVE, key, 0, 0, old);
}

lw_status lw_map_compare_remove_key(lw_map_t *map, const lw_key_t *key, uint64_t expected)
{
    return lw_map_write(map, LW_MAP_COMPARE_REMOVE, key, 0, expected, NULL);
}

lw_status lw_map_add_key(lw_map_t *map, const lw_key_t *key, uint64_t delta, uint64_t *sum)
{
    if (map->owner != NULL) {
        return LW_INVALID;
    }
    return lw_map_write(map, LW_MAP_ADD, key, delta, 0, sum);
}

lw_status lw_map_compute_key(lw_map_t *map, const lw_key_t *key, lw_compute_fn fn, void *arg)
{
    if (map->owner != NULL) {
        return LW_INVALID;
    }
    for (;;) {
        uint64_t value = 0, old;
        lw_status status = lw_map_get_key(map, key, &value);
        bool present = status == LW_OK;
        if (status == LW_AGAIN) {
            return status;
        }
        old = value;
        switch (fn(arg, present, &value)) {
        case LW_COMPUTE_KEEP:
            return LW_OK;
        case LW_COMPUTE_PUT:
            status = present ? lw_map_compare_replace_key(map, key, old, value)
                             : lw_map_put_if_absent_key(map, key, value, NULL);
            break;
        case LW_COMPUTE_REMOVE:
            status = present ? lw_map_compare_remove_key(map, key, old) : LW_OK;
            break;
        default:
            return LW_INVALID;
        }
        if (status == LW_OK || status == LW_NOMEM || status == LW_AGAIN) {
            return status;
        }
    }
}

/* ---- the whole map ---- */

size_t lw_map_size(const lw_map_t *map)
{
    return (size_t)lw_map_total(map);
}

void lw_map_clear(lw_map_t *map)
{
    lw_smr_node *removed = NULL;
    unsigned i;
    (void)lw_thread_self(); /* as in lw_map_write */
    for (i = 0; i < map->stripes; i++) {
        lw_stripe *stripe = &map->stripe[i];
        lw_table *t;
        lw_mutex_lock(&stripe->mutex);
        lw_smr_enter(); /* for the older of two tables, which another thread may retire meanwhile */
        for (t = (lw_table *)lw_atomic_load_acquire_ptr(&map->table); t != NULL;
             t = (lw_table *)lw_atomic_load_acquire_ptr(&t->next)) {
            size_t b;
            for (b = i; b <= t->mask; b += map->stripes) {
                lw_entry *e = (lw_entry *)lw_atomic_load_relaxed_ptr(&t->bucket[b]);
                if (e == NULL || (void *)e == LW_MOVED) {
                    continue;
                }
                lw_atomic_store_release_ptr(&t->bucket[b], NULL);
                for (; e != NULL; e = (lw_entry *)lw_atomic_load_relaxed_ptr(&e->link[t->link])) {
                    e->node.next = removed;
                    removed = &e->node;
                }
            }
        }
        lw_atomic_store_relaxed_u64(&stripe->count, 0);
        lw_atomic_store_relaxed_u64(&stripe->bytes, 0);
        lw_smr_exit();
        lw_mutex_unlock(&stripe->mutex);
    }
    /* Released when all is cleared: what a finalizer puts in stays. */
    while (removed != NULL) {
        lw_smr_node *next = removed->next;
        lw_map_dispose_entry(map, (lw_entry *)(void *)((char *)removed - offsetof(lw_entry, node)));
        removed = next;
    }
    /* What the writes that emptied the map one by one would have done. */
    lw_map_start_resize(map);
    while (lw_map_help(map, 1024)) {
    }
}

size_t lw_map_buckets(const lw_map_t *map)
{
    size_t buckets;
    lw_smr_enter();
    buckets = ((lw_table *)lw_atomic_load_acquire_ptr(&map->table))->mask + 1;
    lw_smr_exit();
    return buckets;
}

size_t lw_map_memory(const lw_map_t *map)
{
    size_t bytes = sizeof *map + map->stripes * sizeof *map->stripe;
    uint64_t keys = 0;
    lw_table *t;
    unsigned i;
    if (map->owner != NULL) {
        bytes += sizeof *map->owner;
    }
    lw_smr_enter();
    for (t = (lw_table *)lw_atomic_load_acquire_ptr(&map->table); t != NULL;
         t = (lw_table *)lw_atomic_load_acquire_ptr(&t->next)) {
        bytes += lw_table_bytes(t->mask + 1);
    }
    lw_smr_exit();
    for (i = 0; i < map->stripes; i++) {
        keys += lw_atomic_load_relaxed_u64(&map->stripe[i].bytes);
    }
    return bytes + (size_t)keys +
           lw_map_size(map) * (sizeof(lw_entry) + lw_entry_extra(map->config.keys, 0));
}

bool lw_map_scan(lw_map_t *map, lw_map_cursor *cursor, size_t wanted,
                 void (*visit)(void *arg, const lw_map_entry *entry), void *arg)
{
    size_t visited = 0;
    /* The position is a hash with its bits reversed. A bucket of a table of any size holds one
     * interval of these, so a step covers what is left of an interval, whatever the table's size is
     * by then, and no two steps overlap. */
    while (!cursor->done && visited < wanted) {
        uint64_t from = cursor->position, rest;
        lw_atomic_ptr *bucket;
        lw_table *t;
        lw_entry *e;
        void *head;
        lw_smr_enter();
        t = lw_map_bucket(map, lw_reverse_bits(from), &bucket, &head);
        for (e = (lw_entry *)head; e != NULL;
             e = (lw_entry *)lw_atomic_load_acquire_ptr(&e->link[t->link])) {
            if (lw_reverse_bits(e->hash) >= from) {
                lw_map_entry entry = {0, NULL, 0, 0, 0};
                switch (map->config.keys) {
                case LW_KEY_U64:
                    entry.key = lw_unmix(e->hash) ^ map->seed;
                    break;
                case LW_KEY_BYTES:
                    entry.bytes = lw_entry_bytes(e);
                    entry.size = *lw_entry_size(e);
                    break;
                case LW_KEY_CUSTOM:
                    entry.key = *lw_entry_number(e);
                    entry.hash = lw_unmix(e->hash) ^ map->seed;
                    break;
                }
                entry.value = lw_atomic_load_acquire_u64(&e->value);
                visit(arg, &entry);
                visited++;
            }
        }
        rest = ~lw_reverse_bits(t->mask); /* the low bits of positions in this bucket */
        lw_smr_exit();
        cursor->position = (from | rest) + 1;
        cursor->done = cursor->position == 0;
    }
    return !cursor->done;
}
