/* SPDX-License-Identifier: BSD-2-Clause */
/* Use after free: what is reclaimed is poisoned and used again, and readers look twice in one
 * section. */
#include <latchwork/smr.h>

#include "stress.h"

#include <string.h>

enum { THREADS = 5, SLOTS = 8 };

#define LIVE UINT64_C(0x4c4956454c495645)
#define DEAD UINT64_C(0x4445414444454144)

typedef struct object {
    lw_smr_node node;
    lw_atomic_u64 magic;
    lw_atomic_u64 serial; /* of this life */
    struct object *next_free;
    uint64_t payload; /* plain: ThreadSanitizer sees a free that does not happen after the reads */
} object;

static lw_atomic_ptr slots[SLOTS];
static uint64_t serials, retired, reclaimed;

/* Reclaimed objects, to be used again at once: that shows a reader that is still there. */
static pthread_mutex_t pool_mutex = PTHREAD_MUTEX_INITIALIZER;
static object *pool;

static object *fresh(void)
{
    object *o;
    pthread_mutex_lock(&pool_mutex);
    o = pool;
    if (o != NULL) {
        pool = o->next_free;
    }
    pthread_mutex_unlock(&pool_mutex);
    if (o == NULL) {
        o = (object *)calloc(1, sizeof *o);
        CHECK(o != NULL);
    }
    lw_atomic_store_relaxed_u64(&o->serial, __atomic_add_fetch(&serials, 1, __ATOMIC_RELAXED));
    o->payload = lw_atomic_load_relaxed_u64(&o->serial);
    lw_atomic_store_relaxed_u64(&o->magic, LIVE);
    return o;
}

static void reclaim(object *o)
{
    CHECK_EQ(lw_atomic_exchange_relaxed_u64(&o->magic, DEAD), LIVE);
    o->payload = 0;
    pthread_mutex_lock(&pool_mutex);
    o->next_free = pool;
    pool = o;
    pthread_mutex_unlock(&pool_mutex);
    __atomic_fetch_add(&reclaimed, 1, __ATOMIC_RELAXED);
}

static void empty_pool(void)
{
    while (pool != NULL) {
        object *next = pool->next_free;
        free(pool);
        pool = next;
    }
}

static void reclaim_ptr(void *ptr)
{
    CHECK(!lw_smr_in_section());
    reclaim((object *)ptr);
}

static bool reclaim_node(lw_smr_node *node)
{
    object *o = (object *)(void *)node;
    CHECK(!lw_smr_in_section());
    /* Now and then "not on this thread". */
    if (lw_atomic_load_relaxed_u64(&o->serial) % 1000 == 7 && node->context == NULL) {
        node->context = o;
        return false;
    }
    node->context = NULL;
    reclaim(o);
    return true;
}

static void look(support_random *random, object *o)
{
    uint64_t serial = lw_atomic_load_relaxed_u64(&o->serial);
    CHECK_EQ(lw_atomic_load_relaxed_u64(&o->magic), LIVE);
    CHECK_EQ(o->payload, serial);
    stress_dawdle(random);
    CHECK_EQ(lw_atomic_load_relaxed_u64(&o->magic), LIVE);
    CHECK_EQ(lw_atomic_load_relaxed_u64(&o->serial), serial);
    CHECK_EQ(o->payload, serial);
}

static void read_some(stress_worker *w)
{
    object *first;
    lw_smr_enter();
    first = (object *)lw_atomic_load_acquire_ptr(&slots[support_below(&w->random, SLOTS)]);
    if (first != NULL) {
        look(&w->random, first);
        if (support_below(&w->random, 4) == 0) {
            object *second;
            lw_smr_enter();
            second = (object *)lw_atomic_load_acquire_ptr(&slots[support_below(&w->random, SLOTS)]);
            if (second != NULL) {
                look(&w->random, second);
            }
            lw_smr_exit();
        }
        look(&w->random, first);
    }
    lw_smr_exit();
}

static void replace_one(stress_worker *w)
{
    object *o = support_below(&w->random, 8) == 0 ? NULL : fresh();
    object *old =
        (object *)lw_atomic_exchange_acq_rel_ptr(&slots[support_below(&w->random, SLOTS)], o);
    if (old == NULL) {
        return;
    }
    __atomic_fetch_add(&retired, 1, __ATOMIC_RELAXED);
    switch (support_below(&w->random, 32)) {
    case 0:
        watchdog_tick(w->slot, "synchronizes", NULL);
        CHECK_EQ(lw_smr_synchronize(), LW_OK);
        reclaim(old);
        break;
    case 1: {
        uint64_t grace = lw_smr_grace_start();
        watchdog_tick(w->slot, "waits for a grace period", NULL);
        while (!lw_smr_grace_passed(grace)) {
            support_sleep(1000);
        }
        reclaim(old);
        break;
    }
    case 2:
    case 3:
        CHECK_EQ(lw_smr_retire(old, reclaim_ptr), LW_OK);
        break;
    case 4:
    case 5: { /* inside of a section it only queues */
        lw_smr_enter();
        CHECK_EQ(lw_smr_retire_sized(old, sizeof *old, reclaim_ptr), LW_OK);
        CHECK_EQ(lw_atomic_load_relaxed_u64(&old->magic), LIVE);
        lw_smr_exit();
        break;
    }
    default:
        lw_smr_retire_node(&old->node, reclaim_node,
                           support_below(&w->random, 16) == 0 ? 100000 : sizeof *old);
        break;
    }
}

static void read_and_replace(stress_worker *w)
{
    uint64_t life = 500 + support_below(&w->random, 50000);
    /* The even ones read mostly, the odd ones write mostly. */
    uint64_t writes = w->number % 2 == 0 ? 64 : 3;
    while (life-- != 0 && stress_running()) {
        watchdog_tick(w->slot, "reads and replaces", NULL);
        if (support_below(&w->random, writes) == 0) {
            replace_one(w);
        } else {
            read_some(w);
        }
        switch (support_below(&w->random, 4096)) {
        case 0:
            watchdog_tick(w->slot, "flushes", NULL);
            CHECK_EQ(lw_smr_flush(), LW_OK);
            break;
        case 1:
            (void)lw_smr_poll();
            break;
        default:
            break;
        }
        w->operations++;
    }
}

static uint64_t no_use_after_free(void)
{
    uint64_t operations = stress_workers("reader", THREADS, read_and_replace);
    int i;
    for (i = 0; i < SLOTS; i++) {
        object *o = (object *)lw_atomic_exchange_acq_rel_ptr(&slots[i], NULL);
        if (o != NULL) {
            retired++;
            lw_smr_retire_node(&o->node, reclaim_node, sizeof *o);
        }
    }
    for (i = 0; i < 3; i++) { /* each may be refused once */
        CHECK_EQ(lw_smr_flush(), LW_OK);
    }
    CHECK_EQ(lw_smr_get_stats().pending, 0);
    CHECK_EQ(reclaimed, retired);
    CHECK(lw_thread_record_count() <= 2 * THREADS + 2);
    printf("%llu objects reclaimed\n", (unsigned long long)reclaimed);
    empty_pool();
    return reclaimed != 0 ? operations : 0;
}

/* ---- The lone thread frees at once: it must notice one that comes ---- */

static lw_atomic_ptr lone_slot;

static void read_as_a_newcomer(void *arg)
{
    support_random random = support_random_new(support_seed(), *(uint64_t *)arg);
    int i;
    for (i = 0; i < 50; i++) {
        object *o;
        lw_smr_enter();
        o = (object *)lw_atomic_load_acquire_ptr(&lone_slot);
        if (o != NULL) {
            look(&random, o);
        }
        lw_smr_exit();
    }
}

static uint64_t newcomers(void)
{
    support_random random = support_random_new(support_seed(), 99);
    watchdog_slot *slot = watchdog_enter("lone", 0);
    uint64_t rounds = 0;
    object *o;
    while (stress_running()) {
        support_thread thread;
        uint64_t number = ++rounds, i, churn = support_below(&random, 4000);
        watchdog_tick(slot, "replaces while a thread starts", NULL);
        support_start(&thread, read_as_a_newcomer, &number);
        for (i = 0; i < churn; i++) {
            o = (object *)lw_atomic_exchange_acq_rel_ptr(&lone_slot, fresh());
            if (o != NULL) {
                lw_smr_retire_node(&o->node, reclaim_node, sizeof *o);
            }
        }
        support_join(&thread);
    }
    o = (object *)lw_atomic_exchange_acq_rel_ptr(&lone_slot, NULL);
    if (o != NULL) {
        lw_smr_retire_node(&o->node, reclaim_node, sizeof *o);
    }
    while (lw_smr_get_stats().pending != 0) {
        (void)lw_smr_poll();
    }
    watchdog_leave(slot);
    empty_pool();
    return rounds;
}

/* ---- The store of a section's epoch may not be late: readers and a writer as close together as
 * they can be ---- */

static lw_atomic_ptr close_slot;

/* More than caches hold. Stores to it are slow, and stores leave a processor in their order. How
 * many it takes, and how long a section has to be for the writer to get into it, differs between
 * machines: all up to these are tried. */
enum { COLD_BYTES = 64 << 20, COLD_STORES = 48, LOOKS = 4000 };

static void read_closely(stress_worker *w)
{
    char *cold = (char *)malloc(COLD_BYTES);
    CHECK(cold != NULL);
    memset(cold, 0, COLD_BYTES);
    while (stress_running()) {
        int i;
        watchdog_tick(w->slot, "reads closely", NULL);
        for (i = 0; i < 1000; i++) {
            const object *o;
            uint64_t at = support_next(&w->random);
            uint64_t stores = support_below(&w->random, COLD_STORES + 1);
            uint64_t looks = support_below(&w->random, LOOKS), look;
            for (look = 0; look < stores; look++) {
                *(volatile char *)&cold[(at + look * 4099 * 64) % COLD_BYTES] = 1;
            }
            lw_smr_enter();
            o = (const object *)lw_atomic_load_acquire_ptr(&close_slot);
            for (look = 0; look < looks; look++) {
                CHECK_EQ(lw_atomic_load_relaxed_u64(&o->magic), LIVE);
            }
            lw_smr_exit();
            w->operations++;
        }
    }
    free(cold);
}

/* Two objects in turn. The one that was taken out is poisoned as soon as the grace period has
 * passed. */
static void replace_closely(stress_worker *w)
{
    static object objects[2];
    unsigned turn = 0;
    while (stress_running()) {
        int i;
        watchdog_tick(w->slot, "replaces closely", NULL);
        for (i = 0; i < 100; i++) {
            object *fresh_one = &objects[turn++ % 2], *old;
            uint64_t grace;
            lw_atomic_store_relaxed_u64(&fresh_one->magic, LIVE);
            old = (object *)lw_atomic_exchange_acq_rel_ptr(&close_slot, fresh_one);
            grace = lw_smr_grace_start();
            while (!lw_smr_grace_passed(grace)) {
                lw_cpu_relax();
            }
            lw_atomic_store_relaxed_u64(&old->magic, DEAD);
            w->operations++;
        }
    }
}

static void read_or_replace_closely(stress_worker *w)
{
    support_keep_apart(w->number);
    if (w->number % 2 == 0) {
        read_closely(w);
    } else {
        replace_closely(w);
    }
}

static uint64_t close_together(void)
{
    static object first;
    lw_atomic_store_relaxed_u64(&first.magic, LIVE);
    lw_atomic_store_release_ptr(&close_slot, &first);
    return stress_workers("neighbour", 2, read_or_replace_closely);
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {{"no_use_after_free", no_use_after_free},
                                        {"newcomers", newcomers},
                                        {"close_together", close_together}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
