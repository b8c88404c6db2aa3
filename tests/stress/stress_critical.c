/* SPDX-License-Identifier: BSD-2-Clause */
/* Accounts that sections move money between: nested in every order, on one, two and many, beside
 * plain locks. Nobody may be inside of an account twice, no money may be lost, nobody may hang. */
#include <latchwork/critical.h>

#include "stress.h"

enum { THREADS = 5, ACCOUNTS = 5, START = 1000 };

typedef struct account {
    lw_mutex_t mutex;
    int owner; /* plain, as is the balance */
    int64_t balance;
} account;

static account accounts[ACCOUNTS];
static lw_mutex_t plain;

static void enter(const stress_worker *w, account *a)
{
    CHECK(lw_critical_holds(&a->mutex));
    CHECK_EQ(a->owner, 0);
    a->owner = w->number + 1;
}

static void leave(const stress_worker *w, account *a)
{
    CHECK_EQ(a->owner, w->number + 1);
    a->owner = 0;
}

static void move(stress_worker *w, account *from, account *to)
{
    int64_t sum = (int64_t)support_below(&w->random, 20);
    enter(w, from);
    if (from != to) {
        enter(w, to);
    }
    from->balance -= sum;
    stress_dawdle(&w->random);
    to->balance += sum;
    if (from != to) {
        leave(w, to);
    }
    leave(w, from);
    w->operations++;
}

static account *some(stress_worker *w)
{
    return &accounts[support_below(&w->random, ACCOUNTS)];
}

/* The plain one was locked before: it is not to be locked again. */
enum { WITH_PLAIN = 10 };

static void inside(stress_worker *w, unsigned depth, account *a);

static void nest(stress_worker *w, unsigned depth)
{
    account *x = some(w), *y = some(w), *z = some(w);
    watchdog_tick(w->slot, "begins a section", &x->mutex);
    switch (support_below(&w->random, 3)) {
    case 0:
        LW_CRITICAL_BEGIN(&x->mutex)
        {
            inside(w, depth, x);
        }
        LW_CRITICAL_END();
        break;
    case 1:
        LW_CRITICAL_BEGIN2(&x->mutex, &y->mutex)
        {
            move(w, x, y);
            inside(w, depth, y);
            move(w, y, x);
        }
        LW_CRITICAL_END();
        break;
    default: {
        lw_mutex_t *set[3];
        set[0] = &x->mutex;
        set[1] = &y->mutex;
        set[2] = &z->mutex;
        LW_CRITICAL_BEGIN_N(set, 3)
        {
            move(w, x, y);
            move(w, y, z);
            inside(w, depth, z);
            move(w, z, x);
        }
        LW_CRITICAL_END();
    }
    }
}

/* In a section on `a`. What blocks here suspends it. */
static void inside(stress_worker *w, unsigned depth, account *a)
{
    enter(w, a);
    stress_dawdle(&w->random);
    leave(w, a);
    switch (depth == WITH_PLAIN ? 1 : support_below(&w->random, depth < 3 ? 4 : 2)) {
    case 0:
        watchdog_tick(w->slot, "locks the plain one", &plain);
        if (lw_mutex_lock_for(&plain, (int64_t)support_below(&w->random, 200000) - 100000) ==
            LW_OK) {
            enter(w, a);
            stress_dawdle(&w->random);
            leave(w, a);
            lw_mutex_unlock(&plain);
        }
        break;
    case 1:
        break;
    default:
        nest(w, depth + 1);
        break;
    }
    enter(w, a);
    leave(w, a);
}

static void work(stress_worker *w)
{
    while (stress_running()) {
        int i;
        for (i = 0; i < 100; i++) {
            nest(w, 0);
            if (i % 4 == 0) {
                /* Whoever waits for it inside of a section must not keep that from this one. */
                lw_mutex_lock(&plain);
                nest(w, WITH_PLAIN);
                lw_mutex_unlock(&plain);
            }
        }
        CHECK(*lw_held_root_() == NULL);
    }
}

static uint64_t transfers(void)
{
    uint64_t operations;
    int64_t sum = 0;
    int i;
    for (i = 0; i < ACCOUNTS; i++) {
        accounts[i].balance = START;
    }
    operations = stress_workers("clerk", THREADS, work);
    for (i = 0; i < ACCOUNTS; i++) {
        CHECK(!lw_mutex_is_locked(&accounts[i].mutex));
        sum += accounts[i].balance;
    }
    CHECK_EQ(sum, START * ACCOUNTS);
    return operations;
}

int main(int argc, char **argv)
{
    static const stress_case cases[] = {{"transfers", transfers}};
    return stress_main(argc, argv, cases, sizeof cases / sizeof cases[0]);
}
