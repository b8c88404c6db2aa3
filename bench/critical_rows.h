/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of one kind of critical section. An adapter defines, before it includes this file,
 *   CRITICAL_NAME       the implementation's name
 *   CRITICAL_ID         the same as a C identifier
 *   critical_object     what a section is on, a few of them to a struct critical_shared
 *   critical_make(o), critical_drop(o)
 * and what of these there is, each from the beginning to the end with gb_clobber() inside:
 *   CRITICAL_ONE(o)   CRITICAL_TWO(o)   CRITICAL_FOUR(o)     on o[0], on o[0] and o[1], on o[0..3]
 *   CRITICAL_NESTED(o)                                       on o[0], and inside of it on o[1]
 *   CRITICAL_ATTACHED   sections need a thread that is attached to Python
 * and gets register_CRITICAL_ID(). */
#include "rows.h"

typedef struct critical_shared {
    BENCH_CACHE_LINE critical_object objects[4];
    void *python;
} critical_shared;

static void *critical_setup(int threads)
{
    critical_shared *s = (critical_shared *)bench_alloc(sizeof *s);
    (void)threads;
    return s;
}

static void *critical_begin(void *shared, int index)
{
    critical_shared *s = (critical_shared *)shared;
    int i;
    (void)index;
#ifdef CRITICAL_ATTACHED
    s->python = bench_python_begin();
    bench_python_attach(s->python);
#endif
    for (i = 0; i < 4; i++) {
        critical_make(&s->objects[i]);
    }
    return s;
}

static void critical_end(void *shared, void *local)
{
    critical_shared *s = (critical_shared *)shared;
    int i;
    (void)local;
    for (i = 0; i < 4; i++) {
        critical_drop(&s->objects[i]);
    }
#ifdef CRITICAL_ATTACHED
    bench_python_detach(s->python);
    bench_python_end(s->python);
#endif
}

static void critical_teardown(void *shared)
{
    free(shared);
}

#define CRITICAL_BODY(name, SECTION)                                                               \
    static uint64_t name(void *local, size_t n)                                                    \
    {                                                                                              \
        critical_object *o = ((critical_shared *)local)->objects;                                  \
        size_t i;                                                                                  \
        for (i = 0; i < n; i++) {                                                                  \
            SECTION(o);                                                                            \
        }                                                                                          \
        return n;                                                                                  \
    }

#ifdef CRITICAL_ONE
CRITICAL_BODY(critical_one, CRITICAL_ONE)
#endif
#ifdef CRITICAL_TWO
CRITICAL_BODY(critical_two, CRITICAL_TWO)
#endif
#ifdef CRITICAL_FOUR
CRITICAL_BODY(critical_four, CRITICAL_FOUR)
#endif
#ifdef CRITICAL_NESTED
CRITICAL_BODY(critical_nested, CRITICAL_NESTED)
#endif

BENCH_REGISTER(CRITICAL_ID)(void)
{
    gb_row row = {"sections",        "one object, free", CRITICAL_NAME, 1,   1024, critical_setup,
                  critical_teardown, critical_begin,     critical_end,  NULL};
#ifdef CRITICAL_ATTACHED
    if (!bench_python_parallel()) {
        return; /* compiled to nothing there */
    }
#endif
    (void)row; /* an adapter may have none */
#ifdef CRITICAL_ONE
    row.body = critical_one;
    gb_add(&row);
#endif
#ifdef CRITICAL_TWO
    row.row = "two objects, free";
    row.body = critical_two;
    gb_add(&row);
#endif
#ifdef CRITICAL_FOUR
    row.row = "four objects, free";
    row.body = critical_four;
    gb_add(&row);
#endif
#ifdef CRITICAL_NESTED
    row.row = "one inside of one, free";
    row.body = critical_nested;
    gb_add(&row);
#endif
}
