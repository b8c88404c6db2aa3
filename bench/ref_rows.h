/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of one kind of reference count. An adapter defines, before it includes this file,
 *   REF_NAME, REF_ID    the implementation's name, and the same as a C identifier
 *   ref_t *ref_new()    an object with one reference, made by the calling thread; NULL is a failure
 *   ref_inc(o), ref_dec(o)      the last ref_dec frees it
 * and gets register_REF_ID(). It may define
 *   REF_ATTACHED        all of this needs a thread that is attached to Python
 *   ref_idle()          what a thread does now and then that owns objects (default: nothing) */
#include "rows.h"

#ifndef ref_idle
#define ref_idle() ((void)0)
#endif

enum { REF_SLOTS = 64 };

typedef struct ref_shared {
    ref_t *object;                            /* the one object of rows that share one */
    BENCH_CACHE_LINE ref_t *slots[REF_SLOTS]; /* for the row that passes objects on */
    BENCH_CACHE_LINE bench_idle *owner; /* of `object`, in rows of threads that do not own it */
} ref_shared;

typedef struct ref_user {
    BENCH_CACHE_LINE ref_shared *shared;
    ref_t *object;
    void *python;
    uint32_t random;
} ref_user;

#ifdef REF_ATTACHED
#define REF_ENTER(u) bench_python_attach((u)->python)
#define REF_LEAVE(u) bench_python_detach((u)->python)
#define REF_BEGIN() bench_python_begin()
#define REF_END(state) bench_python_end(state)
#else
#define REF_ENTER(u) ((void)(u))
#define REF_LEAVE(u) ((void)(u))
#define REF_BEGIN() NULL
#define REF_END(state) ((void)(state))
#endif

/* Makes, or drops if it is one, an object where the caller is not attached. */
static ref_t *ref_swap_detached(ref_t *old)
{
    ref_user u = {NULL, NULL, NULL, 0};
    ref_t *made = NULL;
    u.python = REF_BEGIN();
    REF_ENTER(&u);
    if (old)
        ref_dec(old);
    else
        BENCH_CHECK((made = ref_new()) != NULL);
    REF_LEAVE(&u);
    REF_END(u.python);
    return made;
}

static void ref_own(void *shared)
{
    ((ref_shared *)shared)->object = ref_swap_detached(NULL);
}

static void ref_disown(void *shared)
{
    ref_swap_detached(((ref_shared *)shared)->object);
}

/* The object is made by a thread of the row. */
static void *ref_setup_own(int threads)
{
    ref_shared *s = (ref_shared *)bench_alloc(sizeof *s);
    (void)threads;
    ref_own(s);
    return s;
}

/* The object is made by a thread that goes on living beside the row's. */
static void *ref_setup_foreign(int threads)
{
    ref_shared *s = (ref_shared *)bench_alloc(sizeof *s);
    (void)threads;
    s->owner = bench_idle_start(ref_own, ref_disown, s);
    return s;
}

static void ref_teardown(void *shared)
{
    ref_shared *s = (ref_shared *)shared;
    int i;
    if (s->owner)
        bench_idle_stop(s->owner);
    else
        ref_disown(s);
    for (i = 0; i < REF_SLOTS; i++)
        if (s->slots[i])
            ref_swap_detached(s->slots[i]);
    free(s);
}

static void *ref_begin_shared(void *shared, int index)
{
    ref_user *u = (ref_user *)bench_alloc(sizeof *u);
    u->shared = (ref_shared *)shared;
    u->object = u->shared->object;
    u->random = 0x9E3779B9u * (uint32_t)(index + 1);
    u->python = REF_BEGIN();
    return u;
}

static void ref_end_shared(void *shared, void *local)
{
    ref_user *u = (ref_user *)local;
    (void)shared;
    ref_idle();
    REF_END(u->python);
    free(u);
}

static void *ref_begin_own(void *shared, int index)
{
    ref_user *u = (ref_user *)ref_begin_shared(shared, index);
    REF_ENTER(u);
    BENCH_CHECK((u->object = ref_new()) != NULL);
    REF_LEAVE(u);
    return u;
}

static void ref_end_own(void *shared, void *local)
{
    ref_user *u = (ref_user *)local;
    REF_ENTER(u);
    ref_dec(u->object);
    REF_LEAVE(u);
    ref_end_shared(shared, local);
}

static uint64_t ref_pair(void *local, size_t n)
{
    ref_user *u = (ref_user *)local;
    ref_t *object = u->object;
    size_t i;
    REF_ENTER(u);
    for (i = 0; i < n; i++) {
        ref_inc(object);
        gb_clobber();
        ref_dec(object);
        gb_clobber();
    }
    REF_LEAVE(u);
    return n;
}

static uint64_t ref_make_drop(void *local, size_t n)
{
    ref_user *u = (ref_user *)local;
    size_t i;
    REF_ENTER(u);
    for (i = 0; i < n; i++) {
        ref_t *made = ref_new();
        BENCH_CHECK(made);
        gb_clobber();
        ref_dec(made);
    }
    REF_LEAVE(u);
    return n;
}

static uint64_t ref_pass_on(void *local, size_t n)
{
    ref_user *u = (ref_user *)local;
    size_t i;
    REF_ENTER(u);
    for (i = 0; i < n; i++) {
        ref_t *made = ref_new(), *old;
        BENCH_CHECK(made);
        u->random = u->random * 1664525u + 1013904223u;
        old = __atomic_exchange_n(&u->shared->slots[u->random >> 26], made, __ATOMIC_ACQ_REL);
        if (old)
            ref_dec(old);
    }
    REF_LEAVE(u);
    return n;
}

BENCH_REGISTER(REF_ID)(void)
{
    gb_row row = {"refs",       "inc and dec by the owner",
                  REF_NAME,     1,
                  1024,         ref_setup_own,
                  ref_teardown, ref_begin_own,
                  ref_end_own,  ref_pair};
    gb_add(&row);
    row.row = "make and drop";
    row.body = ref_make_drop;
    gb_add(&row);
    row.row = "inc and dec by another thread";
    row.body = ref_pair;
    row.setup = ref_setup_foreign;
    row.begin = ref_begin_shared;
    row.end = ref_end_shared;
    gb_add(&row);
#ifdef REF_ATTACHED
    if (!bench_python_parallel())
        return;
#endif
    row.threads = 2;
    row.row = "inc and dec of one object by others";
    gb_add(&row);
    row.setup = ref_setup_own;
    row.row = "inc and dec of one object by its owner and another";
    gb_add(&row);
    row.row = "make, pass on, drop what others passed on";
    row.body = ref_pass_on;
    gb_add(&row);
    row.row = "inc and dec of an object each";
    row.begin = ref_begin_own;
    row.end = ref_end_own;
    row.body = ref_pair;
    gb_add(&row);
}
