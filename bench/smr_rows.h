/* SPDX-License-Identifier: BSD-2-Clause */
/* The rows of one reclamation scheme. An adapter defines, before it includes this file,
 *   SMR_NAME, SMR_ID   the implementation's name, and the same as a C identifier
 *   smr_local          what a thread carries
 *   smr_join(t), smr_leave(t)          for each thread
 *   smr_enter(t), smr_exit(t)          a read section
 *   smr_block          a block to be retired; has an unsigned char payload[] of SMR_PAYLOAD bytes
 *   smr_retire(t, b)   hands b over; when it may be freed, smr_freed(b) has to run
 *   smr_poll(t)        once after every 64 retirements, outside of a section
 *   smr_drain(t)       afterwards all that this thread retired has been freed
 *   smr_resume(t), smr_pause(t)        around each batch; between batches a thread waits for others
 * and gets register_SMR_ID(). */
#include "rows.h"

enum { SMR_SLOTS = 64 };

typedef struct smr_shared {
    BENCH_CACHE_LINE smr_block *slots[SMR_SLOTS];
    BENCH_CACHE_LINE smr_local idle_local;
    bench_idle *idle; /* has joined, and is in no section */
} smr_shared;

typedef struct smr_user {
    BENCH_CACHE_LINE smr_local local;
    smr_shared *shared;
    uint64_t retired;
    uint64_t peak;
    uint32_t random;
} smr_user;

/* Blocks freed in the run, kept only by the row with one retiring thread: one thread frees, be it
 * the same or the scheme's own. */
static bool smr_counting;
static uint64_t smr_freed_blocks;

static void smr_freed(smr_block *b)
{
    if (smr_counting)
        __atomic_store_n(&smr_freed_blocks, smr_freed_blocks + 1, __ATOMIC_RELAXED);
    free(b);
}

static smr_block *smr_new_block(uint64_t value)
{
    smr_block *b = (smr_block *)malloc(sizeof *b);
    BENCH_CHECK(b);
    memcpy(b->payload, &value, sizeof value);
    return b;
}

static void *smr_setup(int threads)
{
    smr_shared *s = (smr_shared *)bench_alloc(sizeof *s);
    int i;
    (void)threads;
    for (i = 0; i < SMR_SLOTS; i++)
        s->slots[i] = smr_new_block(1);
    return s;
}

static void smr_idle_join(void *shared)
{
    smr_join(&((smr_shared *)shared)->idle_local);
}

static void smr_idle_leave(void *shared)
{
    smr_leave(&((smr_shared *)shared)->idle_local);
}

static void *smr_setup_idle(int threads)
{
    smr_shared *s = (smr_shared *)smr_setup(threads);
    s->idle = bench_idle_start(smr_idle_join, smr_idle_leave, s);
    smr_counting = true;
    smr_freed_blocks = 0;
    return s;
}

static void smr_teardown(void *shared)
{
    smr_shared *s = (smr_shared *)shared;
    int i;
    if (s->idle)
        bench_idle_stop(s->idle);
    smr_counting = false;
    for (i = 0; i < SMR_SLOTS; i++)
        free(s->slots[i]);
    free(s);
}

static void *smr_begin(void *shared, int index)
{
    smr_user *u = (smr_user *)bench_alloc(sizeof *u);
    u->shared = (smr_shared *)shared;
    u->random = 0x9E3779B9u * (uint32_t)(index + 1);
    smr_join(&u->local);
    return u;
}

static void smr_end(void *shared, void *local)
{
    smr_user *u = (smr_user *)local;
    (void)shared;
    if (u->retired)
        smr_drain(&u->local);
    if (smr_counting)
        gb_counter("most_blocks_held", (double)u->peak);
    smr_leave(&u->local);
    free(u);
}

static uint64_t smr_section(void *local, size_t n)
{
    smr_user *u = (smr_user *)local;
    size_t i;
    smr_resume(&u->local);
    for (i = 0; i < n; i++) {
        smr_enter(&u->local);
        gb_clobber();
        smr_exit(&u->local);
    }
    smr_pause(&u->local);
    return n;
}

static uint64_t smr_read(smr_user *u)
{
    smr_block *b;
    uint64_t value;
    u->random = u->random * 1664525u + 1013904223u;
    smr_enter(&u->local);
    b = __atomic_load_n(&u->shared->slots[u->random >> 26], __ATOMIC_ACQUIRE);
    memcpy(&value, b->payload, sizeof value);
    smr_exit(&u->local);
    return value;
}

static uint64_t smr_section_read(void *local, size_t n)
{
    smr_user *u = (smr_user *)local;
    uint64_t sum = 0;
    size_t i;
    smr_resume(&u->local);
    for (i = 0; i < n; i++)
        sum += smr_read(u);
    smr_pause(&u->local);
    return sum;
}

static uint64_t smr_allocate_retire(void *local, size_t n)
{
    smr_user *u = (smr_user *)local;
    size_t i;
    smr_resume(&u->local);
    for (i = 0; i < n; i++) {
        smr_retire(&u->local, smr_new_block(i));
        u->retired++;
        if (i % 64 == 63)
            smr_poll(&u->local);
        if (i % 61 == 60) { /* at no fixed place between two polls */
            uint64_t freed = __atomic_load_n(&smr_freed_blocks, __ATOMIC_RELAXED);
            if (u->retired - freed > u->peak)
                u->peak = u->retired - freed;
        }
    }
    smr_pause(&u->local);
    return n;
}

static uint64_t smr_replace(void *local, size_t n)
{
    smr_user *u = (smr_user *)local;
    uint64_t sum = 0;
    size_t i;
    smr_resume(&u->local);
    for (i = 0; i < n; i++) {
        sum += smr_read(u);
        if (i % 10 == 9) {
            smr_block *old = __atomic_exchange_n(&u->shared->slots[u->random >> 26],
                                                 smr_new_block(i), __ATOMIC_ACQ_REL);
            smr_retire(&u->local, old);
            u->retired++;
        }
        if (i % 640 == 639)
            smr_poll(&u->local);
    }
    smr_pause(&u->local);
    return sum;
}

BENCH_REGISTER(SMR_ID)(void)
{
    gb_row row = {"smr",     "section",    SMR_NAME,  1,       1024,
                  smr_setup, smr_teardown, smr_begin, smr_end, smr_section};
    gb_add(&row);
    row.row = "section with a read";
    row.body = smr_section_read;
    gb_add(&row);
    row.threads = 2;
    gb_add(&row);
    row.row = "10 reads to a replacement";
    row.body = smr_replace;
    row.batch = 6400;
    gb_add(&row);
    /* A process has more threads than the one that retires. */
    row.threads = 1;
    row.row = "allocate and retire";
    row.body = smr_allocate_retire;
    row.setup = smr_setup_idle;
    row.batch = 1024;
    gb_add(&row);
}
