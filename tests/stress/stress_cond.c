/* SPDX-License-Identifier: BSD-2-Clause */
/* No notification is lost and none is invented; what is notified is freed at once. */
#include <latchwork/cond.h>

#include "stress.h"

#include <string.h>

enum { THREADS = 6 };

/* ---- Exact: who waits is counted under the mutex, so each notification has a right answer ---- */

static lw_mutex_t mutex;
static lw_cond_t cond;
static uint64_t waiting;         /* of those whom no notification has reached */
static uint64_t notified, woken; /* how many */
static bool closed;

static void wait_exactly(stress_worker *w)
{
    lw_status status;
    lw_mutex_lock(&mutex);
    if (!closed) {
        waiting++;
        watchdog_tick(w->slot, "waits for a notification", lw_cond_address_(&cond));
        if (support_below(&w->random, 2) == 0) {
            lw_cond_wait(&cond, &mutex);
            status = LW_OK;
        } else {
            status = lw_cond_wait_flags(&cond, &mutex, (int64_t)support_below(&w->random, 200000),
                                        support_below(&w->random, 2) == 0 ? LW_WAIT_DEFAULT
                                                                          : LW_WAIT_ATTACHED);
        }
        if (status == LW_OK) {
            woken++;
            w->operations++;
        } else {
            CHECK_EQ(status, LW_TIMEOUT);
            waiting--;
        }
    }
    lw_mutex_unlock(&mutex);
}

/* `waiting` counts those whose limit has passed and who wait for the mutex too: so it is an upper
 * bound, and exact where the queue is as long. */
static void notify_exactly(stress_worker *w)
{
    size_t n = support_below(&w->random, 4), got;
    lw_mutex_lock(&mutex);
    got = n == 3 ? lw_cond_notify_all(&cond) : lw_cond_notify(&cond, n);
    CHECK(got <= waiting && (n == 3 || got <= n));
    waiting -= got;
    notified += got;
    lw_mutex_unlock(&mutex);
    w->operations++;
}

static void exact_body(stress_worker *w)
{
    while (stress_running()) {
        watchdog_tick(w->slot, "locks", &mutex);
        if (w->number % 2 == 0) {
            notify_exactly(w);
        } else {
            wait_exactly(w);
        }
        stress_dawdle(&w->random);
    }
    if (w->number % 2 == 0) {
        /* Who came before is woken, and who comes later does not wait. */
        lw_mutex_lock(&mutex);
        closed = true;
        notified += lw_cond_notify_all(&cond);
        lw_mutex_unlock(&mutex);
    }
}

static uint64_t exact(void)
{
    uint64_t operations = stress_workers("waiter or notifier", THREADS, exact_body);
    CHECK_EQ(notified, woken);
    CHECK_EQ(support_waiters(lw_cond_address_(&cond)), 0);
    CHECK_EQ(lw_atomic_load_relaxed_u32(&cond.word), 0);
    return operations;
}

/* ---- A ring of buffers, with notifications of one: a lost one is a hang ---- */

enum { SLOTS = 4 };

static lw_rmutex_t ring_mutex;
static lw_cond_t not_empty, not_full;
static uint64_t ring[SLOTS], put_sum, got_sum;
static unsigned ring_used, ring_first, putters;
static bool ring_closed;

static void ring_put(stress_worker *w)
{
    uint64_t value = support_next(&w->random);
    lw_rmutex_lock(&ring_mutex);
    lw_rmutex_lock(&ring_mutex);
    while (ring_used == SLOTS) {
        watchdog_tick(w->slot, "waits for room", lw_cond_address_(&not_full));
        lw_cond_wait_rmutex(&not_full, &ring_mutex);
    }
    ring[(ring_first + ring_used++) % SLOTS] = value;
    put_sum += value;
    w->operations++;
    lw_rmutex_unlock(&ring_mutex);
    lw_rmutex_unlock(&ring_mutex);
    (void)lw_cond_notify_one(&not_empty); /* the mutex is not locked */
}

static bool ring_get(stress_worker *w)
{
    bool got;
    lw_rmutex_lock(&ring_mutex);
    while (ring_used == 0 && !ring_closed) {
        watchdog_tick(w->slot, "waits for a value", lw_cond_address_(&not_empty));
        lw_cond_wait_rmutex(&not_empty, &ring_mutex);
    }
    got = ring_used != 0;
    if (got) {
        got_sum += ring[ring_first];
        ring_first = (ring_first + 1) % SLOTS;
        ring_used--;
        w->operations++;
        (void)lw_cond_notify_one(&not_full);
    }
    lw_rmutex_unlock(&ring_mutex);
    return got;
}

static void ring_body(stress_worker *w)
{
    if (w->number % 2 == 0) {
        while (stress_running()) {
            ring_put(w);
        }
        lw_rmutex_lock(&ring_mutex);
        if (++putters == THREADS / 2) {
            ring_closed = true;
            (void)lw_cond_notify_all(&not_empty);
        }
        lw_rmutex_unlock(&ring_mutex);
    } else {
        while (ring_get(w)) {
        }
    }
}

static uint64_t ring_of_buffers(void)
{
    uint64_t operations = stress_workers("user of the ring", THREADS, ring_body);
    CHECK_EQ(put_sum, got_sum);
    CHECK_EQ(ring_used, 0);
    return operations;
}

/* ---- The woken frees it, while its notifier is on the way out ---- */

typedef struct box {
    lw_mutex_t mutex;
    lw_cond_t cond;
    bool set, waits;
} box;

static void *current; /* box *; 0: none */

static void give_boxes(stress_worker *w)
{
    while (stress_running()) {
        box *b = (box *)calloc(1, sizeof *b);
        CHECK(b != NULL);
        watchdog_tick(w->slot, "notifies", b);
        __atomic_store_n(&current, b, __ATOMIC_RELEASE);
        for (;;) {
            lw_mutex_lock(&b->mutex);
            if (b->waits) {
                break;
            }
            lw_mutex_unlock(&b->mutex);
            stress_dawdle(&w->random);
        }
        b->set = true;
        if (support_below(&w->random, 2) == 0) {
            CHECK(lw_cond_notify_one(&b->cond));
            lw_mutex_unlock(&b->mutex);
        } else {
            lw_mutex_unlock(&b->mutex);
            CHECK_EQ(lw_cond_notify_all(&b->cond), 1); /* exact: it waits until then */
        }
        w->operations++;
        while (__atomic_load_n(&current, __ATOMIC_ACQUIRE) == b) {
            lw_cpu_relax();
        }
    }
    while (__atomic_load_n(&current, __ATOMIC_ACQUIRE) != NULL) {
        lw_cpu_relax();
    }
    __atomic_store_n(&current, &current, __ATOMIC_RELEASE); /* no more */
}

static void free_boxes(stress_worker *w)
{
    void *b;
    while ((b = __atomic_load_n(&current, __ATOMIC_ACQUIRE)) != &current) {
        box *mine = (box *)b;
        if (mine == NULL) {
            lw_cpu_relax();
            continue;
        }
        watchdog_tick(w->slot, "waits", mine);
        lw_mutex_lock(&mine->mutex);
        mine->waits = true;
        CHECK_EQ(lw_cond_wait_for(&mine->cond, &mine->mutex, -1), LW_OK);
        CHECK(mine->set);
        lw_mutex_unlock(&mine->mutex);
        memset(mine, 0xdd, sizeof *mine);
        free(mine);
        w->operations++;
        __atomic_store_n(&current, NULL, __ATOMIC_RELEASE);
    }
}

static void box_body(stress_worker *w)
{
    if (w->number == 0) {
        give_boxes(w);
    } else {
        free_boxes(w);
    }
}

static uint64_t freed_by_the_woken(void)
{
    return stress_workers("one of a pair", 2, box_body);
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {{"exact", exact},
                                        {"ring_of_buffers", ring_of_buffers},
                                        {"freed_by_the_woken", freed_by_the_woken}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
