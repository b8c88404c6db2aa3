/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects that wander between threads that come and go: each is destroyed once, when its last
 * reference goes. */
#include <latchwork/ref.h>
#include <latchwork/smr.h>

#include "stress.h"

#include <string.h>

enum { THREADS = 5, SLOTS = 16, HELD = 24 };

#define LIVE UINT64_C(0x4c4956454c495645)
#define DEAD UINT64_C(0x4445414444454144)

typedef struct object {
    lw_ref_t ref; /* first */
    uint64_t magic;
    uint64_t shadow;  /* references by an independent atomic count */
    uint64_t payload; /* plain; written before a drop, read by destroy */
} object;

static lw_atomic_ptr slots[SLOTS]; /* each holds a reference */
static uint64_t created, destroyed;

static void free_object(void *ptr)
{
    free(ptr);
}

static void destroy(lw_ref_t *ref)
{
    object *o = (object *)(void *)ref;
    CHECK_EQ(o->magic, LIVE);
    CHECK_EQ(__atomic_load_n(&o->shadow, __ATOMIC_RELAXED), 0);
    o->magic = DEAD;
    o->payload++;
    __atomic_fetch_add(&destroyed, 1, __ATOMIC_RELAXED);
    CHECK_EQ(lw_smr_retire_sized(o, sizeof *o, free_object), LW_OK);
}

static object *make(stress_worker *w)
{
    object *o = (object *)malloc(sizeof *o);
    CHECK(o != NULL);
    lw_ref_init(&o->ref);
    o->magic = LIVE;
    o->shadow = 1;
    o->payload = (uint64_t)w->number;
    __atomic_fetch_add(&created, 1, __ATOMIC_RELAXED);
    return o;
}

/* The shadow is counted down before the reference goes and up after it came: it is never above the
 * count. */
static void drop(object *o)
{
    CHECK_EQ(o->magic, LIVE);
    CHECK(__atomic_fetch_sub(&o->shadow, 1, __ATOMIC_RELAXED) != 0);
    lw_ref_dec(&o->ref, destroy);
}

static object *find(size_t slot)
{
    object *o;
    lw_smr_enter();
    o = (object *)lw_atomic_load_acquire_ptr(&slots[slot]);
    if (o != NULL && !lw_ref_try_inc(&o->ref)) {
        o = NULL;
    }
    lw_smr_exit();
    if (o != NULL) {
        CHECK_EQ(o->magic, LIVE);
        __atomic_fetch_add(&o->shadow, 1, __ATOMIC_RELAXED);
    }
    return o;
}

static void wander(stress_worker *w)
{
    object *held[HELD];
    size_t count = 0, slot;
    uint64_t life = 200 + support_below(&w->random, 20000);
    while (life-- != 0 && stress_running()) {
        watchdog_tick(w->slot, "moves references", NULL);
        slot = support_below(&w->random, SLOTS);
        switch (support_below(&w->random, 8)) {
        case 0: /* publish a new one; what was there is dropped, perhaps by a stranger */
        case 1: {
            object *old = (object *)lw_atomic_exchange_acq_rel_ptr(&slots[slot], make(w));
            if (old != NULL) {
                drop(old);
            }
            break;
        }
        case 2: /* take it out, with its reference */
            if (count < HELD) {
                object *old = (object *)lw_atomic_exchange_acq_rel_ptr(&slots[slot], NULL);
                if (old != NULL) {
                    held[count++] = old;
                }
            }
            break;
        case 3: /* put a held one in: others will drop what this thread counted */
            if (count != 0) {
                object *old = (object *)lw_atomic_exchange_acq_rel_ptr(&slots[slot], held[--count]);
                if (old != NULL) {
                    drop(old);
                }
            }
            break;
        case 4:
            if (count != 0 && count < HELD) {
                object *o = held[support_below(&w->random, count)];
                lw_ref_inc(&o->ref);
                __atomic_fetch_add(&o->shadow, 1, __ATOMIC_RELAXED);
                held[count++] = o;
            }
            break;
        case 5:
            if (count != 0) {
                drop(held[--count]);
            }
            break;
        case 6:
            (void)lw_ref_drain();
            break;
        default:
            if (count < HELD) {
                object *o = find(slot);
                if (o != NULL) {
                    held[count++] = o;
                }
            }
            break;
        }
        stress_dawdle(&w->random);
        w->operations++;
    }
    while (count != 0) {
        drop(held[--count]);
    }
}

static uint64_t wandering(void)
{
    uint64_t operations = stress_workers("wanderer", THREADS, wander);
    int i;
    for (i = 0; i < SLOTS; i++) {
        object *o = (object *)lw_atomic_exchange_acq_rel_ptr(&slots[i], NULL);
        if (o != NULL) {
            drop(o);
        }
    }
    (void)lw_ref_drain();
    CHECK_EQ(lw_smr_flush(), LW_OK);
    CHECK_EQ(created, destroyed);
    CHECK(lw_thread_record_count() <= 2 * THREADS + 2);
    return operations;
}

/* ---- One object, dropped by all at once: the sharpest form ---- */

enum { TEAM = 3 };

static object *target;
static pthread_barrier_t start, finish;
static int team_stop;

static void drop_together(void *arg)
{
    stress_worker w;
    int i;
    memset(&w, 0, sizeof w);
    w.number = *(int *)arg;
    w.random = support_random_new(support_seed(), (uint64_t)w.number);
    w.slot = watchdog_enter("dropper", w.number);
    for (;;) {
        if ((int)(w.operations % TEAM) == w.number) {
            target = make(&w);
            team_stop = !stress_running();
            for (i = 1; i < TEAM; i++) {
                lw_ref_inc(&target->ref);
                target->shadow++;
            }
        }
        watchdog_tick(w.slot, "waits for the others", NULL);
        pthread_barrier_wait(&start);
        stress_dawdle(&w.random);
        if (support_below(&w.random, 2) == 0) {
            lw_ref_inc(&target->ref);
            __atomic_fetch_add(&target->shadow, 1, __ATOMIC_RELAXED);
            drop(target);
        }
        drop(target);
        pthread_barrier_wait(&finish);
        (void)lw_ref_drain();
        pthread_barrier_wait(&start);
        CHECK_EQ(__atomic_load_n(&created, __ATOMIC_RELAXED),
                 __atomic_load_n(&destroyed, __ATOMIC_RELAXED));
        if (team_stop) {
            break;
        }
        w.operations++;
        pthread_barrier_wait(&finish);
    }
    watchdog_leave(w.slot);
    ((int *)arg)[TEAM] = (int)w.operations;
}

static uint64_t dropped_together(void)
{
    int numbers[2 * TEAM] = {0, 1, 2, 0, 0, 0};
    pthread_barrier_init(&start, NULL, TEAM);
    pthread_barrier_init(&finish, NULL, TEAM);
    support_run(TEAM, drop_together, numbers, sizeof numbers[0]);
    pthread_barrier_destroy(&start);
    pthread_barrier_destroy(&finish);
    CHECK_EQ(lw_smr_flush(), LW_OK);
    return (uint64_t)numbers[TEAM];
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {{"wandering", wandering},
                                        {"dropped_together", dropped_together}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
