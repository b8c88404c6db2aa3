/* SPDX-License-Identifier: BSD-2-Clause */
#include <latchwork/critical.h>

#include "../platform/platform.h"

/* Tries as often for a mutex before the outer sections are suspended: what lw_mutex_lock does
 * before it sleeps. */
#define LW_CRITICAL_SPINS 40

#define LW_CRITICAL_BORROWED ((uintptr_t)1)

static lw_critical_t *lw_critical_of(lw_held_ *held)
{
    return (lw_critical_t *)(void *)held;
}

static lw_mutex_t **lw_critical_set(lw_critical_t *c)
{
    return c->set != NULL ? c->set : c->pair;
}

static bool lw_critical_is_borrowed(const lw_mutex_t *m)
{
    return ((uintptr_t)m & LW_CRITICAL_BORROWED) != 0;
}

static lw_mutex_t *lw_critical_borrow(lw_mutex_t *m)
{
    return (lw_mutex_t *)(void *)((char *)(void *)m + LW_CRITICAL_BORROWED);
}

static lw_mutex_t *lw_critical_own(lw_mutex_t *m)
{
    return lw_critical_is_borrowed(m)
               ? (lw_mutex_t *)(void *)((char *)(void *)m - LW_CRITICAL_BORROWED)
               : m;
}

/* Lets go of the first n. What was borrowed is the section's own from now on: the outer one lets go
 * of it as well, and when both are resumed, it is one after the other. */
static void lw_critical_drop(lw_critical_t *c, uint32_t n)
{
    lw_mutex_t **set = lw_critical_set(c);
    uint32_t i;
    for (i = 0; i < n; i++) {
        if (lw_critical_is_borrowed(set[i])) {
            set[i] = lw_critical_own(set[i]);
        } else {
            lw_mutex_unlock(set[i]);
        }
    }
}

static void lw_critical_release(lw_held_ *held)
{
    lw_critical_t *c = lw_critical_of(held);
    c->quick = false;
    lw_critical_drop(c, c->count);
}

/* Has all of its mutexes. */
static void lw_critical_taken(lw_critical_t *c)
{
    lw_mutex_t **set = lw_critical_set(c);
    c->quick = c->count == 1 && !lw_critical_is_borrowed(set[0]);
    if (c->quick) {
        c->pair[0] = set[0];
    }
}

/* For one mutex, with the first `has` locked. */
typedef struct lw_critical_wait {
    lw_critical_t *section;
    uint32_t has;
    int64_t timeout_ns;
    unsigned flags;
    lw_status status;
} lw_critical_wait;

static void lw_critical_lock(void *arg)
{
    lw_critical_wait *w = (lw_critical_wait *)arg;
    lw_mutex_t *m = lw_critical_set(w->section)[w->has];
    w->status = lw_mutex_lock_flags(m, w->timeout_ns, w->flags);
}

/* The thread ends in that wait. */
static void lw_critical_lost(void *arg)
{
    const lw_critical_wait *w = (const lw_critical_wait *)arg;
    lw_critical_drop(w->section, w->has);
}

/* In the order of the addresses, so that those who have some and wait for others do not wait for
 * each other. */
static lw_status lw_critical_take_for(lw_critical_t *c, int64_t timeout_ns, unsigned flags)
{
    int64_t deadline_ns = -1;
    lw_critical_wait w;
    w.section = c;
    w.timeout_ns = timeout_ns;
    w.flags = flags;
    if (timeout_ns > 0) {
        int64_t now_ns = lw_now_();
        deadline_ns = timeout_ns > INT64_MAX - now_ns ? INT64_MAX : now_ns + timeout_ns;
    }
    for (w.has = 0; w.has < c->count; w.has++) {
        if (deadline_ns >= 0 && w.has > 0) {
            w.timeout_ns = deadline_ns - lw_now_();
            w.timeout_ns = w.timeout_ns < 0 ? 0 : w.timeout_ns;
        }
        if (w.has == 0 || (flags & LW_WAIT_ATTACHED) != 0) {
            lw_critical_lock(&w);
        } else {
            lw_guard_(lw_critical_lock, &w, lw_critical_lost, &w);
        }
        if (w.status != LW_OK) {
            lw_critical_drop(c, w.has);
            return w.status;
        }
    }
    return LW_OK;
}

static void lw_critical_take(lw_held_ *held)
{
    (void)lw_critical_take_for(lw_critical_of(held), -1, LW_WAIT_DEFAULT);
    lw_critical_taken(lw_critical_of(held));
}

const lw_held_ops_ lw_critical_ops_ = {LW_HELD_CRITICAL_, lw_critical_release, lw_critical_take};

/* Whether an active section of the list has it. */
static bool lw_critical_has(lw_held_ *held, const lw_mutex_t *m)
{
    for (; held != NULL && held->active; held = held->outer) {
        lw_critical_t *c = lw_critical_of(held);
        uint32_t i;
        for (i = 0; held->ops->kind == LW_HELD_CRITICAL_ && i < c->count; i++) {
            if (lw_critical_own(lw_critical_set(c)[i]) == m) {
                return true;
            }
        }
    }
    return false;
}

bool lw_critical_holds(const lw_mutex_t *mutex)
{
    return lw_critical_has(*lw_held_root_(), mutex);
}

static bool lw_critical_try(lw_critical_t *c)
{
    lw_mutex_t **set = lw_critical_set(c);
    uint32_t i;
    for (i = 0; i < c->count; i++) {
        if (lw_mutex_trylock(set[i])) {
            continue;
        }
        if (!lw_critical_has(c->held.outer, set[i])) {
            lw_critical_drop(c, i);
            return false;
        }
        set[i] = lw_critical_borrow(set[i]);
    }
    return true;
}

static lw_status lw_critical_enter(lw_critical_t *c, int64_t timeout_ns, unsigned flags)
{
    lw_held_ **root = lw_held_root_();
    unsigned spins = 0;
    c->root = NULL;
    c->quick = false;
    c->held.outer = *root;
    c->held.ops = &lw_critical_ops_;
    while (!lw_critical_try(c)) {
        if (spins == LW_CRITICAL_SPINS) {
            lw_status status;
            if (timeout_ns == 0) {
                c->root = root;
                return LW_TIMEOUT;
            }
            /* Before the wait, and not in it: nothing of the outer sections may be taken again
             * until this one ends. */
            (void)lw_held_suspend_();
            status = lw_critical_take_for(c, timeout_ns, flags);
            if (status != LW_OK) {
                lw_held_resume_();
                c->root = root; /* so that an end of it is noticed as misuse */
                return status;
            }
            break;
        }
        spins++;
        lw_cpu_relax();
    }
    c->held.active = true;
    lw_critical_taken(c);
    c->root = root;
    *root = &c->held;
    return LW_OK;
}

LW_COLD void lw_critical_begin_slow_(lw_critical_t *section, lw_mutex_t *mutex)
{
    section->set = NULL;
    section->pair[0] = mutex;
    section->count = 1;
    (void)lw_critical_enter(section, -1, LW_WAIT_DEFAULT);
}

void lw_critical_begin2(lw_critical_t *section, lw_mutex_t *a, lw_mutex_t *b)
{
    section->set = NULL;
    section->pair[0] = (uintptr_t)a < (uintptr_t)b ? a : b;
    section->pair[1] = (uintptr_t)a < (uintptr_t)b ? b : a;
    section->count = a == b ? 1 : 2;
    (void)lw_critical_enter(section, -1, LW_WAIT_DEFAULT);
}

lw_status lw_critical_begin_flags(lw_critical_t *section, lw_mutex_t **mutexes, size_t count,
                                  int64_t timeout_ns, unsigned flags)
{
    size_t i, kept = 0;
    if (count > UINT32_MAX) {
        lw_fatal_("lw_critical_begin_flags", "too many mutexes");
    }
    /* By insertion: there are few. */
    for (i = 0; i < count; i++) {
        lw_mutex_t *m = mutexes[i];
        size_t at = kept;
        while (at > 0 && (uintptr_t)mutexes[at - 1] > (uintptr_t)m) {
            at--;
        }
        if (at == 0 || mutexes[at - 1] != m) {
            size_t j;
            for (j = kept++; j > at; j--) {
                mutexes[j] = mutexes[j - 1];
            }
            mutexes[at] = m;
        }
    }
    section->set = mutexes;
    section->count = (uint32_t)kept;
    return lw_critical_enter(section, timeout_ns, flags);
}

LW_COLD void lw_critical_end_slow_(lw_critical_t *section)
{
    if (section->root == NULL) {
        return;
    }
    if (*section->root != &section->held) {
        lw_fatal_("lw_critical_end", "not the innermost section of this thread: one inside of it "
                                     "was left without its end, or this one has ended already");
    }
    *section->root = section->held.outer;
    if (section->held.active) { /* else the thread ends in a wait */
        lw_critical_release(&section->held);
    }
    lw_held_resume_();
}
